"""Controllers: what they see, and how many servers they want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from capkit.autoscaling.hpa import (
    DOWN,
    UP,
    Rules,
    combined,
    external_replicas,
    hpa_replicas,
    limited,
    stabilized,
)

SYNC_S = 15.0  # period of the Kubernetes controller


@dataclass(frozen=True)
class State:
    """What a controller sees at one step."""

    time_s: float
    ready: int
    starting: int
    """Servers ordered that do not answer yet."""
    utilization: float
    """Mean busy share of the ready servers over the last step."""
    rate: float = 0.0
    """Arrivals over the last step, in 1/s."""
    in_flight: float = 0.0
    """Requests waiting and in service, all servers together: mean over the last step."""
    recommended: Sequence[int] = ()
    """What this controller recommended at the earlier steps, oldest first."""
    counts: Sequence[int] = ()
    """Servers ordered at the earlier steps, oldest first."""
    step_s: float = SYNC_S

    @property
    def current(self) -> int:
        """Servers ordered: ready and starting."""
        return self.ready + self.starting


class Controller(Protocol):
    """What every controller has."""

    @property
    def name(self) -> str: ...

    def recommend(self, state: State) -> int:
        """Servers wanted now."""
        ...

    def settle(self, state: State, wanted: int) -> int:
        """The count to order: ``wanted`` after the controller's limits on change."""
        return wanted


@dataclass(frozen=True)
class Static(Controller):
    """A fleet that never changes.

    >>> Static(4).recommend(State(0.0, 2, 0, 0.9))
    4
    """

    servers: int
    name: str = "static"

    def recommend(self, state: State) -> int:
        """The fixed count."""
        return self.servers


@dataclass(frozen=True)
class Scheduled(Controller):
    """Servers ordered ahead of a known need: from a forecast, or from the truth itself (the oracle).

    Parameters
    ----------
    needed : array-like of shape (periods,)
        Servers needed in each period; the last one holds on.
    period_s : float
        Length of a period in seconds.
    lead_s : float
        How far ahead to look: the start-up time.

    >>> plan = Scheduled([2, 5, 3], period_s=3600.0, lead_s=120.0)
    >>> [plan.recommend(State(t, 2, 0, 0.5)) for t in (0.0, 3480.0, 7200.0)]
    [2, 5, 3]
    """

    needed: ArrayLike
    period_s: float
    lead_s: float
    name: str = "forecast"

    def recommend(self, state: State) -> int:
        """The most needed between now and the end of the lead time."""
        needed = np.asarray(self.needed)
        first = min(int(state.time_s // self.period_s), needed.size - 1)
        last = int((state.time_s + state.step_s + self.lead_s - 1e-9) // self.period_s)
        return int(needed[first : last + 1].max())


@dataclass(frozen=True)
class HPA(Controller):
    """The HorizontalPodAutoscaler, with the defaults of autoscaling/v2.

    Parameters
    ----------
    target : float
        Wanted mean utilisation of the ready servers.
    tolerance : float
        No change while the ratio is this close to 1.
    rate_per_server : float, optional
        A second metric: wanted requests a second of one server. The larger answer holds.
    up, down : Rules
        Policies and windows.

    >>> HPA(0.5).recommend(State(0.0, 4, 0, 0.9))
    8
    >>> HPA(0.5, rate_per_server=100.0).recommend(State(0.0, 4, 0, 0.9, rate=1000.0))
    10
    >>> HPA(0.5).settle(State(60.0, 8, 0, 0.1, recommended=[8, 7, 2, 2]), 2)
    8
    """

    target: float = 0.6
    tolerance: float = 0.1
    rate_per_server: float | None = None
    up: Rules = UP
    down: Rules = DOWN
    name: str = "HPA"

    def recommend(self, state: State) -> int:
        """`hpa_replicas` of the mean use, and `external_replicas` of the rate if that is a metric."""
        usage = [state.utilization] * state.ready
        terms = {"unready": state.starting, "tolerance": self.tolerance}
        by_use = hpa_replicas(usage, self.target, **terms) if usage else None  # type: ignore[arg-type]
        if self.rate_per_server is None:
            return combined([by_use], state.current)
        by_rate = external_replicas(
            state.rate, self.rate_per_server, state.current, tolerance=self.tolerance
        )
        return combined([by_use, by_rate], state.current)

    def settle(self, state: State, wanted: int) -> int:
        """After the stabilisation windows and the scaling policies."""
        windows = {"up_s": self.up.stabilization_s, "down_s": self.down.stabilization_s}
        span = int(max(windows.values()) / state.step_s)
        recent = list(state.recommended[-span:]) if span else []
        steady = stabilized(state.current, wanted, _aged(recent, state.step_s), **windows)
        if steady == state.current:
            return steady
        rules = self.up if steady > state.current else self.down
        span = int(max(policy.period_s for policy in rules.policies) / state.step_s)
        counts = np.array(state.counts[-span - 1 :])
        changes = _aged(np.diff(counts).tolist(), state.step_s)
        return limited(state.current, steady, changes, up=self.up, down=self.down)


def _aged(values: Sequence[int], step_s: float) -> list[tuple[float, int]]:
    """Values of the last steps with their ages, the newest one step old."""
    return [(step_s * (len(values) - place), value) for place, value in enumerate(values)]


@dataclass(frozen=True)
class QueueLength(HPA):
    """An autoscaler on requests in flight, as KEDA hands a queue's length to the HorizontalPodAutoscaler.

    Parameters
    ----------
    per_server : float
        Wanted requests in flight a ready server: waiting and in service. Unlike a utilisation it has no
        ceiling: a backlog says how large it is.

    >>> QueueLength(per_server=2.0).recommend(State(0.0, 4, 0, 1.0, in_flight=30.0))
    15
    """

    per_server: float = 2.0
    name: str = "queue length"

    def recommend(self, state: State) -> int:
        """`external_replicas` of the requests in flight."""
        return external_replicas(
            state.in_flight, self.per_server, state.current, tolerance=self.tolerance
        )


@dataclass(frozen=True)
class Hybrid(Controller):
    """A forecast as the floor, a reactive controller on top: the schedule sets ``minReplicas``.

    >>> floor = Scheduled([2, 5], period_s=3600.0, lead_s=120.0)
    >>> both = Hybrid(floor, HPA(0.5))
    >>> [both.recommend(State(t, 4, 0, use)) for t, use in ((0.0, 0.9), (3600.0, 0.1))]
    [8, 5]
    """

    floor: Controller
    reactive: Controller
    name: str = "hybrid"

    def recommend(self, state: State) -> int:
        """The larger of the two."""
        return max(self.floor.recommend(state), self.reactive.recommend(state))

    def settle(self, state: State, wanted: int) -> int:
        """The reactive controller's limits, and never below the floor."""
        return max(self.floor.recommend(state), self.reactive.settle(state, wanted))
