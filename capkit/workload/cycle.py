"""The shape of the load over time: cycles of a series, minutes within the hour."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from capkit.workload.describe import characterize


def cycle_strength(series: ArrayLike, period: int) -> float:
    """Share of a detrended series that repeats with ``period``: 1 - Var(remainder) / Var(detrended).

    The trend is the centred moving mean over one period, the season the mean by position in the
    period: 0 without a cycle, 1 for a perfect one. Wang, Smith and Hyndman, Characteristic-based
    clustering for time series data, DMKD 13 (2006).

    Parameters
    ----------
    series : array of float, shape (n,)
        Equally spaced, without gaps, at least three periods.
    period : int
        Steps in a cycle: 24 or 168 for hourly data.

    >>> round(cycle_strength(np.tile([1.0, 2.0, 4.0, 3.0], 10), 4), 6)
    1.0
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("the series must be 1-D and finite: fill or cut its gaps first")
    if period < 2 or values.size < 3 * period:
        raise ValueError(
            f"period must be 2 or more and fit three times into the {values.size} values, got {period}"
        )
    weights = np.full(period, 1 / period)
    if period % 2 == 0:
        weights = np.r_[0.5, np.ones(period - 1), 0.5] / period
    trend = np.convolve(values, weights, mode="valid")
    detrended = values[weights.size // 2 :][: trend.size] - trend
    position = np.arange(detrended.size) % period
    season = np.bincount(position, detrended) / np.bincount(position)
    if np.isclose(detrended.var(), 0.0):
        raise ValueError("the series is constant or a straight line: it has no cycle to measure")
    return float(1 - (detrended - season[position]).var() / detrended.var())


def minute_factors(arrival_times: ArrayLike, window_s: float = 60.0) -> NDArray[np.float64]:
    """Rate of each complete window relative to their mean: shape (windows,), mean 1.

    >>> minute_factors([0.0, 10.0, 70.0, 80.0, 90.0, 130.0]).round(2)
    array([0.8, 1.2])
    """
    counts = characterize(arrival_times).counts(window_s)
    return np.asarray(counts / counts.mean(), dtype=np.float64)


def trend(series: ArrayLike, period: int) -> tuple[float, float, float]:
    """Change of the level in one period, relative to the mean, with its 95 % interval.

    The median of the slopes between the means of all pairs of complete periods, which a few odd periods do
    not move: Sen, JASA 63 (1968). The interval takes the periods as independent; where they are not, it
    is too narrow. Times 52 for the change in a year, if the period is a week.

    Parameters
    ----------
    series : array of float, shape (n,)
        Equally spaced, without gaps, at least five periods.
    period : int
        Steps in a cycle, so that the cycle averages out: 168 for hourly data.

    >>> change, low, high = trend(np.arange(100.0) + np.tile([0.0, 5.0], 50), 10)
    >>> round(change, 4), round(low, 4) <= round(change, 4) <= round(high, 4)
    (0.1923, True)
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("the series must be 1-D and finite: fill or cut its gaps first")
    if period < 1 or values.size < 5 * period:
        raise ValueError(f"five periods of {period} steps are needed, got {values.size} values")
    means = values[: values.size // period * period].reshape(-1, period).mean(axis=1)
    if not means.mean() > 0:
        raise ValueError("the series has no positive mean that its change could be relative to")
    slope, _, low, high = stats.theilslopes(means)
    return float(slope / means.mean()), float(low / means.mean()), float(high / means.mean())
