"""How many requests a load test needs, settled before it is run."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def sample_size(percentile: float, *, late_allowed: int = 0, level: float = 0.99) -> int:
    """Requests after which at most ``late_allowed`` late ones prove that the percentile is kept.

    Were a share of 1 - ``percentile`` or more late, so few late ones would come with a probability of at most
    1 - ``level``: a one-sided binomial test, MLPerf's rule for ending a test early (LoadGen). ``percentile`` and
    ``level`` are shares between 0 and 1; ValueError outside.

    >>> [sample_size(0.99, late_allowed=late) for late in range(5)]
    [459, 662, 838, 1001, 1157]
    """
    from scipy.stats import binom

    if not (0 < percentile < 1 and 0 < level < 1 and late_allowed >= 0):
        raise ValueError(
            f"percentile and level lie between 0 and 1, late_allowed is 0 or more; got {percentile}, "
            f"{level}, {late_allowed}"
        )
    enough = math.ceil(math.log(1 - level) / math.log(percentile))
    while binom.cdf(late_allowed, enough, 1 - percentile) > 1 - level:
        enough += 1
    return enough


def requests_needed(
    pilot_ms: ArrayLike, percentile: float, precision: float, *, level: float = 0.95
) -> int:
    """Requests that bring the interval of a percentile to +- ``precision`` (a share of the percentile).

    The half-width shrinks with the square root of the number of requests: a pilot test's latencies (ms, in order)
    say how many times more are needed. What is asked for a load holds for this load only. ValueError as
    `capkit.simulation.correlated_percentile_interval`, or for a precision that is not positive.

    >>> pilot = np.random.default_rng(1).exponential(10.0, 5000)
    >>> 3_000 < requests_needed(pilot, 0.95, 0.05) < 8_000
    True
    """
    from capkit.simulation import correlated_percentile_interval

    if not precision > 0:
        raise ValueError(f"precision must be a positive share, such as 0.05; got {precision}")
    latencies = np.asarray(pilot_ms, dtype=float)
    low, high = correlated_percentile_interval(latencies, percentile, level)
    reached = (high - low) / 2 / float(np.quantile(latencies, percentile))
    return math.ceil(latencies.size * (reached / precision) ** 2)
