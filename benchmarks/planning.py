"""The plan of the reference scenario in a hundred fresh weeks, beside the document's method; writes planning.md.

Every replay has its own seed: minutes, arrivals and service times are drawn anew from the laws that were
planned for. A replay is met where every hour of the week keeps the SLO.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pages import write_page
from peers import environment

from capkit import planning, tco
from capkit.planning import SLO, Candidate, CapacityPlan
from capkit.planning.cli import plan_from_products

REPLAYS = 100
FIRST_SEED = 1000  # none of them is the plan's own
Rates = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Case:
    """Hourly rates to be drawn, and whether a zone is away in every hour."""

    name: str
    rates: Rates
    zone_lost: bool


def cases(plan: CapacityPlan) -> list[Case]:
    """The demand that was planned for, and demand drawn from the forecast itself."""
    forecast, planned = plan.problem.forecast, plan.problem.planned_rps

    def drawn(rng: np.random.Generator) -> np.ndarray:
        """Half of the variance of an hour's error is common to the week."""
        scores = np.sqrt(0.5) * (rng.standard_normal() + rng.standard_normal(len(forecast)))
        return planning.forecast_at(forecast, scores)

    return [
        Case("planned demand, one zone away in every hour", lambda rng: planned, True),
        Case("demand drawn from the forecast, all zones", drawn, False),
    ]


def fresh_weeks(plan: CapacityPlan, fleet: Candidate, case: Case) -> tuple[int, float, float]:
    """Replays in which every hour met the SLO, mean of the hours missed, and mean of the late share."""
    servers = fleet.surviving if case.zone_lost else fleet.servers
    if not servers.all():
        return 0, float(servers.size), 1.0
    problem, met, missed, late = plan.problem, 0, [], []
    for seed in range(FIRST_SEED, FIRST_SEED + REPLAYS):
        rng = np.random.default_rng(seed)
        minutes = planning.minute_rates(case.rates(rng), problem.factors, rng)
        found = planning.replay(
            minutes, np.repeat(servers, 60), problem.law, problem.slo, rng, **problem.replayed
        )
        met += found.met
        missed.append(found.hours_missed)
        late.append(found.late_share)
    return met, float(np.mean(missed)), float(np.mean(late))


def candidates(plan: CapacityPlan) -> list[Candidate]:
    """The plan; the same question asked for one shared queue; the document's method."""
    problem, hours = plan.problem, len(plan.hours)
    mean_rps = problem.forecast["mean_rps"].mean()
    by_mean = planning.linear_servers(mean_rps, 1.0 / problem.measured.service_time_s)
    document = tco.optimize(problem.options, by_mean)
    central = replace(problem, dispatch="central")
    return [
        Candidate.from_plan("the plan", plan),
        Candidate.from_fleet(
            "planned for one shared queue", central.fleet(central.needed()), hours
        ),
        Candidate.from_fleet("the document: mean of the week", document, hours),
    ]


def replays(plan: CapacityPlan) -> pd.DataFrame:
    """One row a case and fleet."""
    rows = []
    for case in cases(plan):
        for fleet in candidates(plan):
            met, missed, late = fresh_weeks(plan, fleet, case)
            rows.append(
                {
                    "case": case.name,
                    "plan": fleet.name,
                    "USD a week": f"{fleet.cost_usd_week:,.2f}",
                    f"met, of {REPLAYS}": met,
                    "hours missed, mean of 168": missed,
                    "late, %": 100.0 * late,
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def replay_against_every_request(plan: CapacityPlan) -> pd.DataFrame:
    """The replay's samples against a simulation of every request, in the tightest hour with a zone lost."""
    from capkit.simulation import modulated_poisson, simulate_dispatch

    problem = plan.problem
    hour = int((plan.hours["planned_rps"] / plan.hours["surviving_rps"]).argmax())
    servers = int(plan.hours["surviving"][hour])
    rng = np.random.default_rng(7)
    rates = planning.minute_rates([problem.planned_rps[hour]], problem.factors, rng)
    started = time.perf_counter()
    arrivals = modulated_poisson(rates, 60.0, rng)
    grid = np.linspace(0.0, 1.0, problem.law.size)
    services = np.interp(rng.random(arrivals.size), grid, problem.law)
    waits = simulate_dispatch(arrivals, services, servers, problem.dispatch, rng)
    latency = waits + services + problem.service.overhead_s
    full_s = time.perf_counter() - started
    started = time.perf_counter()
    counts = np.full(60, servers)
    quick = planning.replay(
        np.tile(rates, (20, 1)), counts, problem.law, problem.slo, rng, **problem.replayed
    )
    quick_s = (time.perf_counter() - started) / 20
    middle, low, high = quick.interval()
    return pd.DataFrame(
        {
            "way": [f"every request ({arrivals.size:,})", "replay, mean of 20"],
            "p99, ms": [1000 * np.quantile(latency, problem.slo.percentile), middle],
            "95 % interval, ms": ["", f"{low:.2f} to {high:.2f}"],
            "late, %": [
                100 * float((latency > problem.slo.latency_s).mean()),
                100 * quick.late_share,
            ],
            "time, of the first row's": [1.0, quick_s / full_s],
        }
    )


def printed_pages(page: str) -> pd.DataFrame:
    """Sheets of A4 that WeasyPrint needs for the report."""
    import subprocess

    home = environment("weasyprint-70.0", ["weasyprint==70.0", "pypdf==7.1.1"])
    script = (
        "import io, sys, pypdf, weasyprint\n"
        "pdf = io.BytesIO(weasyprint.HTML(string=sys.stdin.read()).write_pdf())\n"
        "pages = pypdf.PdfReader(pdf).pages\n"
        "print(len(pages), *(round(float(v) * 25.4 / 72) for v in pages[0].mediabox[2:]))"
    )
    done = subprocess.run(
        [home / "bin" / "python", "-c", script],
        input=page,
        text=True,
        capture_output=True,
        check=True,
    )
    sheets, width, height = done.stdout.split()
    return pd.DataFrame(
        [(sheets, f"{width} x {height}", len(page) // 1000)],
        columns=["sheets", "size, mm", "HTML, kB"],
    )


def main() -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        plan, sources = plan_from_products("", SLO(0.99, 0.05))
    assert isinstance(plan, CapacityPlan)
    prospects = planning.outlook(plan, np.random.default_rng(1))
    parts = {
        f"Fresh weeks of the law that was planned for ({plan.dispatch} dispatch)": replays(plan),
        "The replay against every request": replay_against_every_request(plan),
        "The report on paper": printed_pages(planning.to_html(plan, sources, prospects)),
    }
    write_page(__file__, "The plan in a hundred fresh weeks", parts)


if __name__ == "__main__":
    main()
