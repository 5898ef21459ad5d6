"""Runs of any length in bounded memory: the queue's state and histograms are all that is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from capkit.simulation.draws import Array, check_count
from capkit.simulation.queues import check_times, fcfs

LOWEST_S, HIGHEST_S = 1e-9, 1e9
BIN_WIDTH = 0.002  # of the natural logarithm
BINS = math.ceil(math.log(HIGHEST_S / LOWEST_S) / BIN_WIDTH)


@njit(cache=True)
def _count(counts: Any, values: Any) -> None:
    for value in values:
        if value <= LOWEST_S:
            counts[0] += 1
        else:
            counts[min(int(math.log(value / LOWEST_S) / BIN_WIDTH), BINS - 1) + 1] += 1


@dataclass
class LogHistogram:
    """Times (s) counted in logarithmic bins: quantiles to 0.1 %, in 170 kB for any number of values.

    A time up to 1 ns counts as 0. Histograms of parts add up (``+``) to that of the whole.
    C. Masson, J. E. Rim, H. K. Lee, DDSketch, VLDB 2019.

    >>> histogram = LogHistogram()
    >>> histogram.add([0.0, 0.010, 0.020, 0.030])
    >>> round(histogram.mean, 6), round(histogram.quantile(0.5), 4), histogram.share_above(0.015)
    (0.015, 0.01, 0.5)
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS + 1, dtype=np.int64))
    total: float = 0.0

    def add(self, times: ArrayLike) -> None:
        """Count ``times`` (n,) in s; ValueError unless finite and >= 0."""
        values = np.asarray(times, dtype=float)
        if not np.all((values >= 0) & np.isfinite(values)):
            raise ValueError("times must be finite and >= 0")
        _count(self.counts, values)
        self.total += float(values.sum())

    def __add__(self, other: LogHistogram) -> LogHistogram:
        return LogHistogram(self.counts + other.counts, self.total + other.total)

    @property
    def size(self) -> int:
        """How many times were counted; ValueError for none."""
        if not self.counts.any():
            raise ValueError("the histogram is empty: add times first")
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean of all times, s; not rounded to bins."""
        return self.total / self.size

    def quantile(self, percentile: float) -> float:
        """The time (s) that a share ``percentile`` does not exceed: the middle of its bin."""
        if not 0 <= percentile <= 1:
            raise ValueError(f"percentile is a share such as 0.99, got {percentile}")
        place = int(np.searchsorted(np.cumsum(self.counts), max(percentile * self.size, 1.0)))
        return LOWEST_S * math.exp((place - 0.5) * BIN_WIDTH) if place else 0.0

    def share_above(self, time: float) -> float:
        """Share of the times above ``time`` (s), by whole bins."""
        place = math.ceil(math.log(max(time, LOWEST_S) / LOWEST_S) / BIN_WIDTH)
        return float(self.counts[place + 1 :].sum() / self.size)


def stream_fcfs(
    draw: Callable[[np.random.Generator, int], tuple[ArrayLike, ArrayLike]],
    servers: int,
    requests: int,
    rng: np.random.Generator,
    *,
    warmup: int = 0,
    chunk: int = 2**18,
) -> tuple[LogHistogram, LogHistogram]:
    """Waits and responses of `simulate_fcfs`, for 10^9 requests and more, as two histograms.

    Parameters
    ----------
    draw : callable
        ``draw(rng, n)`` returns the next n gaps between arrivals and n service times, s.
    servers, requests : int
        How many.
    rng : numpy.random.Generator
        Handed to ``draw``.
    warmup : int
        Requests at the start that are left out of the histograms.
    chunk : int
        Requests in memory at once.

    >>> def draw(rng, n):
    ...     return rng.exponential(1.25, n), rng.exponential(1.0, n)
    >>> waits, responses = stream_fcfs(draw, 1, 10_000, np.random.default_rng(1), warmup=1_000)
    >>> waits.size, bool(waits.mean < responses.mean)
    (9000, True)
    """
    free: Array = np.full(check_count("servers", servers, 1), -np.inf)
    waiting, responding = LogHistogram(), LogHistogram()
    done, total = 0, check_count("requests", requests, 1)
    while done < total:
        gaps, times = draw(rng, min(check_count("chunk", chunk, 1), total - done))
        arrivals, services = check_times(np.cumsum(gaps), times)
        waits = fcfs(arrivals, services, free)
        free -= arrivals[-1]  # time starts anew with every chunk, so that it keeps its digits
        skipped = max(warmup - done, 0)
        waiting.add(waits[skipped:])
        responding.add(waits[skipped:] + services[skipped:])
        done += arrivals.size
    return waiting, responding
