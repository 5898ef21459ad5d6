"""Replicas with a queue each: which one a request joins, and how long it waits there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from capkit.simulation.draws import Array, check_count
from capkit.simulation.queues import check_times, simulate_fcfs

DISPATCH = ("central", "random", "round_robin", "shortest_queue", "two_choices", "pinned")


@njit(cache=True)
def _assigned(arrivals: Any, services: Any, chosen: Any, servers: int) -> Any:
    waits = np.empty(arrivals.size)
    free = np.full(servers, -np.inf)
    for i in range(arrivals.size):
        start = max(arrivals[i], free[chosen[i]])
        waits[i] = start - arrivals[i]
        free[chosen[i]] = start + services[i]
    return waits


@njit(cache=True)
def _shortest(
    arrivals: Any, services: Any, servers: int, looks: int, firsts: Any, strides: Any
) -> Any:
    """Join the shortest of ``looks`` queues, the first of equals; a queue is a list through ``follower``."""
    waits, leaves = np.empty(arrivals.size), np.empty(arrivals.size)
    follower = np.empty(arrivals.size, dtype=np.int64)
    free = np.full(servers, -np.inf)
    length = np.zeros(servers, dtype=np.int64)
    oldest, newest = np.zeros(servers, dtype=np.int64), np.zeros(servers, dtype=np.int64)
    for i in range(arrivals.size):
        now, candidate, best = arrivals[i], firsts[i], firsts[i]
        for _ in range(looks):
            while length[candidate] > 0 and leaves[oldest[candidate]] <= now:
                oldest[candidate] = follower[oldest[candidate]]
                length[candidate] -= 1
            if length[candidate] < length[best]:
                best = candidate
            candidate += strides[i]
            if candidate >= servers:
                candidate -= servers
        start = max(now, free[best])
        waits[i] = start - now
        free[best] = leaves[i] = start + services[i]
        if length[best] == 0:
            oldest[best] = i
        else:
            follower[newest[best]] = i
        newest[best] = i
        length[best] += 1
    return waits


def simulate_dispatch(
    arrival_times: ArrayLike,
    service_times: ArrayLike,
    servers: int,
    dispatch: str,
    rng: np.random.Generator,
    *,
    connections: int | None = None,
) -> Array:
    """Wait of every request (s) where a rule sends each to one of ``servers`` servers as it arrives.

    Parameters
    ----------
    arrival_times, service_times, servers
        As in `simulate_fcfs`; each server serves its own queue first come first served.
    dispatch : str
        "central": one queue for all (`simulate_fcfs`). "random": any server, as a Kubernetes Service does with new
        connections. "round_robin": one after the other. "shortest_queue": the fewest requests, waiting or in
        service. "two_choices": the shorter of two servers drawn at random (Mitzenmacher 2001). "pinned":
        ``connections`` connections, each tied to a server drawn once; a request comes from any of them.
        Equal queues are tried from a server drawn at random.
    rng : numpy.random.Generator
        Draws what the rule leaves to chance.

    Raises
    ------
    ValueError
        As in `simulate_fcfs`, for an unknown rule, or connections without "pinned" or the other way round.

    >>> rng = np.random.default_rng(1)
    >>> simulate_dispatch([0.0, 1.0, 2.0], [5.0, 1.0, 1.0], 2, "round_robin", rng).tolist()
    [0.0, 0.0, 3.0]
    >>> simulate_dispatch([0.0, 1.0, 2.0], [5.0, 1.0, 1.0], 2, "shortest_queue", rng).tolist()
    [0.0, 0.0, 0.0]
    """
    if dispatch not in DISPATCH:
        raise ValueError(f"dispatch must be one of {DISPATCH}, got {dispatch!r}")
    if (connections is not None) != (dispatch == "pinned"):
        raise ValueError(
            f"connections belong to dispatch 'pinned': got {dispatch!r}, {connections}"
        )
    if dispatch == "central":
        return simulate_fcfs(arrival_times, service_times, servers)
    arrivals, services = check_times(arrival_times, service_times)
    count, size = check_count("servers", servers, 1), arrivals.size
    if dispatch in ("shortest_queue", "two_choices") and count > 1:
        firsts = rng.integers(count, size=size)
        if dispatch == "shortest_queue":
            looks, strides = count, np.ones(size, dtype=np.int64)
        else:
            looks, strides = 2, rng.integers(1, count, size=size)
        return np.asarray(_shortest(arrivals, services, count, looks, firsts, strides))
    if dispatch == "round_robin":
        chosen = np.arange(size) % count
    elif connections is not None:
        tied = rng.integers(count, size=check_count("connections", connections, 1))
        chosen = tied[rng.integers(tied.size, size=size)]
    else:
        chosen = rng.integers(count, size=size)
    return np.asarray(_assigned(arrivals, services, chosen, count))
