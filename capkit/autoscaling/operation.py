"""A controller at work: servers ordered, started and stopped while the requests come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.autoscaling.controllers import SYNC_S, Controller, State
from capkit.autoscaling.kernel import run_step
from capkit.planning import SLO, Replay, mean_of, replay
from capkit.planning.kernel import BINS, CENTRAL
from capkit.planning.replay import DISPATCH, percentile_of

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


class Serving(Protocol):
    """Servers at work: what a step of demand does to them."""

    def step(self, rate: float, ready: int) -> tuple[float, float]:
        """Serve a step at ``rate`` (1/s); the busy share of the servers and the mean number in flight."""
        ...


class FluidServing:
    """Work as a fluid: what arrives and what is left over, against what the servers can do in a step.

    Below saturation the number in flight is that of M/G/1 queues, one a server, or with one queue for
    all of M/G/c (Sakasegawa, Ann. Inst. Statist. Math. 29, 1977).
    """

    def __init__(self, table: Floats, step_s: float, dispatch: int) -> None:
        moments = mean_of(table), mean_of(table**2)
        self.mean_s, self.spread = moments[0], moments[1] / moments[0] ** 2 / 2.0
        self.step_s, self.dispatch, self.backlog_s = step_s, dispatch, 0.0

    def step(self, rate: float, ready: int) -> tuple[float, float]:
        before = self.backlog_s
        work_s = before + rate * self.mean_s * self.step_s
        busy = min(work_s / (ready * self.step_s), 1.0)
        self.backlog_s = max(work_s - ready * self.step_s, 0.0)
        steady = min(busy, 0.99)
        pooled = ready if self.dispatch == CENTRAL else 1
        waiting = steady ** ((2.0 * (pooled + 1.0)) ** 0.5) * self.spread / (1.0 - steady)
        in_flight = ready * (busy + waiting / pooled) + (before + self.backlog_s) / 2 / self.mean_s
        return busy, in_flight


class RequestServing:
    """Every request simulated; keeps the latencies by hour, not the requests."""

    def __init__(
        self, table: Floats, step_s: float, dispatch: int, slo: SLO, overhead_s: float, rng: Any
    ) -> None:
        self.table, self.mean_s, self.step_s, self.dispatch = (
            table,
            mean_of(table),
            step_s,
            dispatch,
        )
        self.slo, self.overhead_s, self.rng = slo, overhead_s, rng
        self.free, self.steps = np.zeros(0), 0
        self.requests, self.late, self.seen = list[int](), list[int](), list[Floats]()

    def step(self, rate: float, ready: int) -> tuple[float, float]:
        if ready != self.free.size:
            self._resize(ready)
        if self.steps % round(3600.0 / self.step_s) == 0:
            self.requests.append(0)
            self.late.append(0)
            self.seen.append(np.zeros(BINS))
        self.steps += 1
        left_s = np.minimum(self.free, self.step_s)
        waited_s = left_s * (self.free - left_s / 2) / self.mean_s + left_s / 2
        outcome = run_step(
            self.dispatch,
            rate,
            self.free,
            self.table,
            self.step_s,
            self.overhead_s,
            self.slo.latency_s,
            self.seen[-1],
            self.rng,
        )
        requests, late, idle_s, spent_s = outcome
        self.requests[-1] += requests
        self.late[-1] += late
        return 1.0 - idle_s / (ready * self.step_s), (waited_s.sum() + spent_s) / self.step_s

    def _resize(self, ready: int) -> None:
        """The youngest servers go, once they have answered what they hold; what one queue holds is shared anew."""
        held, kept = self.free, self.free[:ready]
        self.free = np.concatenate([kept, np.zeros(ready - kept.size)])
        if self.dispatch == CENTRAL and held.size and held.min() > 0.0:
            self.free[:] = held.sum() / ready
        elif self.dispatch == CENTRAL:
            self.free.sort()

    def replay(self) -> Replay:
        """The hours, judged by the SLO."""
        requests, late = np.array(self.requests, dtype=float), np.array(self.late, dtype=float)
        share = late / np.maximum(requests, 1.0)
        seen = [percentile_of(h, self.slo.percentile) if h.any() else 0.0 for h in self.seen]
        met = late <= (1.0 - self.slo.percentile) * requests
        columns = {"requests": requests, "late": late, "late_share": share}
        frame = pd.DataFrame({**columns, "percentile_ms": 1000.0 * np.array(seen), "met": met})
        whole = 1000.0 * percentile_of(np.sum(self.seen, axis=0), self.slo.percentile)
        run = {"late_share": late.sum() / requests.sum(), "percentile_ms": whole}
        return Replay(frame, pd.DataFrame([run | {"hours_missed": int((~met).sum())}]))


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
        Arrival rate of each step in 1/s; Poisson arrivals.
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
    2 14
    """
    demand = np.asarray(rates, dtype=float)
    table = np.asarray(service_s, dtype=float)
    if not 1 <= minimum <= initial <= maximum or not startup_s >= 0.0:
        raise ValueError(
            "1 <= minimum <= initial <= maximum and startup_s >= 0 must hold, got "
            f"{minimum}, {initial}, {maximum} and {startup_s}"
        )
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
