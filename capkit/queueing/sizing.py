"""How many servers a latency or loss target needs, and what a number of servers can carry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import norm

from capkit.queueing.base import gamma_survival
from capkit.queueing.erlang import (
    Values,
    as_values,
    check_positive,
    check_servers,
    check_share,
    first_true,
    servers_for_stability,
)
from capkit.queueing.finite import MMcK
from capkit.queueing.models import GGc

DISPATCH = ("central", "random", "round_robin")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What `min_servers` and `max_rate` must meet, and under which rules; their keyword arguments.

    Parameters
    ----------
    percentile : float, optional
        Share of the requests that must be on time, such as 0.99; without it the target is on the mean.
    max_wait, max_response, max_loss : float
        The target, exactly one of the three: s, s (wait plus service), or the share of the requests that
        may be turned away with ``room`` waiting places beyond the servers (M/M/c/K).
    service_cv2, arrival_cv2 : float
        Squared coefficients of variation; 1 and 1 is M/M/c and exact, others as in `GGc`.
    dispatch : str
        "central": one queue for all servers. "random" and "round_robin": each server has a queue of its own,
        `GGc` with one server and the gaps that this rule leaves it (round robin: the mean 5 % high at rho = .85).
    redundancy : int
        The target holds when so many servers have failed.

    Raises
    ------
    ValueError
        No target or two, a bad value, or a response target that the service time alone misses.
    """

    percentile: float | None = None
    max_wait: float | None = None
    max_response: float | None = None
    max_loss: float | None = None
    room: int = 0
    service_cv2: float = 1.0
    arrival_cv2: float = 1.0
    dispatch: str = "central"
    redundancy: int = 0

    def __post_init__(self) -> None:
        limits = {name: getattr(self, name) for name in ("max_wait", "max_response", "max_loss")}
        given = {name: value for name, value in limits.items() if value is not None}
        if len(given) != 1:
            raise ValueError(
                "give either max_wait or max_response, in seconds, or max_loss, a share"
            )
        for name, value in given.items():
            check_positive(name, value, zero=True)
        for name in ("percentile", "max_loss"):
            if getattr(self, name) is not None:
                check_share(name, getattr(self, name))
        check_servers(self.redundancy, least=0, name="redundancy")
        if self.dispatch not in DISPATCH:
            raise ValueError(
                f"dispatch must be one of {DISPATCH}, got {self.dispatch!r}; for other rules simulate "
                "the fleet with capkit.simulation.simulate_dispatch"
            )
        plain = self.percentile is None and self.dispatch == "central"
        if self.max_loss is None:
            if self.room != 0:
                raise ValueError(f"room belongs to max_loss, got room = {self.room} without it")
        elif not plain or (self.arrival_cv2, self.service_cv2) != (1, 1):
            raise ValueError("max_loss is for M/M/c/K: no percentile, dispatch or cv2 beside it")

    def _queue(self, arrival_rate: Any, service_rate: float, servers: Any) -> GGc:
        """The queue that a request joins."""
        if self.dispatch == "central":
            return GGc(arrival_rate, service_rate, servers, self.arrival_cv2, self.service_cv2)
        gaps = self.arrival_cv2 / servers
        if self.dispatch == "random":
            gaps = 1.0 + gaps - 1.0 / servers
        return GGc(arrival_rate / servers, service_rate, 1, gaps, self.service_cv2)

    def check_service(self, service_rate: float) -> None:
        """A ValueError where the service time alone misses the target."""
        check_positive("service_rate", service_rate)
        if self.max_response is None:
            return
        mean = 1.0 / service_rate
        text = "no number of servers meets this target: the service time alone "
        text += f"(mean {mean:.4g} s) "
        if self.percentile is None:
            if mean >= self.max_response:
                raise ValueError(f"{text}takes {self.max_response:.4g} s or more; relax the target")
            return
        late = gamma_survival(self.max_response, mean, self.service_cv2)
        if late >= 1.0 - self.percentile:
            raise ValueError(
                f"{text}exceeds {self.max_response:.4g} s for {late:.2%} of the requests, and "
                f"{1.0 - self.percentile:.2%} may be late; relax the target or make the service faster"
            )

    def met(self, arrival_rate: Any, service_rate: float, servers: Any) -> Any:
        """Whether all ``servers`` together meet the target at ``arrival_rate``; arrays or numbers."""
        if self.max_loss is not None:
            lossy = MMcK(arrival_rate, service_rate, servers, servers + self.room)
            return lossy.p_block <= self.max_loss
        queue = self._queue(arrival_rate, service_rate, servers)
        mean, late, limit = queue.mean_response, queue.p_response_exceeds, self.max_response or 0.0
        if self.max_wait is not None:
            mean, late, limit = queue.mean_wait, queue.p_wait_exceeds, self.max_wait
        return mean <= limit if self.percentile is None else late(limit) <= 1.0 - self.percentile


def min_servers(arrival_rate: float, service_rate: float, **target: Any) -> int:
    """Smallest number of servers that meets a target on the wait, the response or the loss.

    ``arrival_rate`` lambda >= 0 and ``service_rate`` mu > 0 in 1/s; the keywords are those of `Target`:
    percentile, max_wait | max_response | max_loss, room, service_cv2, arrival_cv2, dispatch, redundancy.
    ValueError for bad values and for a target that no number of servers meets.

    >>> min_servers(100 / 1800, 1 / 180, percentile=0.8, max_wait=20.0)
    14
    >>> [min_servers(6.8, 1.0, max_response=1.5, dispatch=rule) for rule in DISPATCH]
    [8, 21, 15]
    """
    goal = Target(**target)
    goal.check_service(service_rate)
    check_positive("arrival_rate", arrival_rate, zero=goal.max_loss is None)
    start = 1 if goal.max_loss is not None else servers_for_stability(arrival_rate / service_rate)
    return first_true(lambda c: goal.met(arrival_rate, service_rate, c), start) + goal.redundancy


def max_rate(servers: int, service_rate: float, **target: Any) -> float:
    """Largest arrival rate (1/s) that ``servers`` carry with the target met; the rest as in `min_servers`.

    >>> round(max_rate(1, 1.0, percentile=0.5, max_response=math.log(4.0)), 9)
    0.5
    """
    goal = Target(**target)
    goal.check_service(service_rate)
    count = int(check_servers(servers, least=goal.redundancy + 1)) - goal.redundancy
    low, high = 0.0, count / (1.0 - (goal.max_loss or 0.0))
    while high - low > 1e-12 * count:
        loads = np.linspace(low, high, 34)
        met = goal.met(loads[1:-1] * service_rate, service_rate, count)
        place = int(np.count_nonzero(met))
        low, high = float(loads[place]), float(loads[place + 1])
    return low * service_rate


def halfin_whitt(beta: ArrayLike) -> Values:
    """Limit of the probability of waiting with c = a + beta sqrt(a) servers (Halfin and Whitt 1981).

    >>> halfin_whitt([0.5061, 1.0, 2.375]).round(4).tolist()
    [0.5, 0.2234, 0.01]
    """
    b = check_positive("beta", beta)
    return as_values(1.0 / (1.0 + b * np.exp(norm.logcdf(b) - norm.logpdf(b))))


def square_root_servers(offered_load: float, p_wait: float) -> int:
    """Square-root staffing: c = a + beta sqrt(a), rounded up; beta from the accepted ``p_wait`` by `halfin_whitt`.

    >>> square_root_servers(100.0, 0.2234)
    110
    """
    check_share("p_wait", p_wait)
    beta = float(brentq(lambda b: halfin_whitt(b) - p_wait, 1e-12, 37.0))
    return math.ceil(offered_load + beta * math.sqrt(offered_load))
