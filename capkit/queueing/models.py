"""Delay systems with one central queue: M/M/c exactly, M/G/c and G/G/c by Allen and Cunneen's scaling.

All attributes accept and return arrays: ``MMc(rates, 50.0, 4).mean_wait`` is a curve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import exprel, gammainc, gammaincc, gammaln, hyp1f1

from capkit.queueing.erlang import (
    Values,
    as_values,
    check_servers,
    check_stable,
    erlang_c,
    log_poisson,
)


def check_rate(name: str, value: ArrayLike, *, zero: bool = False) -> None:
    """Raise a `ValueError` unless ``value`` is finite and positive (or zero, where that is allowed)."""
    given = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(given)) or np.any(given < 0) or (not zero and np.any(given == 0)):
        raise ValueError(f"{name} must be finite and {'>=' if zero else '>'} 0, got {value!r}")


def check_percentile(percentile: ArrayLike) -> None:
    """Raise a `ValueError` unless ``percentile`` is a share such as 0.99."""
    given = np.asarray(percentile, dtype=float)
    if not (np.all(given >= 0) and np.all(given < 1)):
        raise ValueError(f"a percentile is a share in [0, 1), such as 0.99; got {percentile!r}")


def invert_survival(survival: Callable[[Any], Any], percentile: ArrayLike, scale: Any) -> Values:
    """Smallest t >= 0 with ``survival(t) <= 1 - percentile``, element by element, by bisection.

    Parameters
    ----------
    survival : callable
        Non-increasing, t (s) to P(T > t), elementwise.
    percentile : float or array
        Share p in [0, 1).
    scale : float or array
        A positive time (s) to start the search from.
    """
    check_percentile(percentile)
    tail = 1.0 - np.asarray(percentile, dtype=float)
    high = np.broadcast_to(np.asarray(scale, dtype=float), np.broadcast(tail, scale).shape).copy()
    low = np.zeros_like(high)
    while np.any(above := survival(high) > tail):
        low, high = np.where(above, high, low), np.where(above, 2.0 * high, high)
    for _ in range(200):
        middle = 0.5 * (low + high)
        if np.all((middle <= low) | (middle >= high)):
            break
        above = survival(middle) > tail
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return as_values(np.where(survival(np.zeros_like(high)) <= tail, 0.0, high))


def gamma_survival(time: ArrayLike, mean: ArrayLike, cv2: ArrayLike) -> Values:
    """P(S > t) of a gamma law with this mean and squared coefficient of variation (0: constant).

    >>> round(gamma_survival(2.0, 1.0, 1.0), 6)
    0.135335
    """
    t, mean, cv2 = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (time, mean, cv2)))
    shape = 1.0 / np.where(cv2 > 0, cv2, 1.0)
    return as_values(np.where(cv2 > 0, gammaincc(shape, shape * t / mean), t < mean))


def _discounted_service(time: Any, rate: Any, cv2: Any, decay: Any) -> Any:
    """E[exp(-decay (t - S)); S <= t] for a gamma service law of rate ``rate`` (1/s) and ``cv2``."""
    t, rate, cv2, decay = np.broadcast_arrays(
        *(np.asarray(x, dtype=float) for x in (time, rate, cv2, decay))
    )
    constant = cv2 <= 0
    shape = 1.0 / np.where(constant, 1.0, cv2)
    x = (shape * rate - decay) * t
    with np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore"):
        # x large: the integral is nearly complete; x moderate: Kummer's function, a positive series;
        # x negative: the same function, at most 1.
        closed = -shape * np.log1p(-decay / (shape * rate)) - decay * t + np.log(gammainc(shape, x))
        load = shape * rate * t
        front = shape * np.log(load) - load - gammaln(shape + 1.0)
        kummer = front + np.log(hyp1f1(1.0, shape + 1.0, np.minimum(x, shape + 1.0)))
        general = np.exp(np.where(x > shape + 1.0, closed, kummer))
        fixed = np.where(t >= 1.0 / rate, np.exp(-decay * np.maximum(t - 1.0 / rate, 0.0)), 0.0)
    return np.where(constant, fixed, np.where(t > 0, general, 0.0))


class _CentralQueue:
    """What M/M/c, M/G/c and G/G/c share; a subclass says how much gaps and service times vary."""

    arrival_rate: Values
    service_rate: Values
    servers: Values

    def __post_init__(self) -> None:
        arrival_cv2, service_cv2 = self._cv2()
        check_rate("arrival_rate", self.arrival_rate, zero=True)
        check_rate("service_rate", self.service_rate)
        check_rate("arrival_cv2", arrival_cv2, zero=True)
        check_rate("service_cv2", service_cv2, zero=True)
        check_servers(self.servers)
        check_stable(self.offered_load, self.servers)
        if np.any(np.asarray(arrival_cv2) + service_cv2 == 0):
            raise ValueError(
                "arrival_cv2 and service_cv2 are both 0: nothing varies, so nobody waits"
            )

    def _cv2(self) -> tuple[Any, Any]:
        raise NotImplementedError

    @property
    def offered_load(self) -> Values:
        """a = lambda / mu, erlang: the mean number of busy servers."""
        return as_values(np.asarray(self.arrival_rate, dtype=float) / self.service_rate)

    @property
    def utilization(self) -> Values:
        """rho = lambda / (c mu)."""
        return as_values(np.asarray(self.offered_load) / self.servers)

    @property
    def p_wait(self) -> Values:
        """Probability that a request waits (Erlang C)."""
        return erlang_c(self.servers, self.offered_load)

    @property
    def _decay(self) -> Any:
        spare = (
            np.asarray(self.servers) * np.asarray(self.service_rate, dtype=float)
            - self.arrival_rate
        )
        return 2.0 * spare / np.sum(np.broadcast_arrays(*self._cv2()), axis=0, dtype=float)

    @property
    def mean_wait(self) -> Values:
        """Wq, mean time in queue, s."""
        return as_values(self.p_wait / self._decay)

    @property
    def mean_response(self) -> Values:
        """W, mean wait plus mean service, s."""
        return as_values(self.mean_wait + 1.0 / np.asarray(self.service_rate, dtype=float))

    @property
    def mean_queue_length(self) -> Values:
        """Lq, mean number waiting (Little's law on the queue)."""
        return as_values(np.asarray(self.arrival_rate) * self.mean_wait)

    @property
    def mean_in_system(self) -> Values:
        """L, mean number waiting or in service (Little's law on the system)."""
        return as_values(np.asarray(self.arrival_rate) * self.mean_response)

    def p_wait_exceeds(self, time: ArrayLike) -> Values:
        """P(wait > time), time in s."""
        check_rate("time", time, zero=True)
        return as_values(self.p_wait * np.exp(-self._decay * np.asarray(time, dtype=float)))

    def wait_quantile(self, percentile: ArrayLike) -> Values:
        """The wait (s) that a share ``percentile`` of the requests does not exceed; 0 if so many do not wait."""
        check_percentile(percentile)
        tail = 1.0 - np.asarray(percentile, dtype=float)
        return as_values(np.log(np.maximum(self.p_wait / tail, 1.0)) / self._decay)

    def p_response_exceeds(self, time: ArrayLike) -> Values:
        """P(wait + service > time), time in s: the convolution of the two laws in closed form."""
        check_rate("time", time, zero=True)
        rate, cv2 = np.asarray(self.service_rate, dtype=float), self._cv2()[1]
        late = _discounted_service(time, rate, cv2, self._decay)
        return as_values(gamma_survival(time, 1.0 / rate, cv2) + self.p_wait * late)

    def response_quantile(self, percentile: ArrayLike) -> Values:
        """The response time (s) that a share ``percentile`` of the requests does not exceed."""
        return invert_survival(self.p_response_exceeds, percentile, self.mean_response)


@dataclass(frozen=True)
class MMc(_CentralQueue):
    """M/M/c: Poisson arrivals, exponential service times, c servers; everything exact.

    References
    ----------
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
        load = np.asarray(self.offered_load)
        with np.errstate(divide="ignore"):
            point = log_poisson(check_servers(self.servers), np.where(load > 0, load, 1.0))
        p_full = np.asarray(self.p_wait) * (1.0 - self.utilization)
        with np.errstate(divide="ignore"):
            return as_values(np.where(load > 0, np.exp(np.log(p_full) - load - point), 1.0))

    def p_response_exceeds(self, time: ArrayLike) -> Values:
        """P(wait + service > time), time in s: the two exponentials convolved."""
        check_rate("time", time, zero=True)
        t, rate = np.asarray(time, dtype=float), np.asarray(self.service_rate, dtype=float)
        slow, gap = np.minimum(rate, self._decay), np.abs(rate - self._decay)
        late = rate * t * np.exp(-slow * t) * exprel(-gap * t)
        return as_values(np.exp(-rate * t) + self.p_wait * late)


@dataclass(frozen=True)
class MGc(_CentralQueue):
    """M/G/c: Poisson arrivals, service times of any law with the given cv2 (see `GGc`).

    The mean is exact for one server (Pollaczek-Khinchine); with more servers the error grows as
    the load falls (for constant service -12 % at c = 4, rho = .5; -6 % at c = 8, rho = .8).

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
class GGc(_CentralQueue):
    """G/G/c: Allen and Cunneen's approximation, exact where both squared coefficients are 1.

    The mean wait is M/M/c's times (ca2 + cs2) / 2; the probability of waiting is Erlang C's; a wait
    that is not zero is taken as exponential, and the service time in a response as a gamma law of
    the given cv2 (a constant at 0), independent of the wait.

    Parameters
    ----------
    arrival_rate : float or array
        lambda, requests per s, >= 0.
    service_rate : float or array
        mu, requests per s of one busy server.
    servers : int or array
        c, parallel servers at one queue, first come first served.
    arrival_cv2, service_cv2 : float or array
        Variance over squared mean of the gaps and of the service times (0 constant, 1 exponential).

    Raises
    ------
    ValueError
        Bad rates, or an unstable system (the message says how many servers it needs).

    References
    ----------
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
