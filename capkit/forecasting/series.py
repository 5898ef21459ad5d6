"""Is this a series that can be forecast? Checks that refuse, and a repair that says what it did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

_WEEK = pd.Timedelta(days=7)
_MEND = "capkit.forecasting.repair mends that and lists what it changed"


def seasons_of(index: pd.DatetimeIndex) -> tuple[int, ...]:
    """Season lengths, in steps, that a regular index suggests: day and week, or the year.

    >>> seasons_of(pd.date_range("2019-01-01", periods=50, freq="h"))
    (24, 168)
    >>> seasons_of(pd.date_range("1949-01-01", periods=24, freq="MS"))
    (12,)
    """
    step = index[1] - index[0]
    if step > pd.Timedelta(days=1):
        return {"M": (12,), "Q": (4,)}.get((index.freqstr or pd.infer_freq(index))[0], ())
    day = int(pd.Timedelta(days=1) / step)
    return tuple(season for season in (day, 7 * day) if season > 1)


def check_series(series: pd.Series, season_lengths: Sequence[int] = ()) -> pd.Series:
    """Return the series as floats on an index with a frequency, or refuse it.

    Parameters
    ----------
    series : Series
        Counts or rates, at least zero, on a regular, increasing DatetimeIndex.
    season_lengths : sequence of int
        Seasons in steps; the series must hold each at least twice.

    Raises
    ------
    ValueError
        No time index; stamps repeated, unsorted, missing or off the grid; values NaN, infinite,
        negative or all the same; fewer than two whole seasons.

    >>> hours = pd.date_range("2019-01-01", periods=4, freq="h")
    >>> check_series(pd.Series([1.0, 2.0, -3.0, 4.0], hours))
    Traceback (most recent call last):
    ...
    ValueError: 1 negative values, first at 2019-01-01 02:00:00: demand is at least zero
    """
    if not isinstance(series, pd.Series) or not isinstance(series.index, pd.DatetimeIndex):
        raise ValueError(f"need a Series with a DatetimeIndex, got {type(series).__name__}")
    index, values = series.index, series.to_numpy(dtype=float)
    back = np.concatenate([[False], index[1:] < index[:-1]])
    for mask, fault, remedy in (
        (index.duplicated(), "duplicated stamps", _MEND),
        (back, "unsorted stamps", _MEND),
        (~np.isfinite(values), "NaN or infinite values", _MEND),
        (values < 0, "negative values", "demand is at least zero"),
    ):
        if mask.any():
            raise ValueError(f"{mask.sum()} {fault}, first at {index[mask][0]}: {remedy}")
    needed = max(4, 2 * max(season_lengths, default=0))
    if len(series) < needed:
        raise ValueError(f"{len(series)} values are too short a series: need {needed}, two seasons")
    freq = index.freqstr or pd.infer_freq(index)
    if freq is None:
        step = (index[1:] - index[:-1]).to_series().mode().iloc[0]
        off_grid = (index - index[0]) % step != pd.Timedelta(0)
        if off_grid.any():
            raise ValueError(
                f"wrong frequency: {off_grid.sum()} stamps are not a whole number of {step} after "
                f"the first; resample the series to one value a step"
            )
        missing = pd.date_range(index[0], index[-1], freq=step).difference(index)
        raise ValueError(f"{len(missing)} missing stamps, first {missing[0]}: {_MEND}")
    if np.ptp(values) == 0.0:
        raise ValueError(f"the series is constant ({values[0]:g}): nothing can be estimated")
    return pd.Series(values, index=pd.DatetimeIndex(index, freq=freq), name=series.name)


def repair(
    series: pd.Series, freq: str = "h", *, causal: bool = False
) -> tuple[pd.Series, pd.DataFrame]:
    """Sort, average duplicated stamps, fill gaps and NaN; list every repaired stamp.

    A gap takes the mean of the same time a week before and a week after (or the one of them that
    exists), else a straight line between its neighbours. Local time with its clock changes is mended
    so too. Negative values are left alone: nobody knows what they were.

    Parameters
    ----------
    series : Series
        Values on a DatetimeIndex.
    freq : str
        Step of the repaired index.
    causal : bool
        Fill a gap from before it only: the same time a week earlier, else the last value. A backtest needs
        that; otherwise a forecast may learn from a filled value what came after.

    Returns
    -------
    (Series, DataFrame)
        The regular series; one row a repair: time, repair (averaged or filled), value.

    >>> stamps = pd.to_datetime(["2019-01-01 00:00", "2019-01-01 02:00", "2019-01-01 02:00"])
    >>> fixed, log = repair(pd.Series([1.0, 3.0, 5.0], stamps))
    >>> fixed.tolist(), log["repair"].tolist()
    ([1.0, 2.5, 4.0], ['filled', 'averaged'])
    """
    values = series.dropna().astype(float)
    repeated = values.index[values.index.duplicated()].unique()
    values = values.groupby(level=0).mean()
    regular = values.reindex(pd.date_range(values.index[0], values.index[-1], freq=freq))
    if not values.index.isin(regular.index).all():
        raise ValueError(f"wrong frequency: not every stamp is on the grid of step {freq!r}")
    missing = regular.index[regular.isna()]
    shifts = (-_WEEK,) if causal else (-_WEEK, _WEEK)
    around = [regular.reindex(missing + shift).to_numpy() for shift in shifts]
    regular[missing] = pd.DataFrame(around, columns=missing).mean()
    regular = (regular.ffill() if causal else regular.interpolate()).rename(series.name)
    kind = pd.Series("averaged", repeated).reindex(repeated.union(missing)).fillna("filled")
    log = pd.DataFrame(
        {"time": kind.index, "repair": kind.array, "value": regular[kind.index].array}
    )
    return regular, log
