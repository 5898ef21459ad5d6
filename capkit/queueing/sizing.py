"""How many servers a latency target needs, and what a number of servers can carry."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq
from scipy.stats import norm

from capkit.queueing.erlang import (
    check_positive,
    check_servers,
    check_share,
    first_true,
    servers_for_stability,
)
from capkit.queueing.models import GGc, gamma_survival


def _target(
    service_rate: float,
    service_cv2: float,
    percentile: float,
    max_wait: float | None,
    max_response: float | None,
) -> Callable[[GGc], bool]:
    """Whether a queue meets the target; a ValueError where none can."""
    check_positive("service_rate", service_rate)
    check_positive("service_cv2", service_cv2, zero=True)
    check_share("percentile", percentile)
    allowed = 1.0 - percentile
    if max_wait is not None and max_response is None:
        wait = check_positive("max_wait", max_wait, zero=True)
        return lambda queue: bool(queue.p_wait_exceeds(wait) <= allowed)
    if max_response is None or max_wait is not None:
        raise ValueError("give either max_wait or max_response, in seconds")
    response = check_positive("max_response", max_response, zero=True)
    late = gamma_survival(response, 1.0 / service_rate, service_cv2)
    if late > allowed:
        raise ValueError(
            f"no number of servers meets this target: the service time alone (mean {1.0 / service_rate:.4g} s) "
            f"exceeds {max_response:.4g} s for {late:.2%} of the requests, and {allowed:.2%} may be late; "
            "relax the target or make the service faster"
        )
    return lambda queue: bool(queue.p_response_exceeds(response) <= allowed)


def min_servers(
    arrival_rate: float,
    service_rate: float,
    *,
    percentile: float,
    max_wait: float | None = None,
    max_response: float | None = None,
    service_cv2: float = 1.0,
    arrival_cv2: float = 1.0,
) -> int:
    """Smallest number of servers at which a percentile of the wait or of the response meets its target.

    Parameters
    ----------
    arrival_rate, service_rate : float
        lambda >= 0 and mu > 0, 1/s.
    percentile : float
        Share of the requests that must be on time, such as 0.99.
    max_wait, max_response : float
        The target, s; exactly one of the two. The response is wait plus service.
    service_cv2, arrival_cv2 : float
        Squared coefficients of variation; 1 and 1 is M/M/c and exact, others as in `GGc`.

    Raises
    ------
    ValueError
        No target or two, a bad value, or a response target that the service time alone misses.

    >>> min_servers(100 / 1800, 1 / 180, percentile=0.8, max_wait=20.0)
    14
    """
    meets = _target(service_rate, service_cv2, percentile, max_wait, max_response)
    check_positive("arrival_rate", arrival_rate, zero=True)
    return first_true(
        lambda c: meets(GGc(arrival_rate, service_rate, c, arrival_cv2, service_cv2)),
        servers_for_stability(arrival_rate / service_rate),
    )


def max_rate(
    servers: int,
    service_rate: float,
    *,
    percentile: float,
    max_wait: float | None = None,
    max_response: float | None = None,
    service_cv2: float = 1.0,
    arrival_cv2: float = 1.0,
) -> float:
    """Largest arrival rate (1/s) that ``servers`` carry with the target met; the rest as in `min_servers`.

    >>> round(max_rate(1, 1.0, percentile=0.5, max_response=math.log(4.0)), 9)
    0.5
    """
    meets = _target(service_rate, service_cv2, percentile, max_wait, max_response)
    low, high = 0.0, float(check_servers(servers))
    while high - low > 1e-12 * servers:
        load = 0.5 * (low + high)
        enough = meets(GGc(load * service_rate, service_rate, servers, arrival_cv2, service_cv2))
        low, high = (load, high) if enough else (low, load)
    return low * service_rate


def halfin_whitt(beta: float) -> float:
    """Limit of the probability of waiting with c = a + beta sqrt(a) servers (Halfin and Whitt 1981).

    >>> round(halfin_whitt(1.0), 4)
    0.2234
    """
    check_positive("beta", beta)
    return float(1.0 / (1.0 + beta * norm.cdf(beta) / norm.pdf(beta)))


def square_root_servers(offered_load: float, p_wait: float) -> int:
    """Square-root staffing: c = a + beta sqrt(a), rounded up; beta from the accepted ``p_wait`` by `halfin_whitt`.

    >>> square_root_servers(100.0, 0.2234)
    110
    """
    check_share("p_wait", p_wait)
    beta = float(brentq(lambda b: halfin_whitt(b) - p_wait, 1e-9, 10.0))
    return math.ceil(offered_load + beta * math.sqrt(offered_load))
