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
    check_positive,
    check_servers,
    check_stable,
    erlang_b,
    log_poisson,
)
from capkit.queueing.models import Queue


@dataclass(frozen=True)
class MMcK(Queue):
    """M/M/c/K: as M/M/c, but a request that finds K in the system is turned away. Exact at any load.

    ``capacity`` K >= c counts those in service too; K = c is Erlang's loss system. ``arrival_rate`` > 0 counts all
    requests (1/s); waits and responses are those of the accepted ones. ValueError for bad rates or K < c.
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
        check_positive("arrival_rate", self.arrival_rate)
        check_positive("service_rate", self.service_rate)
        check_servers(self.servers)
        if self.capacity < self.servers or self.capacity != int(self.capacity):
            raise ValueError(
                "capacity counts the requests in service too: a whole number >= servers = "
                f"{self.servers}, got {self.capacity}"
            )

    @cached_property
    def _tail(self) -> NDArray[np.float64]:
        """P(N = n) for n = c .. K."""
        power = np.arange(self.capacity - self.servers + 1) * np.log(
            self.offered_load / self.servers
        )
        weights = np.exp(power - power.max())
        below = np.exp(-power.max()) * (1.0 / erlang_b(self.servers, self.offered_load) - 1.0)
        tail: NDArray[np.float64] = weights / (below + weights.sum())
        return tail

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
    def _found(self) -> NDArray[np.float64]:
        """P(an accepted request finds n = c .. K-1 in the system)."""
        return self._tail[:-1] / (1.0 - self.p_block)

    @property
    def p_wait(self) -> float:
        """Probability that an accepted request waits."""
        return float(self._found.sum())

    @property
    def mean_wait(self) -> float:
        """Wq of accepted requests, s."""
        return float(self._tail @ np.arange(self._tail.size)) / self.throughput

    def _stages(self, time: ArrayLike) -> tuple[Any, Any]:
        t = check_positive("time", time, zero=True)[..., np.newaxis]
        return t, np.arange(1.0, self._tail.size)

    def p_wait_exceeds(self, time: ArrayLike) -> Values:
        """P(wait > time in s) of an accepted request: it waits for n - c + 1 departures."""
        t, stages = self._stages(time)
        return as_values(gammaincc(stages, self.servers * self.service_rate * t) @ self._found)

    def p_response_exceeds(self, time: ArrayLike) -> Values:
        """P(wait + service > time in s) of an accepted request."""
        t, stages = self._stages(time)
        all_busy, own = self.servers * self.service_rate * t, self.service_rate * t
        if self.servers == 1:
            late = gammaincc(stages + 1.0, all_busy)
        else:
            with np.errstate(divide="ignore"):
                done = np.log(gammainc(stages, all_busy - own))
            growth = stages * np.log(self.servers / (self.servers - 1.0))
            late = gammaincc(stages, all_busy) + np.exp(growth + done - own)
        return as_values(np.exp(-own[..., 0]) * (1.0 - self.p_wait) + late @ self._found)


def mdc_mean_wait(arrival_rate: float, service_time: float, servers: int) -> float:
    """Exact mean wait (s) of M/D/c: Poisson arrivals (1/s), constant service time (s) (Crommelin 1932).

    A series of about 80 / (c (1 - rho)^2) terms. ValueError for bad values, an unstable system, or a load
    so near 1 that the series would be too long.

    >>> round(mdc_mean_wait(1.6, 1.0, 2), 6)
    0.903284
    """
    check_positive("arrival_rate", arrival_rate, zero=True)
    check_positive("service_time", service_time)
    count, load = int(check_servers(servers)), arrival_rate * service_time
    check_stable(load, count)
    if count == 1 or load == 0:
        return service_time * load / (2.0 * (1.0 - load / count))
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
