"""What a sweep says: how far the server carries, where its knee is, and what would have to grow first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
STEADY = 1e-5


def steady_levels(sweep: pd.DataFrame) -> pd.DataFrame:
    """The rows of a sweep taken as steady: no errors, answered as fast as asked, no trend with p below `STEADY`.

    The bound is low on purpose: a shared machine that changes its speed a little during a level gives p-values of
    0.001, a queue that grows gives 1e-9. So a level that passes may still have drifted: read its p-value.
    """
    kept_up = sweep["throughput_rps"] >= 0.97 * sweep["offered_rps"]
    steady = ~(sweep["trend_pvalue"] < STEADY)
    return sweep[kept_up & steady & sweep["errors"].eq(0)]


@dataclass(frozen=True)
class Knee:
    """The knee of a latency curve R = base + slope x / (limit - x), with a 95 % interval.

    ``rate`` (1/s) is where throughput / latency is greatest (Kleinrock 1979): below it latency buys throughput at a
    good price, above it at a bad one. ``limit`` (1/s) is where the fitted curve has its pole.
    """

    rate: float
    interval: tuple[float, float]
    base_ms: float
    slope_ms: float
    limit: float

    def latency_ms(self, rate: ArrayLike) -> Array:
        """The fitted mean latency (ms) at rates (1/s) below ``limit``."""
        x = np.asarray(rate, dtype=float)
        return np.asarray(self.base_ms + self.slope_ms * x / (self.limit - x))


def find_knee(sweep: pd.DataFrame, rng: np.random.Generator, *, draws: int = 200) -> Knee:
    """Fit the latency curve to the steady levels of a sweep and find its knee.

    The interval comes from ``draws`` refits to latencies drawn from each level's own confidence interval.
    ValueError for fewer than four steady levels.

    >>> import pandas as pd
    >>> rates = np.array([100.0, 300.0, 500.0, 700.0, 850.0])
    >>> mean = 1e3 / (1000.0 - rates)  # M/M/1
    >>> columns = {"offered_rps": rates, "throughput_rps": rates, "errors": 0, "trend_pvalue": 0.5}
    >>> columns |= {"mean_ms": mean, "mean_low_ms": 0.98 * mean, "mean_high_ms": 1.02 * mean}
    >>> round(find_knee(pd.DataFrame(columns), np.random.default_rng(1)).rate)
    500
    """
    levels = steady_levels(sweep)
    if len(levels) < 4:
        raise ValueError(
            f"a knee needs four levels in steady state, got {len(levels)} of {len(sweep)}"
        )
    x, mean = levels["throughput_rps"].to_numpy(float), levels["mean_ms"].to_numpy(float)
    error = (levels["mean_high_ms"] - levels["mean_low_ms"]).to_numpy(float) / 4 + 1e-3 * mean
    best = _fit(x, mean, error)
    knees = [_knee(*_fit(x, drawn, error)) for drawn in rng.normal(mean, error, (draws, x.size))]
    low, high = np.quantile(knees, [0.025, 0.975])
    return Knee(_knee(*best), (float(low), float(high)), *best)


def _fit(x: Array, mean: Array, error: Array) -> tuple[float, float, float]:
    """Base, slope and limit by least squares of the error in standard deviations."""
    from scipy.optimize import least_squares

    def miss(p: Array) -> Array:
        return np.asarray((p[0] + p[1] * x / (x.max() * (1 + p[2]) - x) - mean) / error)

    start = (mean.min(), mean.min() / 2, 0.1)
    found = least_squares(miss, start, bounds=([0.0, 1e-9, 1e-4], np.inf), x_scale=start).x
    return float(found[0]), float(found[1]), float(x.max() * (1 + found[2]))


def _knee(base: float, slope: float, limit: float) -> float:
    """Where x / R(x) is greatest: base = slope (u / (1 - u))**2 with u = x / limit."""
    ratio = np.sqrt(base / slope)
    return float(limit * ratio / (1 + ratio))


def rank_resources(sweep: pd.DataFrame, available: Mapping[str, float]) -> pd.DataFrame:
    """Order resources by the load at which each would be full: the first is the bottleneck.

    A resource that limits is used in proportion to the load (utilisation law), so use = demand x throughput is
    fitted through the origin over all levels, and the rest says how well that describes it.

    Parameters
    ----------
    sweep : DataFrame
        As `capkit.loadtest.sweep` returns it.
    available : mapping of column to number
        What there is of each resource, in the unit of the sweep's column; columns without values are left out.

    Returns
    -------
    DataFrame
        A row a resource, the one that is full first on top: ``share`` (used at the highest throughput over
        available), ``per_request`` (demand, unit x s), ``r2`` (of the proportion; 1 is exact), ``full_at_rps``.

    Raises
    ------
    ValueError
        No column with values, or an amount that is not positive.

    >>> import pandas as pd
    >>> seen = pd.DataFrame({"throughput_rps": [100.0, 200.0], "cpu_percent": [30.0, 60.0], "sent_mib_s": [1.0, 2.0]})
    >>> rank_resources(seen, {"cpu_percent": 100.0, "sent_mib_s": 100.0})["full_at_rps"].round(1).to_dict()
    {'cpu_percent': 333.3, 'sent_mib_s': 10000.0}
    """
    import pandas as pd

    x = sweep["throughput_rps"].to_numpy(float)
    rows = {}
    for column, amount in available.items():
        if not amount > 0:
            raise ValueError(f"there must be some {column} available, got {amount}")
        used = sweep[column].to_numpy(float)
        if not np.isfinite(used).all() or not used.any():
            continue
        demand = float(x @ used / (x @ x))
        unexplained = float(((used - demand * x) ** 2).sum() / (used**2).sum())
        rows[column] = {
            "share": float(used[x.argmax()]) / amount,
            "per_request": demand,
            "r2": 1 - unexplained,
            "full_at_rps": amount / demand,
        }
    if not rows:
        raise ValueError(f"the sweep has no values for any of {', '.join(available)}")
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("full_at_rps")
