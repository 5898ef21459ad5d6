"""Queues with one line, first come first served, as a recursion over the customers.

Each customer takes the server that is free first (Lindley 1952; Kiefer and Wolfowitz 1955). Compiled,
that is tens of millions of customers a second.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from capkit.simulation.draws import Array, check_count

FEW = 48  # servers up to which a sorted array is faster than a heap


@njit(cache=True)
def sink(heap: Any, size: int, value: float) -> None:
    """Replace the smallest entry of a binary heap by ``value``."""
    i, child = 0, 1
    while child + 1 < size:
        child += 1 if heap[child + 1] < heap[child] else 0  # no branch to mispredict
        if heap[child] >= value:
            heap[i] = value
            return
        heap[i] = heap[child]
        i = child
        child = 2 * i + 1
    if child < size and heap[child] < value:
        heap[i] = heap[child]
        i = child
    heap[i] = value


@njit(cache=True)
def insert(ordered: Any, value: float) -> None:
    """Replace the first entry of a sorted array by ``value``: faster than a heap for a few servers."""
    i = 0
    while i + 1 < ordered.size and ordered[i + 1] < value:
        ordered[i] = ordered[i + 1]
        i += 1
    ordered[i] = value


@njit(cache=True)
def fcfs(arrivals: Any, services: Any, free: Any) -> Any:
    """Waits; ``free``, the times at which the servers fall idle, sorted at first, is changed in place."""
    waits = np.empty(arrivals.size)
    few = free.size <= FEW
    for i in range(arrivals.size):
        start = max(arrivals[i], free[0])
        waits[i] = start - arrivals[i]
        if few:
            insert(free, start + services[i])
        else:
            sink(free, free.size, start + services[i])
    return waits


@njit(cache=True)
def _loss(arrivals: Any, services: Any, servers: int, room: int) -> Any:
    waits, accepted = np.zeros(arrivals.size), np.zeros(arrivals.size, dtype=np.bool_)
    free = np.full(servers, -np.inf)
    starts = np.empty(
        room
    )  # the latest starts, a ring; a full queue means that the oldest is still to come
    count = 0
    for i in range(arrivals.size):
        idle = free[0] <= arrivals[i]
        if not idle and (room == 0 or (count >= room and starts[count % room] > arrivals[i])):
            continue
        start = max(arrivals[i], free[0])
        accepted[i] = True
        waits[i] = start - arrivals[i]
        sink(free, servers, start + services[i])
        if room > 0:
            starts[count % room] = start
            count += 1
    return waits, accepted


@njit(cache=True)
def _varying(arrivals: Any, services: Any, schedule: Any, period_s: float) -> Any:
    waits = np.empty(arrivals.size)
    free = np.empty(schedule.max() + 1)
    active, period = schedule[0], 0
    free[:active] = 0.0
    for i in range(arrivals.size):
        while True:
            start = max(arrivals[i], free[0]) if active > 0 else np.inf
            change = (period + 1) * period_s
            if period + 1 >= schedule.size or start < change:
                break
            period += 1
            while active > schedule[period]:  # the server that is free first leaves
                active -= 1
                sink(free, active, free[active])
            if active < schedule[period]:  # a sorted list is a heap
                for k in range(active, schedule[period]):
                    free[k] = change
                active = schedule[period]
                free[:active] = np.sort(free[:active])
        waits[i] = start - arrivals[i]
        if active > 0:
            sink(free, active, start + services[i])
    return waits


def check_times(arrival_times: ArrayLike, service_times: ArrayLike) -> tuple[Array, Array]:
    """Both as contiguous arrays of one length, or a `ValueError`."""
    arrivals = np.ascontiguousarray(arrival_times, dtype=float)
    services = np.asarray(service_times, dtype=float)
    if arrivals.ndim != 1 or services.shape not in ((), arrivals.shape):
        raise ValueError(
            f"give one arrival time and one service time a request: got {arrivals.shape} and {services.shape}"
        )
    services = np.ascontiguousarray(np.broadcast_to(services, arrivals.shape))
    if not (np.all(np.isfinite(arrivals)) and np.all(np.diff(arrivals) >= 0)):
        raise ValueError("arrival times must be finite and sorted")
    if not (np.all(np.isfinite(services)) and np.all(services >= 0)):
        raise ValueError("service times must be finite and >= 0")
    return arrivals, services


def simulate_fcfs(arrival_times: ArrayLike, service_times: ArrayLike, servers: int) -> Array:
    """Wait of every request (s) at one queue in front of ``servers`` servers, first come first served.

    ``arrival_times`` (n,) in s, sorted; ``service_times`` (n,) in s, in order of arrival, or one number for all.
    Returns the waits in order of arrival; wait + service is the response. The queue starts empty.
    ValueError for arrivals not sorted, lengths that differ, times that are negative or not finite.

    >>> simulate_fcfs([0.0, 1.0, 2.0], [5.0, 5.0, 1.0], servers=2).tolist()
    [0.0, 0.0, 3.0]
    """
    arrivals, services = check_times(arrival_times, service_times)
    free = np.full(check_count("servers", servers, 1), -np.inf)
    waits: Array = fcfs(arrivals, services, free)
    return waits


def simulate_loss(
    arrival_times: ArrayLike, service_times: ArrayLike, servers: int, capacity: int
) -> tuple[Array, NDArray[np.bool_]]:
    """The same with room for ``capacity`` requests, those in service included: M/M/c/K's rule.

    Returns the waits (s; 0 for a request that was turned away) and which were accepted. ValueError as in
    `simulate_fcfs`, or if capacity < servers.

    >>> waits, accepted = simulate_loss([0.0, 1.0, 2.0], [5.0, 5.0, 1.0], servers=1, capacity=2)
    >>> waits.tolist(), accepted.tolist()
    ([0.0, 4.0, 0.0], [True, True, False])
    """
    arrivals, services = check_times(arrival_times, service_times)
    count = check_count("servers", servers, 1)
    room = check_count("capacity", capacity, count) - count
    waits, accepted = _loss(arrivals, services, count, room)
    return waits, accepted


def simulate_varying(
    arrival_times: ArrayLike,
    service_times: ArrayLike,
    servers_by_period: ArrayLike,
    period_s: float,
) -> Array:
    """Wait of every request (s) where the number of servers changes at the start of each period.

    As `simulate_fcfs`, with ``servers_by_period[k]`` servers from k * ``period_s`` (s) on; the last number holds to
    the end. A removed server finishes its request: idle ones leave first, then those that finish first.
    ValueError also where requests wait for ever, since the last number is 0.

    >>> simulate_varying([0.0, 0.0, 1.0], 4.0, [1, 2], period_s=3.0).tolist()
    [0.0, 3.0, 3.0]
    """
    arrivals, services = check_times(arrival_times, service_times)
    schedule = np.atleast_1d(np.asarray(servers_by_period))
    if schedule.ndim != 1 or np.any(schedule != np.floor(schedule)) or np.any(schedule < 0):
        raise ValueError(f"servers_by_period must be whole numbers >= 0, got {servers_by_period!r}")
    if not (math.isfinite(period_s) and period_s > 0):
        raise ValueError(f"a period must last a positive time in s, got {period_s}")
    if arrivals.size and arrivals[0] < 0:
        raise ValueError(
            "arrival times count from the start of the first period: they must be >= 0"
        )
    waits: Array = _varying(arrivals, services, schedule.astype(np.int64), float(period_s))
    if not np.all(np.isfinite(waits)):
        raise ValueError(
            "requests are still waiting when the last server has gone: end with servers >= 1"
        )
    return waits
