"""Servers that fail and come back: how many are there in each period."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from capkit.simulation.draws import check_count


def failing_servers(
    servers: int,
    periods: int,
    period_s: float,
    rng: np.random.Generator,
    *,
    mean_up_s: float,
    mean_down_s: float,
    startup_s: float = 0.0,
) -> NDArray[np.int64]:
    """Servers up at the start of each period, for `simulate_varying`; all are up at the start.

    Each fails after an exponential time of mean ``mean_up_s``, is repaired or replaced in one of mean
    ``mean_down_s``, and answers ``startup_s`` later (all in s). In the long run a share
    mean_up_s / (mean_up_s + mean_down_s + startup_s) is up. Returns (periods,).
    ValueError for times that are not positive, or a start-up below 0.

    >>> failing_servers(3, 5, 60.0, np.random.default_rng(2), mean_up_s=300.0, mean_down_s=60.0).tolist()
    [3, 3, 3, 3, 1]
    """
    count, steps = check_count("servers", servers, 1), check_count("periods", periods, 1)
    times = (period_s, mean_up_s, mean_down_s)
    if not (min(times) > 0 and startup_s >= 0 and math.isfinite(sum(times) + startup_s)):
        raise ValueError(
            "period_s, mean_up_s and mean_down_s must be > 0 and startup_s >= 0, all finite; got "
            f"{period_s}, {mean_up_s}, {mean_down_s} and {startup_s}"
        )
    starts = np.arange(steps) * period_s
    up = np.zeros(steps, dtype=np.int64)
    for _ in range(count):
        back = 0.0
        while back < starts[-1] + period_s:
            fails = back + rng.exponential(mean_up_s)
            up += (back <= starts) & (starts < fails)
            back = fails + rng.exponential(mean_down_s) + startup_s
    return up
