"""Batch service: a server takes several waiting requests at once, by TensorFlow Serving's rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from capkit.simulation.draws import Array, check_count
from capkit.simulation.queues import check_times, sink


@njit(cache=True)
def _batches(
    arrivals: Any, servers: int, fixed_s: float, per_request_s: float, most: int, timeout_s: float
) -> Any:
    waits, services = np.empty(arrivals.size), np.empty(arrivals.size)
    free = np.full(servers, -np.inf)
    first = 0
    while first < arrivals.size:
        closes = arrivals[first] + timeout_s
        if first + most <= arrivals.size:
            closes = min(closes, arrivals[first + most - 1])
        start = max(closes, free[0])
        end = first + 1
        while end < arrivals.size and end < first + most and arrivals[end] <= start:
            end += 1
        service = fixed_s + per_request_s * (end - first)
        waits[first:end] = start - arrivals[first:end]
        services[first:end] = service
        sink(free, servers, start + service)
        first = end
    return waits, services


def simulate_batches(
    arrival_times: ArrayLike,
    *,
    fixed_s: float,
    per_request_s: float,
    max_batch: int,
    timeout_s: float = 0.0,
    servers: int = 1,
) -> tuple[Array, Array]:
    """Wait and service time of every request (s) where a batch of b takes alpha + beta b seconds.

    First come first served: the batch of the oldest request starts when a server is free and it is full or
    that request is ``timeout_s`` old, with all that have arrived by then. Returns two arrays (n,), in order of
    arrival; their sum is the response.

    Parameters
    ----------
    arrival_times : array-like of shape (n,)
        s, sorted.
    fixed_s, per_request_s : float
        alpha and beta, s.
    max_batch : int
        Most requests in a batch, b; `ValueError` unless a whole number >= 1.
    timeout_s : float
        How long the oldest request waits for others, s.
    servers : int
        Batches in execution at once.

    >>> times = dict(fixed_s=2.5, per_request_s=0.5, timeout_s=1.0)
    >>> waits, services = simulate_batches([0.0, 1.0, 2.0, 3.0], max_batch=4, **times)
    >>> waits.tolist(), services.tolist()
    ([1.0, 0.0, 2.5, 1.5], [3.5, 3.5, 3.5, 3.5])
    """
    arrivals, _ = check_times(arrival_times, 0.0)
    times = (fixed_s, per_request_s, timeout_s)
    if not (min(times) >= 0 and np.isfinite(sum(times))):
        raise ValueError(
            f"fixed_s, per_request_s and timeout_s must be finite and >= 0, got {times}"
        )
    most, count = check_count("max_batch", max_batch, 1), check_count("servers", servers, 1)
    waits, services = _batches(arrivals, count, fixed_s, per_request_s, most, timeout_s)
    return waits, services
