"""From forecast to plan: queueing, optimisation, and the veto of a replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from capkit.planning.candidates import Candidate, judge_candidates, linear_servers
from capkit.planning.capacity_plan import CapacityPlan
from capkit.planning.problem import Problem
from capkit.planning.replay import Replay, minute_rates, replay, service_law
from capkit.planning.sizing import SLO, Counts, Floats, on_one_vcpu, probability_below
from capkit.planning.trials import ready_servers, rising_hours, servers_by_zone, zone_failures
from capkit.tco import Fleet, optimize

if TYPE_CHECKING:
    from capkit.serving import ServiceProfile
    from capkit.workload import Workload


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
    repetitions: int = 3,
    mends: int = 5,
    dispatch: str = "random",
    places: int = 1,
    per_request: Mapping[str, float] | None = None,
    startup_s: float = 120.0,
    detection_s: float = 10.0,
    pool: str = "serving",
) -> CapacityPlan:
    """Plan a fleet for every hour of a forecast, and try it before returning it.

    1. Forecast: an hour's rate is a quantile of its forecast.
    2. Queueing: servers for the SLO in the busiest minute of that hour (M/G/c, measured service).
    3. Optimisation: the cheapest machines that hold those servers, and every further resource, with any
       one zone lost.
    4. Veto: all hours are replayed with one zone lost and the measured service times. Hours that miss
       the SLO get more servers and the program is solved again. Hours that miss it while machines start
       have them ordered ahead. Each zone fails once. If an hour still misses, there is no plan.

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
    places : int
        Requests that a server works on at once.
    per_request : mapping, optional
        Further resources: what one request a second asks of each, by the name of a column of ``options``
        (`request_needs`). They are planned for the busiest minute, as the servers are.
    startup_s, detection_s : float
        Seconds from the order of a server to its first answer, and until a lost zone gets no more requests.
    pool : str
        Name of what is planned together.

    Raises
    ------
    ValueError
        Nothing can meet the SLO, or no mended plan did; the message says which hour and by how much.
    """
    problem = Problem(
        measured=service,
        service=on_one_vcpu(service),
        law=service_law(service, service_times),
        forecast=forecast,
        options=options,
        slo=slo,
        factors=_factors(workload, minute_factors),
        level=level,
        zones=zones,
        purchases=tuple(purchases),
        dispatch=dispatch,
        places=places,
        per_request=dict(per_request or {}),
        solver=solver,
    )
    trial = _Trial(problem, repetitions, rng)
    fleet, needed, zone_loss, rounds = _mended(problem, trial, mends)
    servers, surviving = (
        fleet.periods[column].to_numpy().astype(np.int64)
        for column in ("capacity", "capacity_after_loss")
    )
    ahead_s, late_start_hours = _ordered_ahead(trial, surviving, startup_s)
    capacity = options.set_index("name")["capacity"]
    failures = zone_failures(
        servers_by_zone(fleet, capacity),
        problem.planned_rps,
        trial.of_hours,
        slo,
        detection_s=detection_s,
    )
    _refuse_failures(failures, slo, detection_s)
    surviving_rps = problem.carried(surviving)
    all_zones = trial(servers)
    hours = pd.DataFrame(
        {
            "time": forecast["time"].to_numpy(),
            "mean_rps": forecast["mean_rps"].to_numpy(dtype=float),
            "planned_rps": problem.planned_rps,
            "needed": needed,
            "servers": servers,
            "surviving": surviving,
            "surviving_rps": surviving_rps,
            "probability_met": probability_below(forecast, problem.carried(servers)),
            "probability_met_zone_lost": probability_below(forecast, surviving_rps),
        }
    ).join(all_zones.hours[["percentile_ms", "percentile_low_ms", "percentile_high_ms"]])
    return CapacityPlan(
        problem=problem,
        pool=pool,
        fleet=fleet,
        hours=hours,
        replay=all_zones,
        zone_loss=zone_loss,
        failures=failures,
        startup_s=startup_s,
        ahead_s=ahead_s,
        late_start_hours=late_start_hours,
        beside=_beside(problem, fleet, trial.seed),
        rounds=rounds,
    )


class _Trial:
    """Replays fleets against the same requests of the planned demand."""

    def __init__(self, problem: Problem, repetitions: int, rng: np.random.Generator) -> None:
        planned, factors = problem.planned_rps, problem.factors
        self.problem = problem
        self.paths = np.stack([minute_rates(planned, factors, rng) for _ in range(repetitions)])
        self.seed = int(rng.integers(2**63))

    def of_hours(self, hours: Counts, minutes: Counts) -> Replay:
        """Some hours only, against servers minute by minute."""
        chosen = (60 * hours[:, None] + np.arange(60)).ravel()
        same = np.random.default_rng(self.seed)
        problem = self.problem
        paths = self.paths[:, chosen]
        return replay(paths, minutes, problem.law, problem.slo, same, **problem.replayed)

    def __call__(self, servers: Counts) -> Replay:
        """All hours, against servers hour by hour."""
        return self.of_hours(np.arange(servers.size), np.repeat(servers, 60))


def _mended(problem: Problem, trial: _Trial, mends: int) -> tuple[Fleet, Counts, Replay, int]:
    """The fleet whose survivors met the SLO in every hour, what it holds, its replay, and the rounds."""
    needed = problem.needed()
    for rounds in range(mends + 1):
        fleet = problem.fleet(needed)
        surviving = fleet.periods["capacity_after_loss"].to_numpy().astype(np.int64)
        zone_loss = trial(surviving)
        missed = ~zone_loss.hours["met"].to_numpy()
        if not missed.any():
            break
        if rounds == mends:
            allowed = 1.0 - problem.slo.percentile
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
    return fleet, needed, zone_loss, rounds


def _ordered_ahead(trial: _Trial, surviving: Counts, startup_s: float) -> tuple[float, int]:
    """How long before their hour servers must be ordered, and the hours that miss if they are not."""
    rising = rising_hours(surviving)
    if rising.size == 0:
        return 0.0, 0
    on_the_hour = ready_servers(surviving, startup_s).reshape(-1, 60)[rising]
    missed = trial.of_hours(rising, on_the_hour.ravel()).hours_missed
    return (startup_s if missed else 0.0), missed


def _refuse_failures(failures: pd.DataFrame, slo: SLO, detection_s: float) -> None:
    if failures["met"].all():
        return
    worst = failures.loc[failures["late_percent"].idxmax()]
    raise ValueError(
        f"no plan: when zone {worst['zone']} fails in hour {worst['hour']}, {worst['late_percent']:.2f} % of "
        f"its requests are late or lost where {100 * (1 - slo.percentile):.2f} % may be, "
        f"{worst['lost_percent']:.2f} % in the {detection_s:g} s before it is noticed: detect it sooner, "
        "use more zones, or relax the SLO"
    )


def _beside(problem: Problem, fleet: Fleet, seed: int) -> pd.DataFrame:
    """The document's plan, one mean against one rate, and this one, on the forecast's mean demand."""
    mean_rps = problem.forecast["mean_rps"].to_numpy(dtype=float)
    by_mean = linear_servers(mean_rps.mean(), problem.places / problem.measured.service_time_s)
    document = optimize(problem.options, by_mean, solver=problem.solver)
    plans = {"the document: mean demand over mean rate": document, "this plan": fleet}
    return judge_candidates(
        [Candidate.from_fleet(name, f, mean_rps.size) for name, f in plans.items()],
        mean_rps,
        problem.law,
        problem.slo,
        minute_factors=problem.factors,
        seed=seed,
        **problem.replayed,
    )


def _factors(workload: Workload, given: ArrayLike | None) -> Floats:
    factors = np.asarray(workload.counts(60.0) if given is None else given, dtype=float)
    mean = factors.mean() if factors.size else 1.0
    return np.asarray(factors / mean if mean > 0.0 else factors)
