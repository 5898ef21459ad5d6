"""Models by name, and `fit`: from a series to a forecast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from capkit.forecasting.arima import Arima, HarmonicArima
from capkit.forecasting.calendar import check_holidays, holiday_effects, names_at
from capkit.forecasting.direct import DirectRegression
from capkit.forecasting.ets import Ets
from capkit.forecasting.forecast import Array, Forecast, NotConvergedError, Prediction, Scale
from capkit.forecasting.naive import Naive, SeasonalNaive
from capkit.forecasting.series import check_series, seasons_of

Seasons = tuple[int, ...]


class State(Protocol):
    """A model that has seen a series: it forecasts, and moves on without a new estimation."""

    def extend(self, values: Array) -> State: ...

    def predict(self, steps: int) -> Prediction: ...


class Model(Protocol):
    """What an object needs to be a model; ``log`` says on which scale it works."""

    @property
    def name(self) -> str: ...

    @property
    def log(self) -> bool: ...

    def fit(self, history: Array, seasons: Seasons) -> State: ...


def _sarima(seasons: Seasons) -> Model:
    if max(seasons, default=0) <= 24:  # a longer season makes the state too large
        return Arima((0, 1, 1), (0, 1, 1, max(seasons, default=0)), name="sarima")
    return Arima((1, 0, 1), _daily(seasons), difference=max(seasons), name="sarima")


def _harmonic(seasons: Seasons) -> Model:
    if len(seasons) > 1:
        return HarmonicArima(seasonal_order=_daily(seasons))
    waves = tuple(season // 2 for season in seasons)
    return HarmonicArima((0, 1, 1), (0, 0, 0, 0), waves, memory=np.inf)


def _daily(seasons: Seasons) -> tuple[int, int, int, int]:
    return (1, 0, 0, min(seasons)) if min(seasons) <= 24 else (0, 0, 0, 0)


@dataclass(frozen=True)
class Best:
    """The candidate whose forecasts of the history's last ``origins`` seasons were best.

    Each is fitted without them and forecasts one after the other; the smallest sum of absolute
    errors wins and is fitted to all. A candidate that cannot be fitted is out.
    """

    candidates: tuple[str, ...] = ("seasonal_naive", "harmonic_arima", "direct")
    origins: int = 8
    log: bool = True
    name: str = "best"

    def fit(self, history: Array, seasons: Seasons) -> State:
        season = max(seasons, default=1)
        start = max(history.size - self.origins * season, 0)
        errors: dict[str, float] = {}
        refusals: list[str] = []
        for name in self.candidates:
            try:
                state = make_model(name, seasons).fit(history[:start], seasons)
                total = 0.0
                for origin in range(start, history.size, season):
                    actual = history[origin : origin + season]
                    total += float(np.abs(actual - state.predict(season).location).sum())
                    state = state.extend(actual)
                errors[name] = total
            except (ValueError, NotConvergedError) as refusal:
                refusals.append(f"{name}: {refusal}")
        if not errors:
            raise ValueError(f"best: no candidate can be fitted ({'; '.join(refusals)})")
        return make_model(min(errors, key=errors.__getitem__), seasons).fit(history, seasons)


MODELS: dict[str, Callable[[Seasons], Model]] = {
    "naive": lambda seasons: Naive(),
    "seasonal_naive": lambda seasons: SeasonalNaive(),
    "ar": lambda seasons: Arima((2, 0, 0), trend="c", name="ar"),
    "arma": lambda seasons: Arima((2, 0, 1), trend="c", name="arma"),
    "arima": lambda seasons: Arima((2, 1, 1)),
    "sarima": _sarima,
    "harmonic_arima": _harmonic,
    "ets": lambda seasons: Ets(),
    "direct": lambda seasons: DirectRegression(),
    "best": lambda seasons: Best(),
}


def make_model(model: str | Model, seasons: Seasons) -> Model:
    """The object given, or the model of that name with orders that suit the seasons."""
    if not isinstance(model, str):
        return model
    if model not in MODELS:
        raise ValueError(f"no model {model!r}; the models are {', '.join(MODELS)}")
    return MODELS[model](seasons)


@dataclass(frozen=True)
class Fit:
    """A fitted model and the stamp where its series ends; ``state`` holds what was estimated.

    ``effects`` are what the holidays add on the model's scale, by name.
    """

    model: Model
    state: State
    scale: Scale
    last: pd.Timestamp
    freq: Any
    holidays: pd.Series = field(repr=False)
    effects: dict[str, float] = field(default_factory=dict)

    def _next(self, steps: int) -> pd.DatetimeIndex:
        return pd.date_range(self.last, periods=steps + 1, freq=self.freq)[1:]

    def _effect(self, index: pd.DatetimeIndex) -> Array:
        return np.array([self.effects.get(n, 0.0) for n in names_at(self.holidays, index)])

    def forecast(self, steps: int, levels: Sequence[float] = (0.8, 0.95)) -> Forecast:
        """Forecast the ``steps`` stamps after the series.

        >>> hours = pd.date_range("2019-01-07", periods=24 * 21, freq="h")
        >>> day = 100 + 50 * np.sin(np.arange(hours.size) * 2 * np.pi / 24)
        >>> forecast = fit(pd.Series(day, hours), "seasonal_naive").forecast(3)
        >>> forecast.mean.round(1).tolist(), str(forecast.index[0])
        ([100.0, 112.9, 125.0], '2019-01-28 00:00:00')
        """
        if steps < 1 or not all(0.0 < level < 1.0 for level in levels):
            raise ValueError(f"need steps >= 1 and levels in (0, 1), got {steps}, {levels}")
        index, prediction = self._next(steps), self.state.predict(steps)
        if self.effects:
            prediction = replace(prediction, location=prediction.location + self._effect(index))
        return Forecast(self.model.name, index, prediction, self.scale, tuple(levels))

    def extend(self, new: pd.Series) -> Fit:
        """Move on by the values right after the series; the parameters stay as they are."""
        if not new.index.equals(self._next(len(new))):
            raise ValueError(f"the new values must follow {self.last} and leave nothing out")
        values = self.scale.to(new.to_numpy(dtype=float))
        state = self.state.extend(values - self._effect(new.index) if self.effects else values)
        return replace(self, state=state, last=new.index[-1])


def fit(
    series: pd.Series,
    model: str | Model,
    *,
    season_lengths: Sequence[int] | None = None,
    holidays: pd.Series | None = None,
) -> Fit:
    """Estimate a model on the whole series.

    Parameters
    ----------
    series : Series
        Counts or rates on a regular DatetimeIndex, see `check_series`.
    model : str or Model
        A name of `MODELS`, or an object with ``name``, ``log`` and ``fit``.
    season_lengths : sequence of int, optional
        Seasons in steps; by default what the frequency suggests (`seasons_of`).
    holidays : Series, optional
        Name by date, past and to come (`western_holidays`, or a pandas calendar with ``return_name=True``); the effect of
        each name is estimated on the series (`holiday_effects`).

    Raises
    ------
    ValueError
        The series cannot be forecast (the message says why), or no such model.
    NotConvergedError
        The estimation did not converge.
    """
    checked = check_series(series, season_lengths or ())
    seasons = seasons_of(checked.index) if season_lengths is None else tuple(sorted(season_lengths))
    made = make_model(model, seasons)
    scale = Scale(0.01 * float(checked.mean()) if made.log else None)
    values, effects = scale.to(checked.to_numpy()), {}
    days = pd.Series(dtype=object, index=pd.DatetimeIndex([]))
    if holidays is not None and seasons:
        days = check_holidays(holidays)
        names = names_at(days, checked.index)
        effects = holiday_effects(values, names, max(seasons))
        values = values - np.array([effects.get(name, 0.0) for name in names])
    state = made.fit(values, seasons)
    return Fit(made, state, scale, checked.index[-1], checked.index.freq, days, effects)
