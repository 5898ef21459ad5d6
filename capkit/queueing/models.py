"""Delay systems with one central queue: M/M/c exactly, M/G/c and G/G/c by Allen and Cunneen's scaling.

All attributes accept and return arrays: ``MMc(rates, 50.0, 4).mean_wait`` is a curve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import exprel, gammainc, gammaincc, gammaln, hyp1f1

from capkit.queueing.erlang import (
    Values,
    as_values,
    check_positive,
    check_servers,
    check_stable,
    erlang_c,
    log_poisson,
)


def invert_survival(survival: Callable[[Any], Any], percentile: ArrayLike, scale: Any) -> Values:
    """Smallest t >= 0 with ``survival(t) <= 1 - percentile``, elementwise, by bisection from ``scale`` (s)."""
    share = np.asarray(percentile, dtype=float)
    if not np.all((share >= 0) & (share < 1)):
        raise ValueError(f"a percentile is a share in [0, 1), such as 0.99; got {percentile!r}")
    tail = 1.0 - share
    high = np.zeros(np.broadcast(tail, scale).shape) + scale
    low = np.zeros_like(high)
    while np.any(above := survival(high) > tail):
        low, high = np.where(above, high, low), np.where(above, 2.0 * high, high)
    middle = 0.5 * (low + high)
    while np.any((low < middle) & (middle < high)):
        above = survival(middle) > tail
        low, high = np.where(above, middle, low), np.where(above, high, middle)
        middle = 0.5 * (low + high)
    return as_values(np.where(survival(np.zeros_like(high)) <= tail, 0.0, high))


def gamma_survival(time: ArrayLike, mean: ArrayLike, cv2: ArrayLike) -> Values:
    """P(S > t) of a gamma law with this mean and squared coefficient of variation (0: constant).

    >>> round(gamma_survival(2.0, 1.0, 1.0), 6)
    0.135335
    """
    t, mean, cv2 = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (time, mean, cv2)))
    shape = 1.0 / np.where(cv2 > 0, cv2, 1.0)
    return as_values(np.where(cv2 > 0, gammaincc(shape, shape * t / mean), t < mean))


def _discounted_service(*arguments: Any) -> Any:
    """E[exp(-decay (t - S)); S <= t] of a gamma service law; arguments t, rate, cv2, decay."""
    t, rate, cv2, decay = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in arguments))
    constant = cv2 <= 0
    shape = 1.0 / np.where(constant, 1.0, cv2)
    load, x = shape * rate * t, (shape * rate - decay) * t
    with np.errstate(all="ignore"):
        # x large: the integral is nearly complete. Else Kummer's function: a positive series, or at most 1.
        closed = -shape * np.log1p(-decay / (shape * rate)) - decay * t + np.log(gammainc(shape, x))
        kummer = np.log(hyp1f1(1.0, shape + 1.0, np.minimum(x, shape + 1.0)))
        kummer += shape * np.log(load) - load - gammaln(shape + 1.0)
        general = np.exp(np.where(x > shape + 1.0, closed, kummer))
        fixed = np.where(t >= 1.0 / rate, np.exp(-decay * np.maximum(t - 1.0 / rate, 0.0)), 0.0)
    return np.where(constant, fixed, np.where(t > 0, general, 0.0))


class Queue:
    """What follows from a queue's rates, its mean wait and its tails; times in s, rates in 1/s."""

    arrival_rate: Values
    service_rate: Values
    servers: Values
    p_wait: Any
    mean_wait: Any
    p_wait_exceeds: Any
    p_response_exceeds: Any

    @property
    def offered_load(self) -> Values:
        """a = lambda / mu, erlang."""
        return as_values(np.asarray(self.arrival_rate, dtype=float) / self.service_rate)

    @property
    def throughput(self) -> Values:
        """Requests served per s."""
        return self.arrival_rate

    @property
    def utilization(self) -> Values:
        """rho, the busy share of a server: throughput / (c mu)."""
        return as_values(np.asarray(self.throughput) / self.service_rate / self.servers)

    @property
    def mean_response(self) -> Values:
        """W, mean wait plus mean service."""
        return as_values(self.mean_wait + 1.0 / np.asarray(self.service_rate, dtype=float))

    @property
    def mean_queue_length(self) -> Values:
        """Lq, mean number waiting (Little's law on the queue)."""
        return as_values(np.asarray(self.throughput) * self.mean_wait)

    @property
    def mean_in_system(self) -> Values:
        """L, mean number waiting or in service (Little's law on the system)."""
        return as_values(np.asarray(self.throughput) * self.mean_response)

    def wait_quantile(self, percentile: ArrayLike) -> Values:
        """The wait that a share ``percentile`` of the requests does not exceed; 0 if so many do not wait."""
        return invert_survival(self.p_wait_exceeds, percentile, self.mean_response)

    def response_quantile(self, percentile: ArrayLike) -> Values:
        """The wait plus service that a share ``percentile`` of the requests does not exceed."""
        return invert_survival(self.p_response_exceeds, percentile, self.mean_response)


class _Delay(Queue):
    """M/M/c, M/G/c and G/G/c; a subclass says how much gaps and service times vary."""

    def __post_init__(self) -> None:
        cv2 = self._cv2()
        check_positive("arrival_rate", self.arrival_rate, zero=True)
        check_positive("service_rate", self.service_rate)
        for name, value in zip(("arrival_cv2", "service_cv2"), cv2, strict=True):
            check_positive(name, value, zero=True)
        check_servers(self.servers)
        check_stable(self.offered_load, self.servers)
        if np.any(np.asarray(cv2[0]) + cv2[1] == 0):
            raise ValueError(
                "arrival_cv2 and service_cv2 are both 0: nothing varies, so nobody waits"
            )

    def _cv2(self) -> tuple[Any, Any]:
        raise NotImplementedError

    @cached_property
    def p_wait(self) -> Values:
        """Probability that a request waits (Erlang C)."""
        return erlang_c(self.servers, self.offered_load)

    @cached_property
    def _decay(self) -> Any:
        spare = (
            np.asarray(self.servers) * np.asarray(self.service_rate, dtype=float)
            - self.arrival_rate
        )
        return 2.0 * spare / np.sum(np.broadcast_arrays(*self._cv2()), axis=0, dtype=float)

    @property
    def mean_wait(self) -> Values:
        """Wq, mean time in queue."""
        return as_values(self.p_wait / self._decay)

    def p_wait_exceeds(self, time: ArrayLike) -> Values:
        """P(wait > time)."""
        t = check_positive("time", time, zero=True)
        return as_values(self.p_wait * np.exp(-self._decay * t))

    def p_response_exceeds(self, time: ArrayLike) -> Values:
        """P(wait + service > time): the convolution of the two laws in closed form."""
        t = check_positive("time", time, zero=True)
        rate, cv2 = np.asarray(self.service_rate, dtype=float), self._cv2()[1]
        late = _discounted_service(t, rate, cv2, self._decay)
        return as_values(gamma_survival(t, 1.0 / rate, cv2) + self.p_wait * late)


@dataclass(frozen=True)
class MMc(_Delay):
    """M/M/c: Poisson arrivals, exponential service times, c servers; everything exact.

    Attributes: ``arrival_rate`` lambda >= 0 and ``service_rate`` mu > 0 of one server (1/s), ``servers`` c;
    numbers or arrays. ValueError for bad values, or if unstable (it says how many servers are needed).
    D. Gross, C. M. Harris, Fundamentals of Queueing Theory, section on multiserver queues.

    >>> queue = MMc(arrival_rate=6.0, service_rate=3.0, servers=3)
    >>> round(queue.p0, 6), round(queue.mean_queue_length, 6)
    (0.111111, 0.888889)
    """

    arrival_rate: Values
    service_rate: Values
    servers: Values

    def _cv2(self) -> tuple[Any, Any]:
        return 1.0, 1.0

    @property
    def p0(self) -> Values:
        """P0, the probability that the system is empty."""
        load, count = np.asarray(self.offered_load), check_servers(self.servers)
        p_full = np.asarray(self.p_wait) * (1.0 - self.utilization)
        with np.errstate(divide="ignore"):
            log_p0 = np.log(p_full) - load - log_poisson(count, np.where(load > 0, load, 1.0))
        return as_values(np.where(load > 0, np.exp(log_p0), 1.0))

    def p_response_exceeds(self, time: ArrayLike) -> Values:
        """P(wait + service > time): the two exponentials convolved."""
        t = check_positive("time", time, zero=True)
        rate = np.asarray(self.service_rate, dtype=float)
        slow, gap = np.minimum(rate, self._decay), np.abs(rate - self._decay)
        late = rate * t * np.exp(-slow * t) * exprel(-gap * t)
        return as_values(np.exp(-rate * t) + self.p_wait * late)


@dataclass(frozen=True)
class MGc(_Delay):
    """M/G/c: Poisson arrivals, service times with squared coefficient of variation ``service_cv2``.

    As `GGc` with arrival_cv2 = 1. The mean is exact for one server (Pollaczek-Khinchine); with more the
    error grows as the load falls (constant service: -12 % at c = 4, rho = .5; -6 % at c = 8, rho = .8).

    >>> round(MGc(0.8, 1.0, 1, service_cv2=0.0).mean_wait, 6)
    2.0
    """

    arrival_rate: Values
    service_rate: Values
    servers: Values
    service_cv2: Values = 1.0

    def _cv2(self) -> tuple[Any, Any]:
        return 1.0, self.service_cv2


@dataclass(frozen=True)
class GGc(_Delay):
    """G/G/c by Allen and Cunneen: M/M/c's mean wait times (ca2 + cs2) / 2; exact where both are 1.

    ``arrival_cv2`` and ``service_cv2`` are variance over squared mean of the gaps and of the service times
    (0 constant, 1 exponential); the rest as in `MMc`. The probability of waiting is Erlang C's, a wait that
    is not zero is taken as exponential, and the service time in a response as a gamma law of the given cv2
    (a constant at 0), independent of the wait.
    A. O. Allen, Probability, Statistics and Queueing Theory, 2nd ed., 1990, section 5.3.6.

    >>> round(GGc(8.0, 3.0, 4, arrival_cv2=2.0, service_cv2=0.5).mean_wait, 6)
    0.118256
    """

    arrival_rate: Values
    service_rate: Values
    servers: Values
    arrival_cv2: Values = 1.0
    service_cv2: Values = 1.0

    def _cv2(self) -> tuple[Any, Any]:
        return self.arrival_cv2, self.service_cv2
