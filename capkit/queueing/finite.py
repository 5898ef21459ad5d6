"""Queues with a finite room, and the exact mean wait for constant service times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc, gammaincc

from capkit.queueing.erlang import (
    Values,
    as_values,
    check_servers,
    check_stable,
    erlang_b,
    log_poisson,
)
from capkit.queueing.models import check_rate, invert_survival


@dataclass(frozen=True)
class MMcK:
    """M/M/c/K: as M/M/c, but a request that finds K in the system is turned away. Exact at any load.

    Waits and responses are those of the accepted requests.

    Parameters
    ----------
    arrival_rate, service_rate : float
        lambda > 0 and mu > 0, 1/s.
    servers : int
        c.
    capacity : int
        K >= c: room in service and in queue together. K = c is M/M/c/c (Erlang's loss system).

    Raises
    ------
    ValueError
        Bad rates, or K < c.

    References
    ----------
    D. Gross, C. M. Harris, Fundamentals of Queueing Theory, section on M/M/c/K.

    >>> queue = MMcK(8.0, 4.0, servers=5, capacity=12)
    >>> round(queue.p0, 6), round(queue.mean_in_system, 6)
    (0.134334, 2.039346)
    """

    arrival_rate: float
    service_rate: float
    servers: int
    capacity: int

    def __post_init__(self) -> None:
        check_rate("arrival_rate", self.arrival_rate)
        check_rate("service_rate", self.service_rate)
        check_servers(self.servers)
        if self.capacity < self.servers or self.capacity != int(self.capacity):
            raise ValueError(
                f"capacity counts the requests in service too: a whole number >= servers = {self.servers}, "
                f"got {self.capacity}"
            )

    @cached_property
    def _tail(self) -> NDArray[np.float64]:
        """P(N = n) for n = c .. K."""
        ratio = self.offered_load / self.servers
        power = np.arange(self.capacity - self.servers + 1) * np.log(ratio)
        peak = power.max()
        below = np.exp(-peak) * (1.0 / erlang_b(self.servers, self.offered_load) - 1.0)
        weights = np.exp(power - peak)
        tail: NDArray[np.float64] = weights / (below + weights.sum())
        return tail

    @property
    def offered_load(self) -> float:
        """a = lambda / mu, erlang, of all requests, also those turned away."""
        return self.arrival_rate / self.service_rate

    @property
    def p0(self) -> float:
        """Probability that the system is empty."""
        point = log_poisson(self.servers, self.offered_load)
        return float(np.exp(np.log(self._tail[0]) - self.offered_load - point))

    @property
    def p_block(self) -> float:
        """Probability that a request is turned away: P(N = K)."""
        return float(self._tail[-1])

    @property
    def throughput(self) -> float:
        """Accepted requests per s."""
        return self.arrival_rate * (1.0 - self.p_block)

    @property
    def utilization(self) -> float:
        """Busy share of a server: throughput / (c mu)."""
        return self.throughput / (self.servers * self.service_rate)

    @property
    def _found(self) -> NDArray[np.float64]:
        """P(an accepted request finds n = c .. K-1 in the system)."""
        return self._tail[:-1] / (1.0 - self.p_block)

    @property
    def p_wait(self) -> float:
        """Probability that an accepted request waits."""
        return float(self._found.sum())

    @property
    def mean_queue_length(self) -> float:
        """Lq, mean number waiting."""
        return float(self._tail @ np.arange(self._tail.size))

    @property
    def mean_in_system(self) -> float:
        """L, mean number waiting or in service."""
        return self.mean_queue_length + self.throughput / self.service_rate

    @property
    def mean_wait(self) -> float:
        """Wq of accepted requests, s."""
        return self.mean_queue_length / self.throughput

    @property
    def mean_response(self) -> float:
        """W of accepted requests, s."""
        return self.mean_wait + 1.0 / self.service_rate

    def _stages(self, time: ArrayLike) -> tuple[Any, Any, float]:
        check_rate("time", time, zero=True)
        t = np.asarray(time, dtype=float)[..., np.newaxis]
        return t, np.arange(1.0, self._tail.size), self.servers * self.service_rate

    def p_wait_exceeds(self, time: ArrayLike) -> Values:
        """P(wait > time) of an accepted request: it waits for n - c + 1 departures."""
        t, stages, rate = self._stages(time)
        return as_values(gammaincc(stages, rate * t) @ self._found)

    def wait_quantile(self, percentile: ArrayLike) -> Values:
        """The wait (s) that a share ``percentile`` of the accepted requests does not exceed."""
        return invert_survival(self.p_wait_exceeds, percentile, 1.0 / self.service_rate)

    def p_response_exceeds(self, time: ArrayLike) -> Values:
        """P(wait + service > time) of an accepted request."""
        t, stages, rate = self._stages(time)
        own = np.exp(-self.service_rate * t[..., 0])
        if self.servers == 1:
            late = gammaincc(stages + 1.0, rate * t)
        else:
            with np.errstate(divide="ignore"):
                done = np.log(gammainc(stages, (rate - self.service_rate) * t))
            growth = stages * np.log(self.servers / (self.servers - 1.0))
            late = gammaincc(stages, rate * t) + np.exp(growth + done - self.service_rate * t)
        return as_values(own * (1.0 - self.p_wait) + late @ self._found)

    def response_quantile(self, percentile: ArrayLike) -> Values:
        """The response time (s) that a share ``percentile`` of the accepted requests does not exceed."""
        return invert_survival(self.p_response_exceeds, percentile, 1.0 / self.service_rate)


def mdc_mean_wait(arrival_rate: float, service_time: float, servers: int) -> float:
    """Exact mean wait (s) of M/D/c: Poisson arrivals, constant service time (Crommelin 1932).

    Parameters
    ----------
    arrival_rate : float
        lambda >= 0, 1/s.
    service_time : float
        D > 0, s.
    servers : int
        c. The series has about 80 / (c (1 - rho)^2) terms.

    Raises
    ------
    ValueError
        Bad rates, an unstable system, or a load so near 1 that the series would be too long.

    >>> round(mdc_mean_wait(1.6, 1.0, 2), 6)
    0.903284
    """
    check_rate("arrival_rate", arrival_rate, zero=True)
    check_rate("service_time", service_time)
    count, load = int(check_servers(servers)), arrival_rate * service_time
    check_stable(load, count)
    if count == 1:
        return service_time * load / (2.0 * (1.0 - load))
    if load == 0:
        return 0.0
    exponent = count * (load / count - 1.0 - np.log(load / count))  # decay of a term, > 0
    if exponent < 2e-5:
        raise ValueError(
            f"a utilisation of {load / count:.6g} is too near 1 for the series; "
            "MGc(..., service_cv2=0) is within 0.1 % there"
        )
    i = np.arange(1, np.ceil(40.0 / exponent) + 2)
    full, mean = i * count, i * load
    at_full = np.exp(log_poisson(full.astype(np.int64), mean))
    above_full = gammainc(full + 1.0, mean)
    # The terms are P(N >= ic) - (c/a) P(N > ic) with N Poisson of mean ia; written without cancellation.
    return service_time * float(np.sum(at_full - (count / load - 1.0) * above_full))
