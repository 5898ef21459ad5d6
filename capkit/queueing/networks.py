"""Closed systems: a load test with a fixed number of users, and how throughput scales with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from capkit.queueing.erlang import Values, as_values, check_positive, check_servers


@dataclass(frozen=True)
class ClosedNetwork:
    """Exact solution for 1 .. N customers, one row each.

    ``throughput`` X (cycles per s) and ``response_time`` R (s per cycle, think time left out) are arrays (N,);
    ``queue_lengths`` (mean number, in service included) and ``utilizations`` are (N, stations).
    """

    customers: NDArray[np.int64]
    throughput: NDArray[np.float64]
    response_time: NDArray[np.float64]
    queue_lengths: NDArray[np.float64]
    utilizations: NDArray[np.float64]


def mva(demands: ArrayLike, customers: int, think_time: float = 0.0) -> ClosedNetwork:
    """Exact mean value analysis of one class (Reiser and Lavenberg 1980).

    ``demands`` (stations,) is the service demand per cycle at each single-server station (s), ``think_time`` Z
    (s) what passes between an answer and the next request. ValueError without station or customer.

    >>> result = mva([0.605, 2.1, 1.35], 20, think_time=15.0)
    >>> result.throughput[[0, 2, 19]].round(6).tolist()
    [0.05248, 0.151516, 0.474516]
    """
    demand = check_positive("demands", np.atleast_1d(demands))
    check_positive("think_time", think_time, zero=True)
    if demand.size == 0:
        raise ValueError("give at least one station's demand")
    count = int(check_servers(customers, name="customers"))
    throughput, response = np.empty(count), np.empty(count)
    queues = np.zeros((count + 1, demand.size))
    for n in range(count):
        residence = demand * (1.0 + queues[n])
        response[n] = residence.sum()
        throughput[n] = (n + 1) / (think_time + response[n])
        queues[n + 1] = throughput[n] * residence
    numbers = np.arange(1, count + 1)
    return ClosedNetwork(numbers, throughput, response, queues[1:], np.outer(throughput, demand))


@dataclass(frozen=True)
class USL:
    """Universal scalability law: X(N) = gamma N / (1 + alpha (N - 1) + beta N (N - 1)).

    ``alpha``: contention, the share of the work that queues for something shared; ``beta``: coherence, the cost of
    each pair keeping in step; ``gamma``: throughput of one, 1/s. N. J. Gunther, Guerrilla Capacity Planning, 2007.
    """

    alpha: float
    beta: float
    gamma: float

    def throughput(self, concurrency: ArrayLike) -> Values:
        """X at this number of workers or users, 1/s."""
        n = np.asarray(concurrency, dtype=float)
        return as_values(self.gamma * n / (1.0 + (n - 1.0) * (self.alpha + self.beta * n)))

    @property
    def peak_concurrency(self) -> float:
        """N of the greatest throughput, sqrt((1 - alpha) / beta); infinite without coherence cost."""
        return float(np.sqrt((1.0 - self.alpha) / self.beta)) if self.beta > 0 else float("inf")


def fit_usl(concurrency: ArrayLike, throughput: ArrayLike) -> USL:
    """Fit the universal scalability law by least squares on the throughput, 0 <= alpha <= 1, beta >= 0.

    ``concurrency`` (n,) holds three or more different numbers of workers or users, ``throughput`` (n,) what they
    reached (1/s). ValueError for fewer, lengths that differ, or values that are not positive.

    >>> fit = fit_usl([1, 2, 4, 8, 16], [10.0, 18.9, 33.9, 54.8, 73.3])
    >>> round(fit.alpha, 2), round(fit.gamma, 1)
    (0.05, 10.0)
    """
    n = check_positive("concurrency", concurrency)
    x = check_positive("throughput", throughput)
    if n.ndim != 1 or n.shape != x.shape or np.unique(n).size < 3:
        raise ValueError(
            f"needs columns of equal length with three different concurrencies, got {n.shape} and {x.shape}"
        )
    scale = float(np.max(x / n))
    found = least_squares(
        lambda v: scale * USL(v[0], v[1] * 1e-3, v[2]).throughput(n) - x,
        x0=(0.05, 0.1, 1.0),
        bounds=([0.0, 0.0, 0.0], [1.0, np.inf, np.inf]),
        **dict.fromkeys(("xtol", "ftol", "gtol"), 1e-15),
    ).x
    return USL(float(found[0]), float(found[1]) * 1e-3, float(found[2]) * scale)
