"""Closed systems: a load test with a fixed number of users, and how throughput scales with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from capkit.queueing.erlang import Values, as_values, check_servers
from capkit.queueing.models import check_rate


@dataclass(frozen=True)
class ClosedNetwork:
    """Exact solution of a closed network for 1 .. N customers (rows).

    Attributes
    ----------
    customers : array (N,)
    throughput : array (N,)
        X, cycles per s.
    response_time : array (N,)
        R, s per cycle, think time left out.
    queue_lengths : array (N, stations)
        Mean number at each station, in service included.
    utilizations : array (N, stations)
    """

    customers: NDArray[np.int64]
    throughput: NDArray[np.float64]
    response_time: NDArray[np.float64]
    queue_lengths: NDArray[np.float64]
    utilizations: NDArray[np.float64]


def mva(demands: ArrayLike, customers: int, think_time: float = 0.0) -> ClosedNetwork:
    """Exact mean value analysis of one class (Reiser and Lavenberg 1980).

    Parameters
    ----------
    demands : array (stations,)
        Service demand per cycle at each single-server station, s.
    customers : int
        N >= 1.
    think_time : float
        Z, s between an answer and the next request.

    Raises
    ------
    ValueError
        No station, a demand that is not positive, or no customer.

    >>> result = mva([0.605, 2.1, 1.35], 20, think_time=15.0)
    >>> result.throughput[[0, 2, 19]].round(6).tolist()
    [0.05248, 0.151516, 0.474516]
    """
    demand = np.atleast_1d(np.asarray(demands, dtype=float))
    check_rate("demands", demand)
    check_rate("think_time", think_time, zero=True)
    if demand.size == 0:
        raise ValueError("give at least one station's demand")
    total = int(check_servers(customers))
    throughput, response = np.empty(total), np.empty(total)
    queues = np.empty((total, demand.size))
    queue = np.zeros(demand.size)
    for n in range(total):
        residence = demand * (1.0 + queue)
        response[n] = residence.sum()
        throughput[n] = (n + 1) / (think_time + response[n])
        queue = throughput[n] * residence
        queues[n] = queue
    return ClosedNetwork(
        np.arange(1, total + 1), throughput, response, queues, np.outer(throughput, demand)
    )


@dataclass(frozen=True)
class USL:
    """Universal scalability law: X(N) = gamma N / (1 + alpha (N - 1) + beta N (N - 1)).

    Attributes
    ----------
    alpha : float
        Contention: the share of the work that queues for something shared.
    beta : float
        Coherence: the cost of each pair of workers keeping in step.
    gamma : float
        Throughput of one worker, 1/s.

    References
    ----------
    N. J. Gunther, Guerrilla Capacity Planning, 2007, chapter 5.
    """

    alpha: float
    beta: float
    gamma: float

    def throughput(self, concurrency: ArrayLike) -> Values:
        """X at this number of workers or users, 1/s."""
        n = np.asarray(concurrency, dtype=float)
        return as_values(
            self.gamma * n / (1.0 + self.alpha * (n - 1.0) + self.beta * n * (n - 1.0))
        )

    @property
    def peak_concurrency(self) -> float:
        """N at which the throughput is greatest: sqrt((1 - alpha) / beta); infinite without coherence cost."""
        return float(np.sqrt((1.0 - self.alpha) / self.beta)) if self.beta > 0 else float("inf")


def fit_usl(concurrency: ArrayLike, throughput: ArrayLike) -> USL:
    """Fit the universal scalability law by least squares on the throughput, 0 <= alpha <= 1, beta >= 0.

    Parameters
    ----------
    concurrency : array (n,)
        Workers or users, n >= 3 different values.
    throughput : array (n,)
        Measured throughput, 1/s.

    Raises
    ------
    ValueError
        Fewer than three points, lengths that differ, or values that are not positive.

    >>> fit = fit_usl([1, 2, 4, 8, 16], [10.0, 18.9, 33.9, 54.8, 73.3])
    >>> round(fit.alpha, 2), round(fit.gamma, 1)
    (0.05, 10.0)
    """
    n, x = np.asarray(concurrency, dtype=float), np.asarray(throughput, dtype=float)
    if n.ndim != 1 or n.shape != x.shape or np.unique(n).size < 3:
        raise ValueError(
            f"needs two columns of equal length with three different concurrencies, got {n.shape} and {x.shape}"
        )
    check_rate("concurrency", n)
    check_rate("throughput", x)
    scale = float(np.max(x / n))
    found = least_squares(
        lambda v: scale * USL(v[0], v[1] * 1e-3, v[2]).throughput(n) - x,
        x0=(0.05, 0.1, 1.0),
        bounds=([0.0, 0.0, 0.0], [1.0, np.inf, np.inf]),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    return USL(float(found.x[0]), float(found.x[1]) * 1e-3, float(found.x[2]) * scale)
