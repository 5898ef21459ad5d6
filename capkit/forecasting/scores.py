"""How good a forecast was, and which quantile of it to provide."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def _arrays(*values: ArrayLike) -> list[np.ndarray]:
    arrays = [np.asarray(v, dtype=float) for v in values]
    if arrays[0].size == 0 or len({a.shape for a in arrays}) > 1:
        raise ValueError(f"need equal, non-empty shapes, got {[a.shape for a in arrays]}")
    return arrays


def wape(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Weighted absolute percentage error as a share: sum of absolute errors over sum of actuals.

    >>> wape([100.0, 300.0], [110.0, 270.0])
    0.1
    """
    a, f = _arrays(actual, forecast)
    if a.sum() <= 0:
        raise ValueError("WAPE needs a positive sum of the actual values")
    return float(np.abs(a - f).sum() / a.sum())


def mase(actual: ArrayLike, forecast: ArrayLike, history: ArrayLike, season: int) -> float:
    """Mean absolute error over the history's mean change in one season (Hyndman, Koehler 2006).

    >>> mase([10.0, 12.0], [11.0, 13.0], history=[1.0, 2.0, 3.0, 6.0], season=2)
    0.333...
    """
    a, f = _arrays(actual, forecast)
    z = np.asarray(history, dtype=float)
    change = float(np.abs(z[season:] - z[:-season]).mean()) if z.size > season > 0 else 0.0
    if change == 0.0:
        raise ValueError(f"MASE needs a history that changes over its season of {season}")
    return float(np.abs(a - f).mean() / change)


def pinball(actual: ArrayLike, quantile: ArrayLike, p: float) -> float:
    """Mean pinball loss of a forecast of the p-quantile, in the unit of the series.

    One short costs ``p``, one too many ``1 - p``: least at the p-quantile (Koenker, Bassett 1978).

    >>> pinball([10.0], [8.0], 0.9), round(pinball([10.0], [12.0], 0.9), 3)
    (1.8, 0.2)
    """
    a, q = _arrays(actual, quantile)
    return float(np.maximum(p * (a - q), (p - 1.0) * (a - q)).mean())


def coverage(actual: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> float:
    """Share of the actual values inside their interval, bounds included.

    >>> coverage([1.0, 5.0], [0.0, 0.0], [2.0, 4.0])
    0.5
    """
    a, low, high = _arrays(actual, lower, upper)
    return float(((a >= low) & (a <= high)).mean())


def newsvendor_ratio(under_cost: float, over_cost: float) -> float:
    """The quantile of demand to provide, from what a unit short and a unit idle cost.

    The cost of one short over the sum of both (Arrow, Harris, Marschak 1951).

    >>> round(newsvendor_ratio(under_cost=0.50, over_cost=0.15), 4)
    0.7692
    """
    if min(under_cost, over_cost) <= 0:
        raise ValueError(f"both costs must be positive, got {under_cost} and {over_cost}")
    return under_cost / (under_cost + over_cost)
