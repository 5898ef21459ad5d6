"""Queues with a finite room."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc, gammaincc

from capkit.queueing.base import Queue
from capkit.queueing.erlang import Values, as_values, check_positive, check_servers, erlang_b
from capkit.queueing.kernels import log_poisson


@dataclass(frozen=True)
class MMcK(Queue):
    """M/M/c/K: as M/M/c, but a request that finds K in the system is turned away. Exact at any load.

    ``capacity`` K >= c counts those in service too; K = c is Erlang's loss system M/M/c/c. ``arrival_rate`` > 0
    counts all requests (1/s); waits and responses are those of the accepted ones. Numbers or arrays.
    ValueError for bad rates or K < c.
    D. Gross, C. M. Harris, Fundamentals of Queueing Theory, section on M/M/c/K.

    >>> queue = MMcK(8.0, 4.0, servers=5, capacity=12)
    >>> round(queue.p0, 6), round(queue.mean_in_system, 6)
    (0.134334, 2.039346)
    """

    arrival_rate: Values
    service_rate: Values
    servers: Values
    capacity: Values

    def __post_init__(self) -> None:
        check_positive("arrival_rate", self.arrival_rate)
        check_positive("service_rate", self.service_rate)
        check_servers(self.servers)
        if np.any(self._room < 0):
            raise ValueError(
                "capacity counts the requests in service too: at least the servers, "
                f"{self.servers}, got {self.capacity}"
            )

    @property
    def _room(self) -> Any:
        """Waiting places, K - c."""
        return check_servers(self.capacity, name="capacity") - check_servers(self.servers)

    @cached_property
    def _tail(self) -> NDArray[np.float64]:
        """P(N = c + j) along a last axis, j = 0 .. the largest K - c; 0 beyond a smaller K."""
        load, room = np.asarray(self.offered_load), self._room
        ratio = np.log(load / self.servers)[..., np.newaxis]
        j = np.arange(np.max(room) + 1)
        power = np.where(j <= room[..., np.newaxis], j * ratio, -np.inf)
        top = power.max(axis=-1, keepdims=True)
        weights = np.exp(power - top)
        with np.errstate(divide="ignore"):
            below = np.exp(-top[..., 0]) * (1.0 / np.asarray(erlang_b(self.servers, load)) - 1.0)
        tail: NDArray[np.float64] = weights / (below + weights.sum(axis=-1))[..., np.newaxis]
        return tail

    @property
    def p0(self) -> Values:
        """Probability that the system is empty."""
        load = np.asarray(self.offered_load)
        with np.errstate(divide="ignore"):
            full = np.log(self._tail[..., 0])
        return as_values(np.exp(full - load - log_poisson(check_servers(self.servers), load)))

    @property
    def p_block(self) -> Values:
        """Probability that a request is turned away: P(N = K)."""
        room = np.broadcast_to(self._room, self._tail.shape[:-1])
        return as_values(np.take_along_axis(self._tail, room[..., np.newaxis], axis=-1)[..., 0])

    @property
    def throughput(self) -> Values:
        """Accepted requests per s."""
        return as_values(np.asarray(self.arrival_rate) * (1.0 - np.asarray(self.p_block)))

    @cached_property
    def _found(self) -> NDArray[np.float64]:
        """P(an accepted request finds c + j in the system), j = 0 .. the largest K - c - 1."""
        stays = np.arange(self._tail.shape[-1] - 1) < self._room[..., np.newaxis]
        accepted = np.where(stays, self._tail[..., :-1], 0.0)
        share: NDArray[np.float64] = accepted / (1.0 - np.asarray(self.p_block))[..., np.newaxis]
        return share

    @property
    def p_wait(self) -> Values:
        """Probability that an accepted request waits."""
        return as_values(self._found.sum(axis=-1))

    @property
    def mean_wait(self) -> Values:
        """Wq of accepted requests, s."""
        waiting = self._tail @ np.arange(self._tail.shape[-1])
        return as_values(waiting / self.throughput)

    def _stages(self, time: ArrayLike) -> tuple[Any, ...]:
        """The service rate of one and of all, times ``time``, and the departures that a request waits for."""
        t = check_positive("time", time, zero=True)
        own = (t * self.service_rate)[..., np.newaxis]
        all_busy = own * np.asarray(self.servers)[..., np.newaxis]
        return own, all_busy, np.arange(1.0, self._tail.shape[-1])

    def p_wait_exceeds(self, time: ArrayLike) -> Values:
        """P(wait > time in s) of an accepted request: it waits for n - c + 1 departures."""
        _, all_busy, stages = self._stages(time)
        return as_values((gammaincc(stages, all_busy) * self._found).sum(axis=-1))

    def p_response_exceeds(self, time: ArrayLike) -> Values:
        """P(wait + service > time in s) of an accepted request."""
        own, all_busy, stages = self._stages(time)
        servers = np.asarray(self.servers, dtype=float)[..., np.newaxis]
        with np.errstate(all="ignore"):
            growth = stages * np.log(servers / (servers - 1.0))
            late = gammaincc(stages, all_busy)
            late = late + np.exp(growth + np.log(gammainc(stages, all_busy - own)) - own)
        late = np.where(servers == 1.0, gammaincc(stages + 1.0, all_busy), late)
        at_once = np.exp(-own[..., 0]) * (1.0 - np.asarray(self.p_wait))
        return as_values(at_once + (late * self._found).sum(axis=-1))
