"""Exponential smoothing of level and season, ETS(A,N,A) on the model's scale."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from capkit.forecasting.forecast import Array, NotConvergedError, Prediction


@dataclass(frozen=True)
class _EtsState:
    alpha: float
    gamma: float
    sd: float
    level: float
    season: Array  # of the next steps, in order

    def extend(self, values: Array) -> _EtsState:
        level, season, length = self.level, self.season.copy(), self.season.size
        for step, value in enumerate(values):
            error = float(value - level - season[step % length])
            level += self.alpha * error
            season[step % length] += self.gamma * error
        return replace(self, level=level, season=np.roll(season, -(values.size % length)))

    def predict(self, steps: int) -> Prediction:
        ahead = np.arange(steps) % self.season.size
        weight = self.alpha + self.gamma * (ahead == 0)
        weight[0] = 1.0
        sd = self.sd * np.sqrt(np.cumsum(weight**2))
        return Prediction(self.level + self.season[ahead], sd=sd)


@dataclass(frozen=True)
class Ets:
    """Additive error and season, no trend (Hyndman and others 2008); Gaussian intervals.

    statsmodels estimates the two smoothing factors by maximum likelihood on the last twelve of the
    series' longest seasons.
    """

    log: bool = True
    name: str = "ets"

    def fit(self, history: Array, seasons: tuple[int, ...]) -> _EtsState:
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel

        season = max(seasons, default=0)
        values = history[-12 * season :]
        if season < 2 or values.size < 4 * season:
            raise ValueError(f"ets: {values.size} values are too few for a season of {season}")
        kind = {"error": "add", "seasonal": "add", "seasonal_periods": season}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ETSModel(values, initialization_method="heuristic", **kind)
            result = model.fit(disp=False, maxiter=1000)
        if not result.mle_retvals["converged"]:
            raise NotConvergedError(f"ets did not converge on {values.size} values")
        return _EtsState(
            alpha=float(result.smoothing_level),
            gamma=float(result.smoothing_seasonal),
            sd=float(np.sqrt(result.scale)),
            level=float(result.level[-1]),
            season=np.array(result.season[-season:], dtype=float),
        )
