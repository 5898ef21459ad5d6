"""The plan: a fleet hour by hour, and what came of it when it was tried."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from capkit.planning.problem import HOURS_A_WEEK, Problem, what_would_change
from capkit.planning.replay import Replay
from capkit.planning.sizing import SLO
from capkit.planning.trials import start_cost_usd
from capkit.tco import Fleet


@dataclass(frozen=True)
class CapacityPlan:
    """A fleet hour by hour that met its SLO when it was tried."""

    problem: Problem = field(repr=False)
    """What was asked for; `what_would_change` asks for something else."""
    pool: str
    """Name of the machines that are planned together."""
    fleet: Fleet
    """The optimum of `capkit.tco`: what to buy, and when it runs."""
    hours: pd.DataFrame = field(repr=False)
    """One row an hour: ``time``, ``mean_rps`` (forecast), ``planned_rps`` (its quantile), ``needed``,
    ``servers``, ``surviving`` (after the loss of the largest zone), ``surviving_rps`` (what those carry
    at the SLO), ``probability_met`` and ``probability_met_zone_lost``, and the percentile that is
    expected at the planned rate with all zones, ``percentile_ms`` between ``percentile_low_ms`` and
    ``percentile_high_ms``."""
    replay: Replay = field(repr=False)
    """The planned demand replayed with all zones."""
    zone_loss: Replay = field(repr=False)
    """The same with one zone lost, whichever hour it is."""
    failures: pd.DataFrame = field(repr=False)
    """Each zone failing once (`zone_failures`); empty in one zone."""
    startup_s: float
    """Seconds from the order of a server to its first answer."""
    ahead_s: float
    """How long before their hour machines are ordered: 0 where the replay could do with late ones."""
    late_start_hours: int
    """Hours that missed the SLO in replay when machines were ordered on the hour."""
    beside: pd.DataFrame = field(repr=False)
    """The document's plan and this one on the forecast's mean demand, as `judge_candidates` gives them."""
    rounds: int
    """How often a first answer had to be mended."""

    @property
    def slo(self) -> SLO:
        """The objective."""
        return self.problem.slo

    @property
    def level(self) -> float:
        """Quantile of the forecast that it carries in every hour."""
        return self.problem.level

    @property
    def zones(self) -> int:
        """With two or more, what is left after the loss of any one still carries that quantile."""
        return self.problem.zones

    @property
    def peak_factor(self) -> float:
        """Rate of the busiest minute over the hour's mean."""
        return self.problem.peak_factor

    @property
    def dispatch(self) -> str:
        """How requests reach the servers: "random", "round_robin" or "central"."""
        return self.problem.dispatch

    @property
    def counts(self) -> pd.DataFrame:
        """One row an hour and machine group in use: ``time, pool, name, purchase, zone, count``."""
        schedule = self.fleet.schedule
        time = self.hours["time"].to_numpy()[schedule["period"]]
        columns = ["time", "pool", "name", "purchase", "zone", "count"]
        return schedule.assign(time=time, pool=self.pool)[columns]

    @property
    def start_cost_usd_week(self) -> float:
        """Cost of ordering machines ahead of their hour, in USD a week."""
        return start_cost_usd(self.fleet, self.ahead_s) * HOURS_A_WEEK / len(self.hours)

    @property
    def cost_usd_week(self) -> float:
        """Cost of a week in USD, starts included."""
        return self.fleet.cost_usd_h * HOURS_A_WEEK + self.start_cost_usd_week

    @property
    def percentile_ms(self) -> tuple[float, float, float]:
        """The SLO's percentile over the whole replay in ms, with its 95 % interval."""
        return self.replay.interval("percentile_ms")

    @property
    def headroom(self) -> float:
        """Share by which demand may exceed the forecast's mean with a zone lost, in the tightest hour."""
        return float((self.hours["surviving_rps"] / self.hours["mean_rps"]).min() - 1.0)

    @property
    def expected_hours_missed(self) -> tuple[float, float]:
        """Hours in which demand is expected to outgrow the plan: with all zones, and with one lost."""
        met = self.hours[["probability_met", "probability_met_zone_lost"]]
        all_zones, one_lost = (1.0 - met).sum()
        return float(all_zones), float(one_lost)

    @property
    def binding(self) -> pd.DataFrame:
        """The constraints that stop the fleet from being one machine smaller, and in how many hours."""
        return self.fleet.binding

    @cached_property
    def changes(self) -> pd.DataFrame:
        """What would change it (`what_would_change`)."""
        return what_would_change(self.problem)

    def to_dict(self) -> dict[str, Any]:
        """The plan in numbers, rounded, with units in the keys."""
        percentile, low, high = (round(value, 3) for value in self.percentile_ms)
        missed, missed_zone_lost = self.expected_hours_missed
        bound = zip(self.binding["constraint"], self.binding["periods"].tolist(), strict=True)
        document = self.beside.iloc[0]
        return {
            "slo_percentile": self.slo.percentile,
            "slo_latency_ms": 1000.0 * self.slo.latency_s,
            "slo_until": self.slo.until,
            "forecast_level": self.level,
            "zones": self.zones,
            "peak_factor": round(self.peak_factor, 4),
            "dispatch": self.dispatch,
            "cost_usd_week": round(self.cost_usd_week, 2),
            "start_cost_usd_week": round(self.start_cost_usd_week, 2),
            "servers_min": int(self.hours["servers"].min()),
            "servers_max": int(self.hours["servers"].max()),
            "percentile_ms": percentile,
            "percentile_low_ms": low,
            "percentile_high_ms": high,
            "zone_lost_percentile_ms": round(self.zone_loss.interval()[0], 3),
            "late_percent": round(100.0 * self.replay.late_share, 4),
            "headroom_percent": round(100.0 * self.headroom, 2),
            "expected_hours_missed": round(missed, 3),
            "expected_hours_missed_zone_lost": round(missed_zone_lost, 3),
            "zone_failure_late_percent": round(float(self.failures["late_percent"].max()), 4)
            if len(self.failures)
            else None,
            "startup_s": self.startup_s,
            "ordered_ahead_s": self.ahead_s,
            "mending_rounds": self.rounds,
            "binding_hours": dict(bound),
            "document_cost_usd_week": round(float(document["cost_usd_week"]), 2),
            "document_late_percent": round(float(document["late_percent"]), 3),
            "document_hours_missed": int(document["hours_missed"]),
            "solver": self.fleet.solver,
            "gap_percent": round(100.0 * self.fleet.gap, 4),
        }

    def to_markdown(self) -> str:
        """The plan as one page of Markdown."""
        from capkit.planning.report import to_markdown

        return to_markdown(self)

    def to_html(self) -> str:
        """The plan as one page of HTML that opens offline."""
        from capkit.planning.report import to_html

        return to_html(self)
