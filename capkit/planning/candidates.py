"""Other ways to plan, judged on the same requests: the document's means, and a plan's single steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from capkit.planning.problem import HOURS_A_WEEK
from capkit.planning.replay import Replay, minute_rates, replay
from capkit.planning.sizing import SLO, Counts
from capkit.tco import Fleet

if TYPE_CHECKING:
    from capkit.planning.capacity_plan import CapacityPlan


@dataclass(frozen=True)
class Candidate:
    """A fleet to be judged, hour by hour."""

    name: str
    servers: Counts
    """Servers with all zones, shape (hours,)."""
    surviving: Counts
    """Servers after the loss of the largest zone."""
    cost_usd_week: float

    @classmethod
    def from_fleet(cls, name: str, fleet: Fleet, hours: int) -> Candidate:
        """A fleet of ``hours`` periods, or of one period that stands for all; in one zone, none survive."""
        has, left = (
            np.broadcast_to(fleet.periods[column].to_numpy().astype(np.int64), hours)
            for column in ("capacity", "capacity_after_loss")
        )
        if fleet.counts["zone"].nunique() == 1:
            left = np.zeros(hours, dtype=np.int64)
        return cls(name, has, left, fleet.cost_usd_h * HOURS_A_WEEK)

    @classmethod
    def from_plan(cls, name: str, plan: CapacityPlan) -> Candidate:
        """A plan, with what its machines cost that are ordered ahead of their hour."""
        fleet = cls.from_fleet(name, plan.fleet, len(plan.hours))
        return replace(fleet, cost_usd_week=plan.cost_usd_week)


def linear_servers(rates: ArrayLike, throughput_rps: float) -> Counts:
    """Servers by the document's linear capacity (section 4.3): ``sum of r_i x_i >= R``, nothing else.

    Parameters
    ----------
    rates : array-like
        Demand R in 1/s: one number, or one a period.
    throughput_rps : float
        What one server is taken to carry, r: one over its mean service time, or a benchmark's peak.

    >>> linear_servers([900.0, 1000.0, 1001.0], 500.0).tolist()
    [2, 2, 3]
    """
    if not throughput_rps > 0.0:
        raise ValueError(f"throughput_rps must be positive, got {throughput_rps}")
    needed = np.ceil(np.atleast_1d(np.asarray(rates, dtype=float)) / throughput_rps - 1e-9)
    return np.asarray(np.maximum(needed, 1), dtype=np.int64)


def judge_candidates(
    candidates: Sequence[Candidate],
    hourly_rates: ArrayLike,
    service_s: ArrayLike,
    slo: SLO,
    *,
    minute_factors: ArrayLike,
    seed: int,
    overhead_s: float = 0.0,
    dispatch: str = "random",
    places: int = 1,
) -> pd.DataFrame:
    """Replay the same requests against every candidate, with all zones and with the largest one lost.

    One row each: ``plan, servers_mean, servers_max, cost_usd_week, late_percent, hours_missed,
    hours_missed_zone_lost``; the last is all hours where a single zone held everything.

    Parameters
    ----------
    candidates : sequence of Candidate
        What to judge.
    hourly_rates, minute_factors : array-like
        The demand that came (1/s, one value an hour), and the rate of a minute over its hour's mean.
    service_s, overhead_s
        Service times to draw from (`service_law`), and the latency outside the server, in seconds.
    slo : SLO
        The judge.
    seed : int
        Seed of the requests, the same for every candidate.
    dispatch, places
        How requests reach the servers, and how many each works on at once, as in `replay`.
    """
    path = minute_rates(hourly_rates, minute_factors, np.random.default_rng(seed))

    def tried(servers: Counts) -> Replay:
        same = np.random.default_rng(seed)
        return replay(
            path,
            np.repeat(servers, 60),
            service_s,
            slo,
            same,
            overhead_s=overhead_s,
            dispatch=dispatch,
            places=places,
        )

    rows = []
    for candidate in candidates:
        normal = tried(candidate.servers)
        survives = candidate.surviving.all()
        lost = tried(candidate.surviving).hours_missed if survives else candidate.servers.size
        rows.append(
            {
                "plan": candidate.name,
                "servers_mean": float(candidate.servers.mean()),
                "servers_max": int(candidate.servers.max()),
                "cost_usd_week": candidate.cost_usd_week,
                "late_percent": 100.0 * normal.late_share,
                "hours_missed": normal.hours_missed,
                "hours_missed_zone_lost": lost,
            }
        )
    return pd.DataFrame(rows)
