"""Load that moves: a zone is lost, a version is rolled out, a pool is emptied into another.

Each is a function of the servers that are there before; `servers_needed` finds how many that must be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capkit.autoscaling.controllers import SYNC_S
from capkit.planning import SLO, replay


@dataclass(frozen=True)
class Migration:
    """Servers step by step while load moves."""

    ready: NDArray[np.int64]
    """Servers that answer."""
    running: NDArray[np.int64]
    """Servers paid for: those, the starting ones, and the ones that only finish what they hold."""

    @property
    def ready_least(self) -> int:
        """The fewest that answer at any moment."""
        return int(self.ready.min())

    @property
    def running_most(self) -> int:
        """The most that are paid for at any moment."""
        return int(self.running.max())


def zone_loss(
    servers: int,
    zones: int,
    steps: int,
    *,
    lost_s: float,
    startup_s: float,
    noticed_s: float = 30.0,
    step_s: float = SYNC_S,
) -> Migration:
    """A zone fails with all its servers; as many are started in the others.

    Parameters
    ----------
    servers, zones, steps : int
        Servers, spread evenly; zones, at least 2; steps to look at.
    lost_s, noticed_s, startup_s : float
        When it fails, how long until that is noticed, and the start-up of a replacement, in seconds.

    >>> zone_loss(6, 2, 8, lost_s=30.0, noticed_s=15.0, startup_s=30.0).ready.tolist()
    [6, 6, 3, 3, 3, 6, 6, 6]
    """
    if zones < 2 or servers < zones:
        raise ValueError(f"2 <= zones <= servers must hold, got {zones} zones, {servers} servers")
    now = np.arange(steps) * step_s
    gone = math.ceil(servers / zones)
    ordered = lost_s + noticed_s
    ready = servers - gone * ((now >= lost_s) & (now < ordered + startup_s))
    running = servers - gone * ((now >= lost_s) & (now < ordered))
    return Migration(ready.astype(np.int64), running.astype(np.int64))


def rollout(
    servers: int,
    steps: int,
    *,
    startup_s: float,
    drain_s: float,
    surge: int | None = None,
    unavailable: int | None = None,
    step_s: float = SYNC_S,
) -> Migration:
    """A new version replaces the old one, as a Deployment's RollingUpdate does.

    Never more than ``servers + surge`` that are not draining, never fewer than ``servers - unavailable``
    that answer.

    Parameters
    ----------
    servers, steps : int
        Servers, and steps to look at; `ValueError` if the rollout does not end within them.
    startup_s, drain_s : float
        From the start of a new server to its first answer; from the stop of an old one to its end.
    surge, unavailable : int, optional
        ``maxSurge`` and ``maxUnavailable``; a quarter of the servers, rounded up and down, without them.

    >>> rollout(4, 9, startup_s=30.0, drain_s=15.0, surge=2, unavailable=0).running.tolist()
    [6, 6, 8, 6, 6, 4, 4, 4, 4]
    """
    extra = math.ceil(servers / 4) if surge is None else surge
    fewer = servers // 4 if unavailable is None else unavailable
    if servers < 1 or extra < 0 or not 0 <= fewer <= servers or extra + fewer == 0:
        raise ValueError(
            "a rollout needs servers, and surge or unavailable above 0, got "
            f"{servers}, {extra} and {fewer}"
        )
    old, drained_at, ready_at = servers, list[float](), list[float]()
    ready, running = np.zeros((2, steps), dtype=np.int64)
    for step in range(steps):
        now = step * step_s
        while True:
            answering = old + sum(moment <= now for moment in ready_at)
            start = min(servers + extra - old - len(ready_at), servers - len(ready_at))
            stop = min(answering - (servers - fewer), old)
            if start <= 0 and stop <= 0:
                break
            ready_at += [now + startup_s] * max(start, 0)
            old -= max(stop, 0)
            drained_at += [now + drain_s] * max(stop, 0)
        draining = sum(moment > now for moment in drained_at)
        ready[step] = old + sum(moment <= now for moment in ready_at)
        running[step] = old + len(ready_at) + draining
    if old or ready[-1] < servers or running[-1] > servers:
        raise ValueError(f"the rollout does not end in {steps} steps of {step_s:g} s: look further")
    return Migration(ready, running)


def pool_move(
    servers: int,
    steps: int,
    *,
    stages: int,
    startup_s: float,
    drain_s: float,
    step_s: float = SYNC_S,
) -> tuple[Migration, Migration, NDArray[np.float64]]:
    """Load moves from one pool to another, an equal share at each stage.

    The target's servers of a stage are ordered one start-up before the load comes; the source's are
    stopped when it has gone. Stages follow each other by the start-up and the draining.

    Parameters
    ----------
    servers, steps : int
        Servers of the whole load in one pool, and steps to look at; `ValueError` if the last stage comes later.
    stages : int
        In how many equal shares.
    startup_s, drain_s : float
        As in `rollout`.

    Returns
    -------
    source, target, share
        Both pools, and the share of the load on the target, step by step.

    >>> source, target, share = pool_move(4, 8, stages=2, startup_s=30.0, drain_s=15.0)
    >>> share.tolist(), (source.running + target.running).tolist()
    ([0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0], [6, 6, 6, 6, 6, 6, 4, 4])
    """
    now = np.arange(steps) * step_s
    starts = startup_s + np.arange(stages) * (startup_s + drain_s)
    if servers < 1 or stages < 1 or starts[-1] > now[-1]:
        raise ValueError(f"{stages} stages of {servers} servers do not end in {steps} steps")

    def stages_by(moments: Any) -> Any:
        return (now[:, None] >= moments - 1e-9).sum(axis=1)

    def kept(done: Any) -> Any:
        return -(-servers * (stages - done) // stages)

    def bought(done: Any) -> Any:
        return -(-servers * done // stages)

    moved = stages_by(starts)
    source = Migration(kept(moved), kept(stages_by(starts + drain_s)))
    target = Migration(bought(moved), bought(stages_by(starts - startup_s)))
    return source, target, moved / stages


def servers_needed(
    event: Callable[[int], ArrayLike],
    rates: ArrayLike,
    service_s: ArrayLike,
    slo: SLO,
    *,
    seed: int,
    step_s: float = SYNC_S,
    at_least: int = 1,
    at_most: int = 10_000,
    **terms: Any,
) -> int:
    """The fewest servers before an event with which every hour still meets the SLO, by simulation.

    Parameters
    ----------
    event : callable
        ``event(servers)`` gives the servers that answer, step by step.
    rates, service_s, slo
        As in `capkit.planning.replay`, one rate a step.
    seed : int
        Every count meets the same requests.
    at_least, at_most : int
        Where to begin, and where to give up; `ValueError` then.
    terms
        ``overhead_s`` and ``dispatch`` of the replay.

    >>> rates, service = np.full(240, 300.0), np.full(3, 0.01)
    >>> calm = servers_needed(lambda n: np.full(240, n), rates, service, SLO(0.99, 0.1), seed=1)
    >>> lost = servers_needed(lambda n: zone_loss(n, 2, 240, lost_s=600.0, startup_s=120.0).ready,
    ...                       rates, service, SLO(0.99, 0.1), seed=1, at_least=2)
    >>> lost > 1.5 * calm
    True
    """

    def holds(servers: int) -> bool:
        ready = np.asarray(event(servers), dtype=np.int64)
        if (ready < 1).any():
            return False
        rng = np.random.default_rng(seed)
        return replay(rates, ready, service_s, slo, rng, period_s=step_s, **terms).met

    low, high = at_least - 1, at_least
    while not holds(high):
        low, high = high, 2 * high
        if low > at_most:
            raise ValueError(f"{at_most} servers do not carry this event: relax the SLO")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
