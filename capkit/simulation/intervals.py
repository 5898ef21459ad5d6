"""Confidence intervals of what was simulated or measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from capkit.simulation.draws import check_count


class ShortRunError(ValueError):
    """A run is too short for what is asked of it, or something slowed a part of it."""


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


def correlated_percentile_interval(
    values: ArrayLike, percentile: float, level: float = 0.95, *, batches: int = 20
) -> tuple[float, float]:
    """Confidence interval of a percentile of a correlated sequence, such as the waits of one queue.

    Order statistics as in `percentile_interval`, at ranks as far apart as the share of values beyond the
    percentile varies between ``batches`` consecutive parts; never narrower than for independent values.
    ValueError as there, `ShortRunError` if the values beyond the percentile stand in fewer than a quarter of the parts:
    a few excursions of the queue do not say how often such come.

    >>> data = np.random.default_rng(1).exponential(size=20_000)
    >>> low, high = correlated_percentile_interval(data, 0.9)
    >>> bool(low < np.log(10) < high)
    True
    """
    data = np.asarray(values, dtype=float)
    low, high = percentile_interval(data, percentile, level)
    size = data.size // check_count("batches", batches, 2)
    if size == 0:
        return low, high
    centre = np.quantile(data, percentile, method="inverted_cdf")
    shares = (data[: size * batches] <= centre).reshape(batches, size).mean(axis=1)
    if (parts := int((shares < 1).sum())) < batches / 4:
        raise ShortRunError(
            f"the values beyond the percentile {percentile} stand in {parts} of {batches} parts of the run: "
            "measure longer"
        )
    half = stats.t.ppf(0.5 + level / 2, batches - 1) * shares.std(ddof=1) / math.sqrt(batches)
    below, above = max(percentile - half, 0.0), min(percentile + half, 1.0)
    wide = np.quantile(data, [below, above], method="inverted_cdf")
    return min(low, float(wide[0])), max(high, float(wide[1]))


def mser(values: ArrayLike, batch: int = 5) -> int:
    """Number of first values to leave out as warm-up, by MSER-5 (White, Cobb and Spratt 2000).

    Of all cuts in the first half, the one whose rest has the smallest variance of batch means over its number
    of batches squared. ``values`` (n,) in order; ValueError for fewer than ten batches.

    >>> mser(np.r_[np.linspace(9.0, 1.0, 50), np.tile([0.9, 1.1], 500)])
    50
    """
    data = np.asarray(values, dtype=float)
    count = data.size // check_count("batch", batch, 1)
    if count < 10:
        raise ValueError(f"needs ten batches of {batch} values or more, got {data.size} values")
    means = data[: count * batch].reshape(count, batch).mean(axis=1)
    left = np.arange(count, 0, -1)
    tail = np.cumsum(means[::-1])[::-1] / left
    squares = np.cumsum((means**2)[::-1])[::-1] / left - tail**2
    return int(np.argmin((squares / left)[: count // 2])) * batch


def trend_pvalue(values: ArrayLike, batches: int = 20) -> float:
    """p-value of "no trend" (Mann and Kendall) over the means of ``batches`` consecutive parts.

    A small one says that the sequence was not in steady state. ValueError for fewer values than batches.

    >>> trend_pvalue(np.arange(100.0)) < 0.001 < trend_pvalue(np.tile([1.0, 3.0, 2.0, 4.0], 25))
    True
    """
    data = np.asarray(values, dtype=float)
    if check_count("batches", batches, 4) > data.size:
        raise ValueError(f"needs at least one value a batch: {data.size} values, {batches} batches")
    size = data.size // batches
    means = data[: size * batches].reshape(batches, size).mean(axis=1)
    return float(stats.kendalltau(np.arange(batches), means).pvalue)


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
