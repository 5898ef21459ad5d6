"""The reference plan of a company, from its raw files, and the judge of any plan: the week that came."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capkit import datasets, workload
from capkit.course.companies import WEEK_H, Company, found, write_files

if TYPE_CHECKING:
    from capkit.planning import CapacityPlan
    from capkit.serving import ServiceProfile

COLD_REQUESTS = 100
PURCHASES = ("on_demand", "reserved_1y")
MENDS = 20
"""A company whose minutes are wild needs more rounds than the default."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What the files of a company come to when they are read with care."""

    company: Company = field(repr=False)
    requests: int
    """Rows of the log that are requests."""
    silence_s: float
    """How long the log's recording had stopped."""
    recorded: workload.Workload = field(repr=False)
    """The log's arrivals without the silence."""
    service: ServiceProfile = field(repr=False)
    history: pd.Series = field(repr=False)
    """Requests an hour in UTC, complete."""
    options: pd.DataFrame = field(repr=False)

    @property
    def minute_factors(self) -> np.ndarray:
        """Requests of each minute of the log over their mean."""
        minutes = np.asarray(self.recorded.counts(60.0), dtype=float)
        return minutes / float(minutes.mean())

    @cached_property
    def forecast(self) -> pd.DataFrame:
        """The week ahead, by the model that a backtest on the history chose; some seconds, once."""
        from capkit import forecasting, planning

        return planning.forecast_table(forecasting.fit(self.history, "best").forecast(WEEK_H))

    @cached_property
    def plan(self) -> CapacityPlan:
        """The plan for the company's promise; `ValueError` where there is none."""
        from capkit import planning

        company = self.company
        return planning.plan(
            self.recorded,
            self.service,
            self.forecast,
            self.options,
            planning.SLO(company.slo_percentile, company.slo_latency_ms / 1000.0),
            rng=np.random.default_rng(1),
            purchases=PURCHASES,
            mends=MENDS,
        )


def read_times(folder: Path) -> tuple[datasets.RequestLog, pd.Series]:
    """The company's log, mended, and its longest silence (``start_s``, ``length_s``)."""
    log = datasets.read_log(
        folder / "requests.csv",
        time_column="arrived_at",
        size_columns=["bytes"],
        repair=True,
        duplicates="drop",
    )
    return log, workload.silences(log.times).iloc[0]


def read_history(folder: Path, time_zone: str) -> pd.Series:
    """The company's hourly counts in UTC, the lost hours filled from the past."""
    from capkit import forecasting

    table = pd.read_csv(folder / "hourly.csv")
    local = pd.DatetimeIndex(table["hour"]).tz_localize(time_zone, ambiguous="infer")
    counts = pd.Series(table["requests"].to_numpy(dtype=float), local.tz_convert("UTC"))
    return forecasting.repair(counts, causal=True)[0]


def read_service(folder: Path, memory_mib: int) -> ServiceProfile:
    """The company's server: its benchmark without the cold start, in milliseconds."""
    from dataclasses import replace

    from capkit.serving import ServiceProfile

    table = pd.read_csv(folder / "latencies.csv").iloc[COLD_REQUESTS:]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "latencies.csv"
        (table["latency_us"] / 1000.0).rename("latency_ms").to_csv(path, index=False)
        return replace(ServiceProfile.from_csv(path), memory_mib=float(memory_mib))


def reference(**parameters: Any) -> Reference:
    """What the files of the company that ``parameters`` found come to (`capkit.course.companies.found`).

    Read once a kernel; its forecast and its plan are computed when they are first asked for.
    """
    return _reference(tuple(sorted(parameters.items())))


@lru_cache(maxsize=4)
def _reference(parameters: tuple[tuple[str, Any], ...]) -> Reference:
    from capkit import planning

    company = found(**dict(parameters))
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_files(company, Path(scratch))
        log, silence = read_times(folder)
        history = read_history(folder, company.time_zone)
        service = read_service(folder, company.memory_mib)
        catalogue = datasets.load_catalogue(str(folder / "prices.csv"), today=company.today.date())
    return Reference(
        company=company,
        requests=log.times.size,
        silence_s=float(silence["length_s"]),
        recorded=workload.characterize(workload.cut_silences(log.times, 1.0)),
        service=service,
        history=history,
        options=planning.cpu_options(catalogue, service),
    )


def naive_plan(known: Reference) -> Any:
    """The plan to beat: mean of the last four weeks over the rate of one server, one zone, on demand."""
    from capkit import planning, tco

    mean_rps = float(known.history[-4 * WEEK_H :].mean()) / 3600.0
    servers = planning.linear_servers(mean_rps, known.service.service_rate)
    fleet = tco.optimize(known.options, servers)
    return planning.Candidate.from_fleet("the naive plan", fleet, WEEK_H)


def measure(company: Company, candidates: list[Any], *, seed: int = 1) -> pd.DataFrame:
    """Replay the held-out week against candidates, request by request.

    The week's true rates, the true minutes and fresh draws of the true service times: nothing of it is in a file.

    Parameters
    ----------
    company : Company
        Whose week.
    candidates : list of `capkit.planning.Candidate`
        Fleets of 168 hours.
    seed : int
        Draws the replay.

    Returns
    -------
    DataFrame
        As `capkit.planning.judge_candidates`.
    """
    from scipy import stats

    from capkit import planning

    grid = np.linspace(0.0, 1.0, 2001)
    grid[-1] = 1.0 - 1e-6
    scale = company.service_ms / 1000.0 * company.service_cv2
    return planning.judge_candidates(
        candidates,
        company.week_rps.to_numpy(),
        stats.gamma.ppf(grid, 1.0 / company.service_cv2, scale=scale),
        planning.SLO(company.slo_percentile, company.slo_latency_ms / 1000.0),
        minute_factors=company.minute_factors,
        seed=seed,
    )


def bill_usd_week(company: Company, plan: CapacityPlan) -> float:
    """A plan's cost in USD a week, counted again from its schedule and the company's price list."""
    columns = {"on_demand": "on_demand_usd_h", "reserved_1y": "reserved_1y_usd_h"}
    prices = company.prices.set_index("name")
    bill = sum(
        prices.at[name, columns[purchase]] * count
        for name, purchase, count in plan.counts[["name", "purchase", "count"]].to_numpy()
    )
    return float(bill) + plan.start_cost_usd_week


def key(**parameters: Any) -> dict[str, Any]:
    """The teacher's numbers of a company, by name with units; one row of ``key.csv``."""
    from capkit import planning

    known = reference(**parameters)
    company, plan = known.company, known.plan
    plans = [naive_plan(known), planning.Candidate.from_plan("the reference plan", plan)]
    naive, ours = measure(company, plans).to_dict("records")
    return {
        "company": company.name,
        "log_requests": known.requests,
        "log_silence_s": round(known.silence_s, 1),
        "busiest_minute_over_mean": round(float(known.minute_factors.max()), 3),
        "service_ms": round(1000.0 * known.service.service_time_s, 4),
        "service_cv2": round(known.service.service_cv2, 3),
        "history_mean_rps": round(float(known.history.mean()) / 3600.0, 2),
        "forecast_mean_rps": round(float(known.forecast["mean_rps"].mean()), 2),
        "forecast_wape_percent": round(100.0 * held_out_wape(known.company, known.forecast), 2),
        "servers_max": int(plan.hours["servers"].max()),
        "cost_usd_week": round(plan.cost_usd_week, 2),
        "hours_missed": int(ours["hours_missed"]),
        "hours_missed_zone_lost": int(ours["hours_missed_zone_lost"]),
        "naive_usd_week": round(float(naive["cost_usd_week"]), 2),
        "naive_hours_missed": int(naive["hours_missed"]),
    }


def compare(plan: CapacityPlan, **parameters: Any) -> pd.DataFrame:
    """A plan beside the naive one and the reference, on the week that came; columns as `measure`."""
    from capkit import planning

    known = reference(**parameters)
    yours = planning.Candidate.from_plan("your plan", plan)
    theirs = planning.Candidate.from_plan("the reference plan", known.plan)
    return measure(known.company, [naive_plan(known), yours, theirs])


def held_out_wape(company: Company, forecast: pd.DataFrame) -> float:
    """Sum of the absolute errors of the forecast's mean over the demand of the held-out week."""
    came = company.week_rps.to_numpy()
    return float(np.abs(forecast["mean_rps"].to_numpy(dtype=float) - came).sum() / came.sum())
