"""Days that are known in advance and are unlike the same day of other weeks.

A model that learns from weeks cannot know Easter. `fit` takes the effect of such days out before the model
learns, so that the week after does not repeat them, and puts it back where the calendar has them again.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.tseries.offsets import Easter

from capkit.forecasting.forecast import Array

_WEEKS = (-3, -2, -1, 1, 2, 3)  # seasons around a holiday, whose median is the usual value
_EASTER = {
    **{"Maundy Thursday": -3, "Good Friday": -2, "Holy Saturday": -1, "Easter Sunday": 0},
    **{"Easter Monday": 1, "Easter Tuesday": 2, "Ascension": 39, "day after Ascension": 40},
    **{"Whit Saturday": 48, "Whit Sunday": 49, "Whit Monday": 50},
}
_FIXED = {
    **{"New Year": (1, 1), "22 December": (12, 22), "23 December": (12, 23)},
    **{"Christmas Eve": (12, 24), "Christmas": (12, 25), "26 December": (12, 26)},
    **{"New Year's Eve": (12, 31)},
}


def western_holidays(first_year: int, last_year: int) -> pd.Series:
    """Name of each day around Western Easter, Whitsun and Christmas, by date.

    >>> days = western_holidays(2019, 2019)
    >>> str(days.index[days == "Good Friday"][0].date()), len(days)
    ('2019-04-19', 18)
    """
    names: dict[pd.Timestamp, str] = {}
    for year in range(first_year, last_year + 1):
        sunday = pd.Timestamp(year, 1, 1) + Easter()
        names |= {sunday + pd.Timedelta(days=after): name for name, after in _EASTER.items()}
        names |= {pd.Timestamp(year, *day): name for name, day in _FIXED.items()}
    return pd.Series(names, name="holiday").sort_index()


def check_holidays(holidays: pd.Series) -> pd.Series:
    """Return names by day, or refuse them with `ValueError`: no dates, a time of day, a day twice."""
    index = holidays.index
    if not isinstance(index, pd.DatetimeIndex):
        raise ValueError(
            f"holidays are names by date, a Series on dates; got {type(index).__name__}"
        )
    for mask, fault in (
        (index != index.normalize(), "is not midnight: give whole days"),
        (index.duplicated(), "is there twice: give each day one name"),
    ):
        if mask.any():
            raise ValueError(f"holiday {index[mask][0]} {fault}")
    return holidays


def names_at(holidays: pd.Series, index: pd.DatetimeIndex) -> Array:
    """The holiday's name at each stamp, or None."""
    return np.asarray(
        holidays.reindex(index.normalize()).astype(object).where(lambda n: n.notna(), None)
    )


def holiday_effects(values: Array, names: Array, season: int) -> dict[str, float]:
    """How far each holiday lies from the same hours of the weeks around it: one median a name.

    Parameters
    ----------
    values : array of shape (n,)
        The history on the model's scale, so that on a logarithm an effect is a factor.
    names : array of shape (n,)
        Holiday of each value, or None.
    season : int
        Steps a week.

    Returns
    -------
    dict
        Effect by name. A name that the history does not hold has none, and is forecast as any day.

    >>> week = np.tile([1.0, 2.0, 3.0], 5)
    >>> week[7] += 0.5
    >>> holiday_effects(week, np.where(np.arange(15) == 7, "fair", None), 3)
    {'fair': 0.5}
    """
    padded = np.concatenate([np.full(3 * season, np.nan), values, np.full(3 * season, np.nan)])
    place = np.flatnonzero(names != None)  # noqa: E711
    around = np.array([padded[place + (3 + week) * season] for week in _WEEKS])
    known = np.isfinite(around).any(axis=0)
    place, around = place[known], around[:, known]
    off = pd.Series(values[place] - np.nanmedian(around, axis=0))
    return {str(name): float(effect) for name, effect in off.groupby(names[place]).median().items()}
