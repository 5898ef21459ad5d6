"""M/G/1: one server, Poisson arrivals, the mean by Pollaczek and Khinchine and the whole law of the wait."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from capkit.queueing.base import Queue
from capkit.queueing.constant import MDc
from capkit.queueing.erlang import Values, as_values, check_positive, check_stable

LAWS = ("gamma", "hyperexponential")
DAMPING = 25.0  # aliasing exp(-25), rounding exp(12.5) times 1e-16: 1e-10 in all
PLAIN, AVERAGED = 150, 14
CONSTANT = 1e-9  # a gamma law of so small a cv2 is a constant: its transform would lose all digits
_NODES = np.arange(PLAIN + AVERAGED + 1)
_WEIGHTS = (-1.0) ** _NODES * np.concatenate(
    [np.ones(PLAIN + 1), np.cumsum([math.comb(AVERAGED, k) for k in range(AVERAGED)])[::-1] / 2**AVERAGED]
)  # fmt: skip
_WEIGHTS[0] = 0.5


def invert_transform(transform: Any, time: Any) -> Any:
    """f(t) at t > 0 from its Laplace transform: the Fourier series of Abate and Whitt (1995), Euler-summed."""
    t = np.asarray(time, dtype=float)[..., np.newaxis]
    values = transform((DAMPING + 2j * np.pi * _NODES) / (2.0 * t)).real
    return math.exp(DAMPING / 2.0) * (values @ _WEIGHTS) / t[..., 0]


@dataclass(frozen=True)
class MG1(Queue):
    """M/G/1: Poisson arrivals ``arrival_rate`` lambda >= 0 (1/s), one server of mean time 1 / ``service_rate`` s.

    ``service_law`` "gamma" is, by ``service_cv2``, constant (0), Erlang-k (1/k), exponential (1) or more variable;
    "hyperexponential" is a mixture of two exponentials with balanced means, cv2 > 1. The mean is exact. The laws
    of wait and response invert their transforms; the error is below 1e-6 of a probability, 1e-9 for cv2 >= 0.1.
    Parameters are numbers; times may be arrays. ValueError for bad values or an unstable system.
    D. Gross, C. M. Harris, Fundamentals of Queueing Theory, section on M/G/1.

    >>> queue = MG1(0.8, 1.0, service_cv2=0.5)
    >>> round(queue.mean_wait, 6), round(queue.response_quantile(0.99), 3)
    (3.0, 17.206)
    """

    arrival_rate: float
    service_rate: float
    service_cv2: float = 1.0
    service_law: str = "gamma"
    servers = 1

    def __post_init__(self) -> None:
        check_positive("arrival_rate", self.arrival_rate, zero=True)
        check_positive("service_rate", self.service_rate)
        check_positive("service_cv2", self.service_cv2, zero=True)
        check_stable(self.offered_load, self.servers)
        if self.service_law not in LAWS:
            raise ValueError(f"service_law must be one of {LAWS}, got {self.service_law!r}")
        if self.service_law == "hyperexponential" and self.service_cv2 <= 1:
            raise ValueError(
                f"a hyperexponential law has cv2 > 1, got {self.service_cv2}: take the gamma law"
            )

    @property
    def p_wait(self) -> float:
        """Probability that a request waits: rho."""
        return float(self.utilization)

    @property
    def mean_wait(self) -> float:
        """Wq, s (Pollaczek 1930, Khinchine 1932)."""
        load = float(self.utilization)
        return load * (1.0 + self.service_cv2) / (2.0 * self.service_rate * (1.0 - load))

    def _service(self, s: Any) -> Any:
        """E[exp(-s S)]."""
        x, cv2 = s / self.service_rate, self.service_cv2
        if self.service_law == "gamma":
            return (1.0 + x * cv2) ** (-1.0 / cv2)
        share = 0.5 * (1.0 + math.sqrt((cv2 - 1.0) / (cv2 + 1.0)))
        return sum(p * 2.0 * p / (2.0 * p + x) for p in (share, 1.0 - share))

    def _tail(self, time: ArrayLike, at_zero: float, add_service: bool) -> Values:
        t = check_positive("time", time, zero=True)

        def transform(s: Any) -> Any:
            service = self._service(s)
            spare = 1.0 - self.utilization
            wait = spare * s / (s - self.arrival_rate * (1.0 - service))
            return (1.0 - (wait * service if add_service else wait)) / s

        tails = np.clip(invert_transform(transform, np.where(t > 0, t, 1.0)), 0.0, 1.0)
        return as_values(np.where(t > 0, tails, at_zero))

    def p_wait_exceeds(self, time: ArrayLike) -> Values:
        """P(wait > time in s)."""
        if self.service_cv2 < CONSTANT:
            return MDc(self.arrival_rate, self.service_rate, 1).p_wait_exceeds(time)
        return self._tail(time, self.p_wait, add_service=False)

    def p_response_exceeds(self, time: ArrayLike) -> Values:
        """P(wait + service > time in s)."""
        if self.service_cv2 < CONSTANT:
            return MDc(self.arrival_rate, self.service_rate, 1).p_response_exceeds(time)
        return self._tail(time, 1.0, add_service=True)
