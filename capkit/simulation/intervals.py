"""Confidence intervals of what was simulated or measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from capkit.simulation.draws import check_count


def mean_interval(
    values: ArrayLike, batches: int = 20, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean and confidence interval of a correlated sequence, by batch means.

    ``values`` (n,) in order, warm-up already removed; the means of ``batches`` consecutive parts are taken as
    independent. For independent replications give one value each and ``batches=len(values)``.
    Returns mean, low, high; ValueError for fewer values than batches.

    >>> [round(v, 3) for v in mean_interval(np.arange(40.0) % 4)]
    [1.5, 1.02, 1.98]
    """
    data = np.asarray(values, dtype=float)
    _check_level(level)
    if check_count("batches", batches, 2) > data.size:
        raise ValueError(f"needs at least one value a batch: {data.size} values, {batches} batches")
    size = data.size // batches
    means = data[data.size - size * batches :].reshape(batches, size).mean(axis=1)
    half = stats.t.ppf(0.5 + level / 2, batches - 1) * means.std(ddof=1) / math.sqrt(batches)
    return float(means.mean()), float(means.mean() - half), float(means.mean() + half)


def percentile_interval(
    values: ArrayLike, percentile: float, level: float = 0.95
) -> tuple[float, float]:
    """Distribution-free confidence interval of a percentile, from two order statistics.

    ``values`` must be independent. Successive waits of one queue are not, which makes this interval too narrow:
    there take the percentile of each of several runs (`replicate`). ``percentile`` is a share such as 0.99; the
    confidence is at least ``level``. ValueError for too few values: the message says how many would do.

    >>> percentile_interval(np.arange(1.0, 1001.0), 0.99)
    (983.0, 997.0)
    """
    data = np.sort(np.asarray(values, dtype=float))
    _check_level(level)
    if not 0 < percentile < 1:
        raise ValueError(f"percentile is a share between 0 and 1, such as 0.99; got {percentile}")
    low = int(stats.binom.ppf((1 - level) / 2, data.size, percentile))
    high = int(stats.binom.ppf((1 + level) / 2, data.size, percentile)) + 1
    if low < 1 or high > data.size:
        rare = min(percentile, 1 - percentile)
        needed = math.ceil(math.log((1 - level) / 2) / math.log1p(-rare))
        raise ValueError(
            f"{data.size} values are too few for an interval of the percentile {percentile}: "
            f"it needs about {needed}"
        )
    return float(data[low - 1]), float(data[high - 1])


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"the confidence level lies between 0 and 1, such as 0.95; got {level}")


def replicate(
    run: Callable[[np.random.Generator], Sequence[float]],
    rng: np.random.Generator,
    replications: int = 10,
    level: float = 0.95,
) -> NDArray[np.float64]:
    """Confidence interval of what a simulation reports, from independent replications.

    ``run`` simulates once with the generator it is given and returns k figures; ``rng`` spawns one a replication.
    Returns (k, 3): mean, low and high of each figure.

    >>> figures = replicate(lambda g: [g.normal(5.0, 1.0)], np.random.default_rng(1))
    >>> bool(figures[0, 1] < 5.0 < figures[0, 2])
    True
    """
    found = np.array([run(child) for child in rng.spawn(replications)])
    return np.array([mean_interval(column, replications, level) for column in found.T])
