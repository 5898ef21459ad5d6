"""Delay systems with one central queue: M/M/c exactly, M/G/c and G/G/c by scaling M/M/c's mean wait.

All attributes accept and return arrays: ``MMc(rates, 50.0, 4).mean_wait`` is a curve. M/M/1 is ``servers=1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import exprel

from capkit.queueing.base import Queue, discounted_service, gamma_survival
from capkit.queueing.erlang import (
    Values,
    as_values,
    check_positive,
    check_servers,
    check_stable,
    erlang_c,
)
from capkit.queueing.kernels import log_poisson

METHODS = {"allen-cunneen": (0.0, np.inf), "cosmetatos": (1.0, 1.0), "kimura": (0.0, 1.0)}
"""Approximations of the mean wait, and the least and greatest arrival_cv2 that each is for."""


def wait_factor(
    method: str, arrival_cv2: Any, service_cv2: Any, servers: Any, utilization: Any
) -> Any:
    """Mean wait of G/G/c over that of M/M/c, by one of `METHODS` (see `GGc`)."""
    ca, cs = np.asarray(arrival_cv2, dtype=float), np.asarray(service_cv2, dtype=float)
    if method == "allen-cunneen":
        return 0.5 * (ca + cs)
    count, busy = np.asarray(servers, dtype=float), np.maximum(utilization, 1e-9)
    theta = (
        (1.0 - busy) * (count - 1.0) * (np.sqrt(4.0 + 5.0 * count) - 2.0) / (16.0 * count * busy)
    )
    constant_service = 0.5 * (1.0 + np.minimum(theta, 1.0))
    if method == "cosmetatos":
        return cs + (1.0 - cs) * constant_service
    slow = np.exp(-2.0 * (1.0 - busy) / (3.0 * busy))
    constant_gaps = np.maximum(0.5 * (1.0 - 4.0 * np.minimum(theta, 0.24)) * slow, 1e-300)
    inverse = (1.0 - ca) / constant_gaps + (1.0 - cs) / constant_service + 2.0 * (ca + cs - 1.0)
    return (ca + cs) / inverse


class _Delay(Queue):
    """M/M/c, M/G/c and G/G/c; a subclass says how much gaps and service times vary."""

    method = "allen-cunneen"

    def __post_init__(self) -> None:
        cv2 = self._cv2()
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {list(METHODS)}, got {self.method!r}")
        check_positive("arrival_rate", self.arrival_rate, zero=True)
        check_positive("service_rate", self.service_rate)
        for name, value in zip(("arrival_cv2", "service_cv2"), cv2, strict=True):
            check_positive(name, value, zero=True)
        check_servers(self.servers)
        check_stable(self.offered_load, self.servers)
        gaps = np.asarray(cv2[0])
        least, highest = METHODS[self.method]
        if np.any((gaps < least) | (gaps > highest)):
            raise ValueError(
                f"{self.method} holds for arrival_cv2 from {least:g} to {highest:g}, got {cv2[0]}: "
                "take allen-cunneen"
            )
        if np.any(gaps + cv2[1] == 0):
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
        rate = np.asarray(self.service_rate, dtype=float)
        spare = np.asarray(self.servers) * rate - self.arrival_rate
        return spare / wait_factor(self.method, *self._cv2(), self.servers, self.utilization)

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
        late = discounted_service(t, rate, cv2, self._decay)
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

    As `GGc` with arrival_cv2 = 1, with its three methods. The mean is exact for one server
    (Pollaczek-Khinchine); `MG1` and `MDc` have the exact law of the wait too.

    >>> round(MGc(0.8, 1.0, 1, service_cv2=0.0).mean_wait, 6)
    2.0
    >>> from capkit.queueing import MDc
    >>> round(MGc(2.0, 1.0, 4, 0.0, "cosmetatos").mean_wait / MDc(2.0, 1.0, 4).mean_wait, 3)
    0.995
    """

    arrival_rate: Values
    service_rate: Values
    servers: Values
    service_cv2: Values = 1.0
    method: str = "allen-cunneen"

    def _cv2(self) -> tuple[Any, Any]:
        return 1.0, self.service_cv2


@dataclass(frozen=True)
class GGc(_Delay):
    """G/G/c by scaling M/M/c's mean wait; exact where both coefficients of variation are 1.

    ``arrival_cv2`` and ``service_cv2`` are variance over squared mean of the gaps and of the service times
    (0 constant, 1 exponential); the rest as in `MMc`. The probability of waiting is Erlang C's, a wait that
    is not zero is taken as exponential, and the service time in a response as a gamma law of the given cv2
    (a constant at 0), independent of the wait. ``method`` scales the mean wait:

    - "allen-cunneen": by (ca2 + cs2) / 2; any variation. The error grows as the load falls: constant service
      -1 % at c = 8, rho = .95, -6 % at .8, -21 % at .5; c = 8, rho = .85: constant gaps +34 %, ca2 = 4 -21 %.
    - "cosmetatos": cs2 parts M/M/c and 1 - cs2 parts M/D/c; Poisson arrivals only. Within 2.5 % for
      cs2 <= 1 and about 5 % for cs2 = 4 where 5 % or more wait; up to 18 % at lower loads.
    - "kimura": the harmonic mix of M/M/c, M/D/c and D/M/c; arrival_cv2 <= 1 only. Within 10 % for cs2 <= 1
      where half or more wait; -10 % for ca2 = 1, cs2 = 4 at c = 8, rho = .85.

    A. O. Allen, Probability, Statistics and Queueing Theory, 2nd ed., 1990, section 5.3.6; G. P. Cosmetatos,
    Oper. Res. Quarterly 27, 1976; T. Kimura, Oper. Res. 34, 1986.

    >>> round(GGc(8.0, 3.0, 4, arrival_cv2=2.0, service_cv2=0.5).mean_wait, 6)
    0.118256
    """

    arrival_rate: Values
    service_rate: Values
    servers: Values
    arrival_cv2: Values = 1.0
    service_cv2: Values = 1.0
    method: str = "allen-cunneen"

    def _cv2(self) -> tuple[Any, Any]:
        return self.arrival_cv2, self.service_cv2
