"""How many servers a latency target needs, and what a number of servers can carry."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm

from capkit.queueing.erlang import check_servers, first_true, servers_for_stability
from capkit.queueing.models import GGc, check_rate, gamma_survival


def _check_target(
    service_rate: float,
    service_cv2: float,
    percentile: float,
    max_wait: float | None,
    max_response: float | None,
) -> None:
    check_rate("service_rate", service_rate)
    check_rate("service_cv2", service_cv2, zero=True)
    if not 0 < percentile < 1:
        raise ValueError(f"percentile is a share between 0 and 1, such as 0.99; got {percentile}")
    if (max_wait is None) == (max_response is None):
        raise ValueError("give either max_wait or max_response, in seconds")
    if max_wait is not None:
        check_rate("max_wait", max_wait, zero=True)
    if max_response is None:
        return
    check_rate("max_response", max_response, zero=True)
    late = gamma_survival(max_response, 1.0 / service_rate, service_cv2)
    if late > 1.0 - percentile:
        raise ValueError(
            f"no number of servers meets this target: the service time alone (mean {1.0 / service_rate:.4g} s) "
            f"exceeds {max_response:.4g} s for {late:.2%} of the requests, and {1.0 - percentile:.2%} may be late; "
            "relax the target or make the service faster"
        )


def _meets(
    queue: GGc, percentile: float, max_wait: float | None, max_response: float | None
) -> bool:
    if max_wait is not None:
        return bool(queue.p_wait_exceeds(max_wait) <= 1.0 - percentile)
    assert max_response is not None
    return bool(queue.p_response_exceeds(max_response) <= 1.0 - percentile)


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
    _check_target(service_rate, service_cv2, percentile, max_wait, max_response)
    check_rate("arrival_rate", arrival_rate, zero=True)

    def enough(servers: int) -> bool:
        queue = GGc(arrival_rate, service_rate, servers, arrival_cv2, service_cv2)
        return _meets(queue, percentile, max_wait, max_response)

    return first_true(enough, servers_for_stability(arrival_rate / service_rate))


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
    """Largest arrival rate (1/s) that ``servers`` carry with the target met; parameters as `min_servers`.

    >>> round(max_rate(1, 1.0, percentile=0.5, max_response=math.log(4.0)), 9)
    0.5
    """
    _check_target(service_rate, service_cv2, percentile, max_wait, max_response)
    count = int(check_servers(servers))

    def meets(load: float) -> bool:
        queue = GGc(load * service_rate, service_rate, count, arrival_cv2, service_cv2)
        return _meets(queue, percentile, max_wait, max_response)

    low, high = 0.0, float(count)
    while high - low > 1e-12 * count:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if meets(middle) else (low, middle)
    return low * service_rate


def halfin_whitt(beta: float) -> float:
    """Limit of the probability of waiting with c = a + beta sqrt(a) servers (Halfin and Whitt 1981).

    >>> round(halfin_whitt(1.0), 4)
    0.2234
    """
    check_rate("beta", beta)
    return float(1.0 / (1.0 + beta * norm.cdf(beta) / norm.pdf(beta)))


def square_root_servers(offered_load: float, p_wait: float) -> int:
    """Servers by square-root staffing: c = a + beta sqrt(a), rounded up, with beta from `halfin_whitt`.

    Parameters
    ----------
    offered_load : float
        a, erlang.
    p_wait : float
        Accepted probability of waiting.

    >>> square_root_servers(100.0, 0.2234)
    110
    """
    if not 0 < p_wait < 1:
        raise ValueError(f"p_wait must lie between 0 and 1, got {p_wait}")
    beta = float(brentq(lambda b: halfin_whitt(b) - p_wait, 1e-9, 10.0))
    return math.ceil(offered_load + beta * math.sqrt(offered_load))
