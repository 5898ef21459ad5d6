"""Controllers that change the number of servers while demand moves, behind one interface.

A controller sees a `State` once a step and answers with the number of servers it wants; `simulate`
orders and removes them, with the start-up delay, and replays the requests against what was ready.
`manifests` writes the fleet and its controller down for Kubernetes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.planning import SLO, Replay, mean_of, replay

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


@dataclass(frozen=True)
class Operation:
    """A stretch of time under a controller."""

    controller: str
    ready: NDArray[np.int64]
    """Servers that answered, by step."""
    ordered: NDArray[np.int64]
    """Those and the ones that were starting."""
    utilization: NDArray[np.float64] = field(repr=False)
    """Mean busy share of the ready servers, by step."""
    step_s: float
    replay: Replay

    @property
    def server_hours(self) -> float:
        """Server-hours paid for, from the order on."""
        return float(self.ordered.sum() * self.step_s / 3600.0)

    @property
    def scale_events(self) -> int:
        """Steps at which the number of servers ordered changed."""
        return int(np.count_nonzero(np.diff(self.ordered)))


def compare(operations: Sequence[Operation], cost_usd_server_h: float) -> pd.DataFrame:
    """One row a controller: server-hours, cost, late requests, hours that missed, scale events."""
    return pd.DataFrame(
        {
            "controller": [o.controller for o in operations],
            "server_hours": [o.server_hours for o in operations],
            "cost_usd": [o.server_hours * cost_usd_server_h for o in operations],
            "late_percent": [100.0 * o.replay.late_share for o in operations],
            "hours_missed": [o.replay.hours_missed for o in operations],
            "scale_events": [o.scale_events for o in operations],
        }
    )


def simulate(
    controller: Controller,
    rates: ArrayLike,
    service_s: ArrayLike,
    slo: SLO,
    rng: np.random.Generator,
    *,
    startup_s: float,
    initial: int,
    minimum: int = 1,
    maximum: int = 1000,
    step_s: float = SYNC_S,
    overhead_s: float = 0.0,
) -> Operation:
    """Run a controller over demand: it sees the last step, orders, and waits for the start-up.

    Utilisation, which the controller sees, follows the fluid queue: work that arrives and work left
    over, against what the ready servers can do in a step. Servers still starting are removed first.
    The requests are then replayed one by one against the servers that were ready.

    Parameters
    ----------
    controller : Controller
        Decides once a step.
    rates : array-like of shape (steps,)
        Arrival rate of each step in 1/s.
    service_s : array-like
        Service time at evenly spaced probabilities (`capkit.planning.service_law`), in seconds.
    slo : SLO
        Judges every hour.
    rng : numpy.random.Generator
        Draws the replay.
    startup_s : float
        Seconds from the order of a server to its first answer.
    initial, minimum, maximum : int
        Servers ready at the start, and the bounds of the fleet; `ValueError` if they contradict.
    step_s : float
        Seconds between decisions.
    overhead_s : float
        Latency that does not occupy a server, in seconds.

    >>> rng, service = np.random.default_rng(1), np.full(3, 0.01)
    >>> rates = np.repeat([100.0, 700.0], 120)
    >>> run = simulate(HPA(0.5), rates, service, SLO(0.99, 0.05), rng, startup_s=60.0, initial=2)
    >>> int(run.ready[0]), int(run.ready[-1])
    (2, 14)
    """
    demand = np.asarray(rates, dtype=float)
    table = np.asarray(service_s, dtype=float)
    if not 1 <= minimum <= initial <= maximum or not startup_s >= 0.0:
        raise ValueError(
            "1 <= minimum <= initial <= maximum and startup_s >= 0 must hold, got "
            f"{minimum}, {initial}, {maximum} and {startup_s}"
        )
    mean_s = mean_of(table)
    ready_at, recommended, backlog_s = [0.0] * initial, list[int](), 0.0
    ready, ordered = np.zeros((2, demand.size), dtype=np.int64)
    busy = np.zeros(demand.size)
    for step, rate in enumerate(demand):
        now = step * step_s
        if step:
            answering = sum(moment <= now for moment in ready_at)
            seen = float(busy[step - 1])
            state = State(now, answering, len(ready_at) - answering, seen, recommended, step_s)
            wanted = controller.recommend(state)
            count = min(max(controller.settle(state, wanted), minimum), maximum)
            recommended.append(wanted)
            ready_at = sorted(ready_at)[:count] + [now + startup_s] * (count - len(ready_at))
        ready[step] = sum(moment <= now for moment in ready_at)
        ordered[step] = len(ready_at)
        work_s = backlog_s + rate * mean_s * step_s
        busy[step] = min(work_s / (ready[step] * step_s), 1.0)
        backlog_s = max(work_s - ready[step] * step_s, 0.0)
    outcome = replay(demand, ready, table, slo, rng, overhead_s=overhead_s, period_s=step_s)
    return Operation(controller.name, ready, ordered, busy, step_s, outcome)


MANIFESTS = {
    "deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: topology.kubernetes.io/zone
          minDomains: {zones}
          whenUnsatisfiable: DoNotSchedule
          labelSelector:
            matchLabels: {{app: {name}}}
      containers:
        - name: server
          image: {image}
          args: [--model_name={name}, --model_base_path=/models/{name}]
          ports:
            - {{name: grpc, containerPort: 8500}}
            - {{name: rest, containerPort: 8501}}
          resources:
            requests: {{cpu: "1", memory: {memory_mib}Mi}}
            limits: {{cpu: "1", memory: {memory_mib}Mi}}
          readinessProbe:
            httpGet: {{path: /v1/models/{name}, port: rest}}
""",
    "service.yaml": """\
apiVersion: v1
kind: Service
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  selector: {{app: {name}}}
  ports:
    - {{name: grpc, port: 8500}}
    - {{name: rest, port: 8501}}
""",
    "hpa.yaml": """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}
  minReplicas: {minimum}
  maxReplicas: {maximum}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {{type: Utilization, averageUtilization: {target_percent}}}
""",
}


def manifests(
    name: str,
    *,
    minimum: int,
    maximum: int,
    memory_mib: int,
    target: float = 0.6,
    image: str = "tensorflow/serving:2.19.1",
    zones: int = 2,
) -> dict[str, str]:
    """Kubernetes manifests of a fleet: Deployment, Service and HorizontalPodAutoscaler, as YAML text.

    Parameters
    ----------
    name : str
        Name of the service and of the model it serves.
    minimum, maximum : int
        Replicas, one a planned server: the plan's smallest and largest hour.
    memory_mib : int
        Memory of one replica; it takes one CPU.
    target : float
        Mean CPU utilisation that the autoscaler holds.
    image : str
        Container image of the server.
    zones : int
        Zones that the replicas are spread over evenly; `ValueError` if there are fewer replicas.

    >>> print(manifests("digits", minimum=4, maximum=20, memory_mib=700)["hpa.yaml"].splitlines()[1])
    kind: HorizontalPodAutoscaler
    """
    if not 1 <= zones <= minimum <= maximum:
        raise ValueError(
            f"zones <= minimum <= maximum must hold, got {zones}, {minimum}, {maximum}"
        )
    values = {
        "name": name,
        "minimum": minimum,
        "maximum": maximum,
        "memory_mib": memory_mib,
        "target_percent": round(100.0 * target),
        "image": image,
        "zones": zones,
    }
    return {file: template.format(**values) for file, template in MANIFESTS.items()}
