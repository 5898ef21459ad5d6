"""A controller at work: servers ordered, started and stopped while the requests come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.autoscaling.controllers import SYNC_S, Controller, State
from capkit.planning import SLO, Replay, mean_of, replay


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
    dispatch: str = "random",
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
    dispatch : str
        How requests reach the servers, as in `capkit.planning.replay`.

    >>> from capkit.autoscaling import HPA
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
    terms: dict[str, Any] = {"overhead_s": overhead_s, "period_s": step_s, "dispatch": dispatch}
    outcome = replay(demand, ready, table, slo, rng, **terms)
    return Operation(controller.name, ready, ordered, busy, step_s, outcome)
