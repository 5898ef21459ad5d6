"""What a log needs: the least number of servers that keeps a promise, by simulation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from capkit.simulation import simulate_fcfs
from capkit.workload.checks import checked_times


def servers_needed(
    arrival_times: ArrayLike, service_times: ArrayLike, *, percentile: float, max_wait: float
) -> int:
    """Least number of servers with which the share ``percentile`` of the requests wait ``max_wait`` s at most.

    The same requests with one server more wait no longer, any of them, so bisection finds the number:
    Kiefer and Wolfowitz, Trans. AMS 78 (1955).

    Parameters
    ----------
    arrival_times, service_times : array of shape (n,)
        Arrivals (s, sorted) and what each request takes of a server (s).
    percentile : float
        Share of the requests, between 0 and 1.
    max_wait : float
        Seconds, 0 or more.

    >>> servers_needed([0.0, 0.0, 0.0, 9.0], [1.0, 1.0, 1.0, 1.0], percentile=0.5, max_wait=0.0)
    2
    """
    times, services = checked_times(arrival_times), np.asarray(service_times, dtype=np.float64)
    if services.shape != times.shape or not (services >= 0).all():
        raise ValueError(f"give one service time of 0 s or more a request, got {services.shape}")
    if not (0 < percentile < 1 and max_wait >= 0):
        raise ValueError(f"0 < percentile < 1 and max_wait >= 0, got {percentile} and {max_wait}")

    def late(servers: int) -> bool:
        return bool(np.quantile(simulate_fcfs(times, services, servers), percentile) > max_wait)

    enough = max(1, math.ceil(float(services.sum()) / float(times[-1] - times[0])))
    short = 0
    while late(enough):
        short, enough = enough, 2 * enough
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (middle, enough) if late(middle) else (short, middle)
    return enough
