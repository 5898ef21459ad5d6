"""A rate that changes with time: pointwise steady states, and a fluid where there is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from capkit.queueing.erlang import check_positive, check_servers
from capkit.queueing.models import MGc


def pointwise_wait(
    rates: ArrayLike, step_s: float, service_rate: float, servers: int, service_cv2: float = 1.0
) -> float:
    """Mean wait (s) where the arrival rate is ``rates[k]`` (1/s) in step k of ``step_s`` s; the queue starts empty.

    Within a step the wait is the steady state's of M/G/c (pointwise stationary; Green and Kolesar 1991), but no
    more than a queue at full load reaches from nothing in that time: a = 4/3 sqrt(step_s (1 + cv2) / (2 pi c mu)) on
    average, a reflected Brownian motion. What arrives beyond c mu piles up and is paid back later (fluid; Newell
    1982), over the part of a step until nothing is left; beside a wait f of the fluid, chance adds about
    a^2 / (a + f). `ValueError` for bad values.

    Against simulations of 1 to 16 servers: within 15 % for steps of 600 services that overload the servers by a tenth
    or more, up to a quarter too low where they do by 5 %; within about 20 % for steps of 30 services on 16 servers.

    >>> round(pointwise_wait([0.0, 12.0, 0.0], 100.0, 1.0, 10), 2)  # the fluid alone: 10 s
    10.46
    >>> round(pointwise_wait([12.0, 4.0], 60.0, 1.0, 10), 2)  # 6 s, then 6 s in a third of a step: 5 s
    5.33
    """
    rate = check_positive("rates", rates, zero=True)
    if rate.ndim != 1 or not rate.any():
        raise ValueError(f"rates must be a list with a positive rate in it, got {rates!r}")
    check_positive("step_s", step_s)
    limit = float(check_servers(servers)) * float(check_positive("service_rate", service_rate))
    full = 4.0 / 3.0 * np.sqrt(step_s * (1.0 + service_cv2) / (2.0 * np.pi * limit))
    below = np.where(rate < limit, rate, 0.0)
    steady = np.minimum(MGc(below, service_rate, servers, service_cv2).mean_wait, full)
    backlog, waited = 0.0, 0.0
    for arriving, chance in zip(rate, steady, strict=True):
        after = max(0.0, backlog + (arriving - limit) * step_s)
        drained_s = backlog / (limit - arriving) if arriving < limit else step_s
        fluid = (backlog + after) / 2.0 / limit * min(1.0, drained_s / step_s)
        waited += arriving * (fluid + (chance if arriving < limit else full**2 / (full + fluid)))
        backlog = after
    return float(waited / rate.sum())
