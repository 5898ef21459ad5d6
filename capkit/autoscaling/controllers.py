"""Controllers: what they see, and how many servers they want."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

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
    recommended: Sequence[int] = ()
    """What this controller recommended at the earlier steps, oldest first."""
    step_s: float = SYNC_S


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


def hpa_replicas(
    usage: Sequence[float],
    target: float,
    *,
    unready: int = 0,
    missing: int = 0,
    tolerance: float = 0.1,
) -> int:
    """Replicas that the Kubernetes HorizontalPodAutoscaler wants, before stabilisation and limits.

    ``ceil(pods * use / target)``, by the rules of the Kubernetes documentation ("Horizontal Pod
    Autoscaling", algorithm details). Use and target are whole percents there, cut off, and so here.

    Parameters
    ----------
    usage : sequence of float
        CPU use of each ready pod that has a metric, as a share of its request; `ValueError` if empty.
    target : float
        Wanted mean use, as a share of the request.
    unready, missing : int
        Pods not ready yet: left out when scaling down, idle when scaling up. Ready pods without a
        metric: fully used when scaling down, idle when scaling up.
    tolerance : float
        No change while the ratio of use to target is this close to 1.

    The documentation's own: 200m against 100m doubles, 50m halves, and within a tenth nothing happens.

    >>> hpa_replicas([0.2, 0.2], 0.1), hpa_replicas([0.05, 0.05], 0.1), hpa_replicas([0.54], 0.5)
    (4, 1, 1)
    """
    if not usage or not target > 0.0:
        raise ValueError(
            f"a ready pod with a metric and a positive target are needed, got {target}"
        )
    pods = len(usage) + missing + unready

    def ratio(values: Sequence[float]) -> float:
        percent = math.floor(100.0 * math.fsum(values) / len(values) + 1e-9)
        return percent / math.floor(100.0 * target + 1e-9)

    first, counted = ratio(usage), list(usage)
    if missing and first != 1.0:
        counted += [1.0 if first < 1.0 else 0.0] * missing
    if unready and first > 1.0:
        counted += [0.0] * unready
    second = ratio(counted)
    turned = (first - 1.0) * (second - 1.0) < 0.0
    if turned or 1.0 - tolerance <= second <= 1.0 + tolerance:
        return pods
    wanted = math.ceil(second * len(counted))
    return pods if (second - 1.0) * (wanted - pods) < 0.0 else wanted


@dataclass(frozen=True)
class HPA(Controller):
    """The HorizontalPodAutoscaler on CPU use, with the defaults of autoscaling/v2.

    Parameters
    ----------
    target : float
        Wanted mean utilisation of the ready servers.
    tolerance : float
        No change while the ratio is this close to 1.
    stabilization_s : float
        Scaling down follows the highest recommendation of this window.

    >>> HPA(0.5).recommend(State(0.0, 4, 0, 0.9))
    8
    >>> HPA(0.5).settle(State(60.0, 8, 0, 0.1, recommended=[8, 7, 2, 2]), 2)
    8
    """

    target: float = 0.6
    tolerance: float = 0.1
    stabilization_s: float = 300.0
    name: str = "HPA"

    def recommend(self, state: State) -> int:
        """`hpa_replicas` of the mean use."""
        usage = [state.utilization] * state.ready
        return hpa_replicas(usage, self.target, unready=state.starting, tolerance=self.tolerance)

    def settle(self, state: State, wanted: int) -> int:
        """Up: at most 4 more or twice as many a step. Down: the highest recommendation of the window."""
        current = state.ready + state.starting
        if wanted > current:
            return min(wanted, max(2 * current, current + 4))
        recent = list(state.recommended)[-round(self.stabilization_s / state.step_s) :]
        return min(max([wanted, *recent]), current)
