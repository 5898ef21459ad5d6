"""A controller at work: servers ordered, started and stopped while the requests come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.autoscaling.controllers import SYNC_S, Controller, State
from capkit.autoscaling.servers import FluidServing, RequestServing, Serving
from capkit.planning import SLO, Replay, replay
from capkit.planning.replay import DISPATCH

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Operation:
    """A stretch of time under a controller."""

    controller: str
    ready: NDArray[np.int64]
    """Servers that answered, by step."""
    ordered: NDArray[np.int64]
    """Those and the ones that were starting."""
    utilization: Floats = field(repr=False)
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


def pareto(table: pd.DataFrame, cost: str = "server_hours", harm: str = "late_percent") -> Any:
    """Which rows nobody beats: no other row has less ``cost`` at no more ``harm``, or the other way round.

    >>> pareto(pd.DataFrame({"server_hours": [1, 2, 3], "late_percent": [9, 1, 1]})).tolist()
    [True, True, False]
    """
    values = table[[cost, harm]].to_numpy(dtype=float)
    no_worse = (values[:, None] <= values[None]).all(axis=2)
    better = (values[:, None] < values[None]).any(axis=2)
    return ~(no_worse & better).any(axis=0)


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
    every_request: bool = False,
) -> Operation:
    """Run a controller over demand: it sees the last step, orders, and waits for the start-up.

    Servers still starting are removed first, then the youngest. Memory does not grow with the requests.

    Parameters
    ----------
    controller : Controller
        Decides once a step.
    rates : array-like of shape (steps,)
        Arrival rate of each step in 1/s, Poisson within it; `ValueError` if one is negative or all are 0.
    service_s : array-like
        Service time at evenly spaced probabilities (`capkit.planning.service_law`), in seconds.
    slo : SLO
        Judges every hour.
    rng : numpy.random.Generator
        Draws arrivals and service times.
    startup_s : float
        Seconds from the order of a server to its first answer.
    initial, minimum, maximum : int
        Servers ready at the start, and the bounds of the fleet; `ValueError` if they contradict.
    step_s : float
        Seconds between decisions; an hour must be a whole number of them.
    overhead_s : float
        Latency that does not occupy a server, in seconds.
    dispatch : str
        How requests reach the servers, as in `capkit.planning.replay`.
    every_request : bool
        Simulate every request under the controller, which sees what those do. Otherwise the controller
        sees a fluid, and `capkit.planning.replay` then judges the fleet that resulted by a
        sample of the requests.

    >>> from capkit.autoscaling import HPA
    >>> rng, service = np.random.default_rng(1), np.full(3, 0.01)
    >>> rates = np.repeat([100.0, 700.0], 120)
    >>> for exact in (False, True):
    ...     run = simulate(HPA(0.5), rates, service, SLO(0.99, 0.05), rng, startup_s=60.0, initial=2,
    ...                    every_request=exact)
    ...     print(run.ready[0], run.ready[-1])
    2 14
    2 15
    """
    demand = np.asarray(rates, dtype=float)
    table = np.asarray(service_s, dtype=float)
    if not 1 <= minimum <= initial <= maximum or not startup_s >= 0.0:
        raise ValueError(
            "1 <= minimum <= initial <= maximum and startup_s >= 0 must hold, got "
            f"{minimum}, {initial}, {maximum} and {startup_s}"
        )
    if not (demand.size and np.isfinite(demand).all() and demand.min() >= 0.0 and demand.any()):
        raise ValueError("rates must be finite, at least 0, and not all 0")
    if dispatch not in DISPATCH:
        raise ValueError(f"dispatch must be one of {tuple(DISPATCH)}, got {dispatch!r}")
    rule = DISPATCH[dispatch]
    fluid = FluidServing(table, step_s, rule)
    exact = RequestServing(table, step_s, rule, slo, overhead_s, rng)
    serving: Serving = exact if every_request else fluid
    ready_at, busy, in_flight = [0.0] * initial, 0.0, 0.0
    recommended, counts = list[int](), list[int]()
    ready = np.zeros(demand.size, dtype=np.int64)
    used = np.zeros(demand.size)
    for step, rate in enumerate(demand):
        now = step * step_s
        if step:
            answering = _answering(ready_at, now)
            starting, before = len(ready_at) - answering, float(demand[step - 1])
            seen = State(
                now,
                answering,
                starting,
                busy,
                before,
                in_flight,
                recommended,
                counts,
                step_s,
            )
            wanted = controller.recommend(seen)
            count = min(max(controller.settle(seen, wanted), minimum), maximum)
            recommended.append(wanted)
            ready_at = ready_at[:count] + [now + startup_s] * (count - len(ready_at))
        ready[step] = _answering(ready_at, now)
        counts.append(len(ready_at))
        busy, in_flight = serving.step(float(rate), int(ready[step]))
        used[step] = busy
    if every_request:
        outcome = exact.replay()
    else:
        terms: dict[str, Any] = {"overhead_s": overhead_s, "period_s": step_s, "dispatch": dispatch}
        outcome = replay(demand, ready, table, slo, rng, **terms)
    return Operation(controller.name, ready, np.array(counts), used, step_s, outcome)


def _answering(ready_at: Sequence[float], now: float) -> int:
    """Servers whose start-up is over; they are listed in the order in which they were ordered."""
    return sum(moment <= now for moment in ready_at)
