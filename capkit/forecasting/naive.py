"""The two forecasts that every other one must beat; intervals from their own earlier errors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from capkit.forecasting.forecast import Array, Prediction

_ERRORS = 400  # earlier forecasts that the intervals are taken from
_REACH = 104 * 168  # values they reach back


@dataclass(frozen=True)
class _Repeating:
    history: Array
    season: int

    def extend(self, values: Array) -> _Repeating:
        return replace(self, history=np.concatenate([self.history, values]))

    def predict(self, steps: int) -> Prediction:
        size, ahead = self.history.size, np.arange(steps)
        source = ahead % self.season - self.season
        last = size - steps
        if last <= self.season:
            raise ValueError(f"{size} values are too few to know the errors {steps} steps ahead")
        first = max(self.season, last - _REACH)
        origins = np.unique(np.linspace(first, last, _ERRORS).astype(int))[:, None]
        errors = self.history[origins + ahead] - self.history[origins + source]
        return Prediction(self.history[size + source], errors=errors)


@dataclass(frozen=True)
class Naive:
    """The last value, for ever."""

    log: bool = True
    name: str = "naive"

    def fit(self, history: Array, seasons: tuple[int, ...]) -> _Repeating:
        return _Repeating(history, 1)


@dataclass(frozen=True)
class SeasonalNaive:
    """The value one season ago; the longest season of the series unless one is given (in steps)."""

    season: int | None = None
    log: bool = True
    name: str = "seasonal_naive"

    def fit(self, history: Array, seasons: tuple[int, ...]) -> _Repeating:
        season = self.season or max(seasons, default=0)
        if season < 1 or history.size < 2 * season:
            raise ValueError(f"{history.size} values are too few, or no season: {season} steps")
        return _Repeating(history, season)
