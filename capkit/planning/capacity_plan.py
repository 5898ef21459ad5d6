"""The plan: queueing, forecast, optimisation, and the veto of a replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from capkit.planning.candidates import HOURS_A_WEEK
from capkit.planning.replay import Replay, minute_rates, replay, service_law
from capkit.planning.sizing import (
    SLO,
    Counts,
    Floats,
    carried_rates,
    forecast_rates,
    latency_budget_s,
    needed_servers,
    on_one_vcpu,
    probability_below,
)
from capkit.tco import Fleet, optimize

if TYPE_CHECKING:
    from capkit.serving import ServiceProfile
    from capkit.workload import Workload


@dataclass(frozen=True)
class CapacityPlan:
    """A fleet hour by hour that met its SLO when it was tried."""

    slo: SLO
    level: float
    """Quantile of the forecast that it carries in every hour."""
    zones: int
    """With two or more, what is left after the loss of any one still carries that quantile."""
    peak_factor: float
    """Rate of the busiest minute over the hour's mean."""
    dispatch: str
    """How requests reach the servers: "random", "round_robin" or "central"."""
    fleet: Fleet
    """The optimum of `capkit.tco`: what to buy, and when it runs."""
    hours: pd.DataFrame = field(repr=False)
    """One row an hour: ``time``, ``mean_rps`` (forecast), ``planned_rps`` (its quantile), ``needed``,
    ``servers``, ``surviving`` (after the loss of the largest zone), ``surviving_rps`` (what those carry
    at the SLO), ``probability_met`` and ``probability_met_zone_lost``."""
    replay: Replay = field(repr=False)
    """The planned demand replayed with all zones."""
    zone_loss: Replay = field(repr=False)
    """The same with one zone lost, whichever hour it is."""
    rounds: int
    """How often a first answer had to be mended."""

    @property
    def counts(self) -> pd.DataFrame:
        """One row an hour and machine group in use: ``time, name, purchase, zone, count``."""
        schedule = self.fleet.schedule
        time = self.hours["time"].to_numpy()[schedule["period"]]
        return schedule.assign(time=time)[["time", "name", "purchase", "zone", "count"]]

    @property
    def cost_usd_week(self) -> float:
        """Cost of a week in USD."""
        return self.fleet.cost_usd_h * HOURS_A_WEEK

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

    def to_dict(self) -> dict[str, Any]:
        """The plan in numbers, rounded, with units in the keys."""
        percentile, low, high = (round(value, 3) for value in self.percentile_ms)
        missed, missed_zone_lost = self.expected_hours_missed
        bound = zip(self.binding["constraint"], self.binding["periods"].tolist(), strict=True)
        return {
            "slo_percentile": self.slo.percentile,
            "slo_latency_ms": 1000.0 * self.slo.latency_s,
            "forecast_level": self.level,
            "zones": self.zones,
            "peak_factor": round(self.peak_factor, 4),
            "dispatch": self.dispatch,
            "cost_usd_week": round(self.cost_usd_week, 2),
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
            "mending_rounds": self.rounds,
            "binding_hours": dict(bound),
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


def plan(
    workload: Workload,
    service: ServiceProfile,
    forecast: pd.DataFrame,
    options: pd.DataFrame,
    slo: SLO,
    *,
    rng: np.random.Generator,
    minute_factors: ArrayLike | None = None,
    service_times: pd.DataFrame | None = None,
    level: float = 0.95,
    zones: int = 2,
    purchases: Sequence[str] = ("on_demand", "reserved_1y"),
    solver: str = "highs",
    repetitions: int = 2,
    mends: int = 5,
    dispatch: str = "random",
) -> CapacityPlan:
    """Plan a fleet for every hour of a forecast, and try it before returning it.

    1. Forecast: an hour's rate is a quantile of its forecast.
    2. Queueing: servers for the SLO in the busiest minute of that hour (M/G/c, measured service).
    3. Optimisation: the cheapest machines that hold those servers with any one zone lost.
    4. Veto: all hours are replayed with one zone lost and the measured service times. Hours that miss
       the SLO get more servers and the program is solved again; if that does not help, there is no plan.

    Parameters
    ----------
    workload : Workload
        Request log; its minutes are the ``minute_factors`` (rate of a minute over its hour's mean, in the
        order of the trace) unless those are given.
    service, service_times
        Measured `ServiceProfile` of one server, which gets one vCPU (`on_one_vcpu`), and the quantiles of
        its service time (see `service_law`).
    forecast : DataFrame
        One row an hour: ``time`` and the columns that `forecast_rates` reads.
    options : DataFrame
        Machine types as `capkit.tco.optimize` takes them, ``capacity`` in servers (`cpu_options`).
    slo : SLO
        Percentile and latency.
    rng : numpy.random.Generator
        Draws the replay.
    level : float
        Quantile of the forecast to carry.
    zones, purchases, solver
        As in `capkit.tco.optimize`; with two zones or more, one may be lost.
    repetitions, mends : int
        Independent repetitions of the replay (at least 2); how often a plan that failed is mended.
    dispatch : str
        How requests reach the servers, in the sizing and in the replay: "random", a queue each, as behind a
        Kubernetes Service; "round_robin"; "central", one queue for all.

    Raises
    ------
    ValueError
        Nothing can meet the SLO, or no mended plan did; the message says which hour and by how much.
    """
    factors = _factors(workload, minute_factors)
    table = service_law(service, service_times)
    service = on_one_vcpu(service)
    allowed = 1.0 - slo.percentile
    slow = float((table > latency_budget_s(service, slo)).mean())
    if slow > allowed:
        raise ValueError(
            f"{slow:.2%} of the measured service times alone exceed the target of "
            f"{1000 * slo.latency_s:.3g} ms, and {allowed:.2%} may: no number of servers meets this SLO"
        )
    planned = forecast_rates(forecast, level)
    peak_factor = float(factors.max())
    needed = needed_servers(planned, service, slo, peak_factor=peak_factor, dispatch=dispatch)
    paths = np.stack([minute_rates(planned, factors, rng) for _ in range(repetitions)])
    seed = int(rng.integers(2**63))

    def tried(servers: Counts) -> Replay:
        same = np.random.default_rng(seed)  # every fleet meets the same requests
        terms: dict[str, Any] = {"overhead_s": service.overhead_s, "dispatch": dispatch}
        return replay(paths, np.repeat(servers, 60), table, slo, same, **terms)

    for rounds in range(mends + 1):
        fleet = optimize(options, needed, solver=solver, purchases=purchases, zones=zones)
        surviving = fleet.periods["capacity_after_loss"].to_numpy().astype(np.int64)
        zone_loss = tried(surviving)
        missed = ~zone_loss.hours["met"].to_numpy()
        if not missed.any():
            break
        if rounds == mends:
            worst = int(zone_loss.hours["late_share"].argmax())
            raise ValueError(
                f"no plan: after {mends} rounds of added servers {missed.sum()} of {missed.size} hours "
                f"still miss the SLO in replay; in hour {worst}, the worst, {surviving[worst]} servers "
                f"answer {zone_loss.hours['late_share'][worst]:.2%} late where {allowed:.2%} may be. The "
                "measured service times are heavier than their mean and CV2 say: measure them again, "
                "relax the SLO, or allow more mends"
            )
        more = np.maximum(np.ceil(1.05 * surviving), surviving + 1).astype(np.int64)
        needed = np.where(missed, more, needed)

    servers = fleet.periods["capacity"].to_numpy().astype(np.int64)
    carried, surviving_rps = (
        carried_rates(count, service, slo, peak_factor=peak_factor, dispatch=dispatch)
        for count in (servers, surviving)
    )
    hours = pd.DataFrame(
        {
            "time": forecast["time"].to_numpy(),
            "mean_rps": forecast["mean_rps"].to_numpy(dtype=float),
            "planned_rps": planned,
            "needed": needed,
            "servers": servers,
            "surviving": surviving,
            "surviving_rps": surviving_rps,
            "probability_met": probability_below(forecast, carried),
            "probability_met_zone_lost": probability_below(forecast, surviving_rps),
        }
    )
    return CapacityPlan(
        slo, level, zones, peak_factor, dispatch, fleet, hours, tried(servers), zone_loss, rounds
    )


def _factors(workload: Workload, given: ArrayLike | None) -> Floats:
    factors = np.asarray(workload.counts(60.0) if given is None else given, dtype=float)
    if factors.size == 0 or not (np.isfinite(factors).all() and (factors >= 0.0).all()):
        raise ValueError("minute_factors must be finite, at least 0, and not empty")
    return np.asarray(factors / factors.mean())
