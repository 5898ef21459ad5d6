"""The compiled core of a run in which every request is simulated: one step between two decisions."""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from capkit.planning.kernel import CENTRAL, RANDOM, add, draw_service
from capkit.simulation.queues import sink


@njit(cache=True)
def run_step(
    dispatch: int,
    rate: float,
    free: Any,
    table: Any,
    step_s: float,
    overhead_s: float,
    limit_s: float,
    histogram: Any,
    rng: Any,
) -> Any:
    """All requests of ``step_s`` seconds, first come first served.

    ``free``, the seconds from the start of the step until each server falls idle (at least 0; a heap where
    ``dispatch`` is `CENTRAL`), is moved on to the next step in place. Adds the latencies to ``histogram``.
    Returns the number of requests, of late ones, the idle seconds of all servers, and the seconds that
    requests which arrived in the step spent in it.
    """
    requests, late, idle_s, spent_s = 0, 0, 0.0, 0.0
    now = math.inf if rate <= 0.0 else rng.standard_exponential() / rate
    while now < step_s:
        service_s = draw_service(table, rng)
        server = 0
        if dispatch == RANDOM:
            server = int(rng.random() * free.size)
        elif dispatch != CENTRAL:
            server = requests % free.size
        idle_s += max(now - free[server], 0.0)
        end = max(now, free[server]) + service_s
        if dispatch == CENTRAL:
            sink(free, free.size, end)
        else:
            free[server] = end
        spent_s += min(end, step_s) - now
        latency_s = end - now + overhead_s
        late += latency_s > limit_s
        requests += 1
        add(histogram, latency_s, 1.0)
        now += rng.standard_exponential() / rate
    for i in range(free.size):
        idle_s += max(step_s - free[i], 0.0)
        free[i] = max(free[i] - step_s, 0.0)
    return requests, late, idle_s, spent_s
