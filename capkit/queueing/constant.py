"""M/D/c exactly: Poisson arrivals and constant service times, the mean wait and the whole law of the wait."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capkit.queueing.base import Queue
from capkit.queueing.erlang import Values, as_values, check_positive, check_servers, check_stable
from capkit.queueing.kernels import deviance, log_poisson

SIZE_LIMIT = 2**22


@dataclass(frozen=True)
class MDc(Queue):
    """M/D/c: Poisson arrivals ``arrival_rate`` lambda >= 0 (1/s), every service takes 1 / ``service_rate`` s.

    From one service time to the next the queue walks by (arrivals - c), never below 0; its stationary law
    follows from the factorisation of that walk (Spitzer 1956), here by two Fourier transforms; the law of the
    wait from Franx 2001. Exact to about 1e-12. Rates and servers are numbers; times may be arrays.
    ValueError for bad values, an unstable system, or a utilisation above about 1 - 2e-5.
    G. J. Franx, A simple solution for the M/D/c waiting time distribution, 2001.

    >>> queue = MDc(1.6, 1.0, servers=2)
    >>> round(queue.mean_wait, 6), round(queue.p_wait_exceeds(1.0), 6)
    (0.903284, 0.331022)
    """

    arrival_rate: float
    service_rate: float
    servers: int

    def __post_init__(self) -> None:
        check_positive("arrival_rate", self.arrival_rate, zero=True)
        check_positive("service_rate", self.service_rate)
        check_servers(self.servers)
        check_stable(self.offered_load, self.servers)
        if self._size > SIZE_LIMIT:
            raise ValueError(
                f"a utilisation of {self.utilization:.8g} is too near 1 for the exact law; "
                "MGc(..., 0.0, 'cosmetatos') is within 0.1 % there"
            )

    @property
    def _size(self) -> int:
        """Queue lengths to carry: past both the walk's step and the queue's tail, a power of 2."""
        longest = 80.0 / (1.0 - self.utilization) + 20.0 * math.sqrt(self.servers)
        return int(2 ** math.ceil(math.log2(longest)))

    @cached_property
    def _ladder(self) -> NDArray[np.float64]:
        """Sum over k of P(the walk is at j after k steps) / k for j = 0, 1, ...; entry 0 is not used."""
        count, load, size = self.servers, float(self.offered_load), self._size
        radius = count / load
        angle = 2.0 * np.pi * np.arange(size // 2 + 1) / size
        # ln of the step's transform on the circle through its least value on the real axis
        turn = -2.0 * np.sin(angle / 2.0) ** 2 + 1j * (angle - np.sin(angle))
        step = count * turn - deviance(float(count), load)
        x, y = np.exp(step).real, np.exp(step).imag  # where small, 1 - x - iy would lose them
        with np.errstate(divide="ignore"):
            far = 0.5 * np.log1p(x * (x - 2.0) + y * y) + 1j * np.arctan2(-y, 1.0 - x)
        found = np.fft.irfft(-np.where(step.real < -0.5, far, np.log(-np.expm1(step))), size)
        ladder: NDArray[np.float64] = found[: size // 2] * radius ** -np.arange(size // 2.0)
        return ladder

    @cached_property
    def _longer(self) -> NDArray[np.float64]:
        """P(more than n wait) for n = 0, 1, ..., 0 at the end."""
        sums = np.fft.rfft(np.r_[0.0, self._ladder[1:], np.zeros(self._ladder.size)])
        queue = np.fft.irfft(np.expm1(sums - sums[0]))
        return np.append(np.maximum(np.cumsum(queue[:0:-1])[::-1], 0.0), 0.0)

    @property
    def mean_wait(self) -> float:
        """Wq, s."""
        if self.arrival_rate == 0:
            return 0.0
        steps = np.arange(self._ladder.size)
        return float(steps @ self._ladder) / self.arrival_rate

    @property
    def p_wait(self) -> Values:
        """Probability that a request waits."""
        return self.p_wait_exceeds(0.0)

    def p_wait_exceeds(self, time: ArrayLike) -> Values:
        """P(wait > time in s)."""
        t = check_positive("time", time, zero=True)
        return as_values(np.vectorize(self._p_exceeds, otypes=[float])(t * self.service_rate))

    def _p_exceeds(self, services: float) -> float:
        """P(wait > ``services`` service times): more wait than k c - 1 - (Poisson arrivals in the rest)."""
        whole = math.floor(services) + 1
        mean = float(self.offered_load) * (whole - services)
        if mean == 0.0:
            return 0.0
        spread = 9.0 * math.sqrt(mean) + 25.0
        arrivals = np.arange(max(0, int(mean - spread)), int(mean + spread))
        least = whole * self.servers - 1 - arrivals
        longer = np.where(least < 0, 1.0, self._longer[np.clip(least, 0, self._longer.size - 1)])
        return float(np.exp(log_poisson(arrivals, mean)) @ longer)

    def p_response_exceeds(self, time: ArrayLike) -> Values:
        """P(wait + service > time in s)."""
        t = check_positive("time", time, zero=True)
        service = 1.0 / self.service_rate
        late = self.p_wait_exceeds(np.maximum(t - service, 0.0))
        return as_values(np.where(t < service, 1.0, late))


def mdc_mean_wait(arrival_rate: ArrayLike, service_time: ArrayLike, servers: ArrayLike) -> Values:
    """Exact mean wait (s) of `MDc` (Crommelin 1932), ``service_time`` in s; numbers or arrays.

    >>> mdc_mean_wait([0.5, 0.8], 1.0, 1).round(6).tolist()
    [0.5, 2.0]
    """

    def one(rate: float, time: float, count: float) -> float:
        return MDc(rate, 1.0 / float(check_positive("service_time", time)), int(count)).mean_wait

    return as_values(np.vectorize(one, otypes=[float])(arrival_rate, service_time, servers))
