"""Servers at work during one step between two decisions: as a fluid, or request by request."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capkit.autoscaling.kernel import run_step
from capkit.planning import SLO, Replay, mean_of
from capkit.planning.kernel import BINS, CENTRAL
from capkit.planning.replay import percentile_of

Floats = NDArray[np.float64]


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
