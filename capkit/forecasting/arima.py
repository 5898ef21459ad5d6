"""The ARIMA family, estimated by statsmodels; its Kalman filter moves the state on.

`Arima` is document 4.2's ARMA with what it leaves out: the I and the season. `HarmonicArima` is a
regression on the waves of day and week with ARMA errors (Hyndman and Athanasopoulos, Forecasting:
Principles and Practice, 3rd ed., chapter 10). Intervals are Gaussian, from the psi weights.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from capkit.forecasting.forecast import Array, NotConvergedError, Prediction

_WINDOW = 2016  # last values that parameters are estimated on: twelve weeks of hours
_SETTLE = 336  # last residuals that the filter runs through after the waves were fitted again
_RIDGE = 1e-6  # holds the sine of the shortest wave, which is zero at every whole step
Order = tuple[int, int, int]
Seasonal = tuple[int, int, int, int]


def _estimate(values: Array, order: Order, seasonal: Seasonal, trend: str = "n") -> Any:
    """Exact maximum likelihood, or `NotConvergedError`: no half-way result is handed out."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SARIMAX(values, order=order, seasonal_order=seasonal, trend=trend)
        result = model.fit(disp=0, maxiter=200)
        if not result.mle_retvals["converged"]:
            result = model.fit(result.params, disp=0, maxiter=1000, method="powell")
    if not result.mle_retvals["converged"] or not np.isfinite(result.llf):
        raise NotConvergedError(
            f"ARIMA{order}{seasonal} did not converge on {values.size} values; lower the order"
        )
    return result


def _deviation(result: Any, steps: int, difference: int = 0) -> Array:
    """Standard deviation by step from the psi weights (Box and Jenkins, section 5.1)."""
    psi = np.asarray(result.impulse_responses(steps - 1), dtype=float).reshape(-1)
    if difference:
        for step in range(difference, steps):
            psi[step] += psi[step - difference]
    variance = float(result.params[list(result.model.param_names).index("sigma2")])
    return np.asarray(np.sqrt(variance * np.cumsum(psi**2)))


@dataclass(frozen=True)
class _ArimaState:
    result: Any
    difference: int
    last: Array  # the season that the difference is added back to

    def extend(self, values: Array) -> _ArimaState:
        lag, joined = self.difference, np.concatenate([self.last, values])
        moved = self.result.extend(joined[lag:] - joined[: joined.size - lag] if lag else values)
        return replace(self, result=moved, last=joined[joined.size - lag :])

    def predict(self, steps: int) -> Prediction:
        lag = self.difference
        path = np.concatenate([self.last, self.result.forecast(steps)])
        for step in range(lag, path.size if lag else 0):
            path[step] += path[step - lag]
        return Prediction(path[lag:], sd=_deviation(self.result, steps, lag))


@dataclass(frozen=True)
class Arima:
    """ARIMA(p, d, q)(P, D, Q)s, if wanted on the differences over one more, long season.

    Parameters
    ----------
    order, seasonal_order : (p, d, q), (P, D, Q, s)
    difference : int
        Season in steps whose difference is taken beforehand: 168 hours would make the state of a
        seasonal model too large. 0 for none.
    trend : str
        statsmodels' letter: ``n`` none, ``c`` a constant.
    log : bool
        Work on the logarithm, see `Scale`.
    """

    order: Order
    seasonal_order: Seasonal = (0, 0, 0, 0)
    difference: int = 0
    trend: str = "n"
    log: bool = True
    name: str = "arima"

    def fit(self, history: Array, seasons: tuple[int, ...]) -> _ArimaState:
        lag = self.difference
        needed = 2 * lag + 4 * max(sum(self.order) + 1, self.seasonal_order[3])
        if history.size < needed:
            raise ValueError(f"{self.name}: {history.size} values are too few, need {needed}")
        recent = history[-_WINDOW - lag :]
        values = recent[lag:] - recent[: recent.size - lag] if lag else recent
        result = _estimate(values, self.order, self.seasonal_order, self.trend)
        return _ArimaState(result, lag, history[history.size - lag :])


@dataclass(frozen=True)
class _HarmonicState:
    model: HarmonicArima
    seasons: tuple[int, ...]
    result: Any
    recent: Array

    def extend(self, values: Array) -> _HarmonicState:
        recent = np.concatenate([self.recent, values])[-_WINDOW:]
        left = recent - self.model.waves_of(recent, self.seasons, 0)
        return replace(self, result=self.result.apply(left[-_SETTLE:]), recent=recent)

    def predict(self, steps: int) -> Prediction:
        waves = self.model.waves_of(self.recent, self.seasons, steps)[self.recent.size :]
        return Prediction(waves + self.result.forecast(steps), sd=_deviation(self.result, steps))


@dataclass(frozen=True)
class HarmonicArima:
    """Least squares on sine waves, recent weeks counting more, and an ARMA for what they leave.

    Moving on by new values fits the waves again (one least squares) and keeps the ARMA.

    Parameters
    ----------
    order, seasonal_order : (p, d, q), (P, D, Q, s)
        Of the errors.
    waves : tuple of int
        Number of frequencies for each season, shortest season first.
    memory : float
        Steps after which a value's weight has fallen to 1/e; infinity weighs all alike.
    """

    order: Order = (1, 0, 1)
    seasonal_order: Seasonal = (1, 0, 0, 24)
    waves: tuple[int, ...] = (12, 84)
    memory: float = 240.0
    log: bool = True
    name: str = "harmonic_arima"

    def waves_of(self, values: Array, seasons: tuple[int, ...], steps: int) -> Array:
        """The waves fitted to ``values``, there and ``steps`` further."""
        pairs = zip(seasons, self.waves, strict=False)
        found = {round(k / s, 9) for s, count in pairs for k in range(1, count + 1) if 2 * k <= s}
        angle = 2 * np.pi * np.outer(np.arange(values.size + steps), sorted(found))
        design = np.column_stack([np.ones(len(angle)), np.cos(angle), np.sin(angle)])
        seen = design[: values.size]
        weighted = seen.T * np.exp(-np.arange(values.size, 0, -1.0) / self.memory)
        gram = weighted @ seen + _RIDGE * np.eye(len(weighted))
        return np.asarray(design @ np.linalg.solve(gram, weighted @ values))

    def fit(self, history: Array, seasons: tuple[int, ...]) -> _HarmonicState:
        if not seasons or history.size < 2 * max(seasons):
            raise ValueError(f"{self.name}: {history.size} values, need two of seasons {seasons}")
        recent = history[-_WINDOW:]
        left = recent - self.waves_of(recent, seasons, 0)
        result = _estimate(left, self.order, self.seasonal_order)
        return _HarmonicState(self, seasons, result, recent)
