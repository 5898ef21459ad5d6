"""Questions of chapter 11: the milestones from raw files to a plan on the week that came, and a first line of one's own."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capkit import datasets, workload
from capkit.course import capstone, companies
from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Number, Properties
from capkit.queueing import min_servers

DEARER = 1.25
"""A plan that holds may cost this many times the reference."""


def _raw(known: capstone.Reference, **terms: Any) -> datasets.RequestLog:
    """The company's log, read in another way."""
    with tempfile.TemporaryDirectory() as scratch:
        path = companies.write_files(known.company, Path(scratch)) / "requests.csv"
        return datasets.read_log(path, time_column="arrived_at", repair=True, **terms)


@question(
    "11.1",
    "Read the brief again: what do operations believe, and what does `read_log` say when it refuses?",
    "`datasets.read_log` takes the column of the sizes, `repair=True` and `duplicates='drop'`.",
    "Rows without a time or with a size below zero are no requests. `repairs` lists what was done.",
)
def requests_left(**scenario: Any) -> Number:
    """Rows of the log that are requests."""
    known = capstone.reference(**scenario)
    sizes = {"size_columns": ["bytes"]}
    return Number(
        float(known.requests),
        "requests",
        tolerance=0.0,
        slips={
            "The copies are still in it.": float(
                _raw(known, **sizes, duplicates="keep").times.size
            ),
            "Rows with a size that cannot be are still in it.": float(
                _raw(known, duplicates="drop").times.size
            ),
        },
    )


@question(
    "11.2",
    "A silence that is longer than chance explains: chapter 03 has a function for it.",
    "`workload.silences(times)` lists them, the longest first.",
)
def silence(**scenario: Any) -> Number:
    """Seconds that were not recorded."""
    return Number(capstone.reference(**scenario).silence_s, "s", tolerance=0.02)


@question(
    "11.3",
    "Which minutes were not recorded? They are no quiet minutes.",
    "`workload.cut_silences(times, 1.0)` first, then `characterize(...).counts(60.0)`.",
    "The largest of the counts over their mean.",
)
def busiest_minute(**scenario: Any) -> Number:
    """Rate of the busiest minute over the mean of the recorded time."""
    known = capstone.reference(**scenario)
    log = _raw(known, size_columns=["bytes"], duplicates="drop")
    raw = workload.characterize(log.times).counts(60.0)
    rate = raw.max() / 60.0
    return Number(
        float(known.minute_factors.max()),
        "times the mean",
        tolerance=0.03,
        slips={
            "The minutes that were not recorded are still in the mean.": float(
                raw.max() / raw.mean()
            ),
            "That is a rate of the log; its ratio to the mean is asked for.": float(rate),
        },
    )


@question(
    "11.4",
    "Plot the latencies in the order of the file. What happens at its beginning?",
    "A server that has just started is slow. Leave its first hundred requests out.",
    "The column is in microseconds.",
)
def service_time(**scenario: Any) -> Number:
    """Mean service time of a warm server in ms."""
    known = capstone.reference(**scenario)
    with tempfile.TemporaryDirectory() as scratch:
        folder = companies.write_files(known.company, Path(scratch))
        us = pd.read_csv(folder / "latencies.csv")["latency_us"]
    return Number(
        1000.0 * known.service.service_time_s,
        "ms",
        tolerance=0.02,
        slips={
            "The slow requests of the cold server are still in it.": float(us.mean()) / 1000.0,
            "That is the 99th percentile; the mean is asked for.": float(us.quantile(0.99)) / 1000,
        },
    )


@question(
    "11.5",
    "By the clock on the wall one hour of autumn comes twice, and one of spring never.",
    "`DatetimeIndex(...).tz_localize(time_zone, ambiguous='infer').tz_convert('UTC')` reads that clock.",
    "`forecasting.repair(series, causal=True)` fills what was lost and lists it.",
)
def complete_history(**scenario: Any) -> Properties:
    """A complete hourly history in UTC."""
    truth = capstone.reference(**scenario).history

    def share_right(series: pd.Series) -> float:
        index = series.index if series.index.tz else series.index.tz_localize("UTC")
        near = series.set_axis(index.tz_convert("UTC")).reindex(truth.index) / truth - 1.0
        return float((near.abs() < 1e-3).mean())

    return Properties(
        {
            "A pandas Series on a DatetimeIndex is asked for, requests an hour.": lambda s: (
                isinstance(s.index, pd.DatetimeIndex)
            ),
            "Hours are still missing, or without a value.": lambda s: (
                bool(s.notna().all()) and s.index.is_unique and len(s) >= len(truth)
            ),
            "There are more hours than from the first to the last of the file.": lambda s: (
                len(s) == len(truth)
            ),
            "Many hours carry the count of another hour: is it all in UTC? Are these requests an hour?": lambda s: (
                share_right(s) > 0.98
            ),
        }
    )


@question(
    "11.6",
    "Backtest some models on this history before you trust one (chapter 07).",
    "`planning.forecast_table(forecasting.fit(history, model).forecast(168))` has the columns and the unit.",
    "Compare your model with `seasonal_naive`, and count the hours inside the interval.",
)
def week_ahead(**scenario: Any) -> Properties:
    """A forecast that is not worse than the reference's by more than chance, and knows its errors."""
    known = capstone.reference(**scenario)
    came = known.company.week_rps.to_numpy()
    week_before = known.history[-companies.WEEK_H :].to_numpy() / 3600.0
    usual = float(np.abs(week_before - came).sum() / came.sum())
    bar = 1.25 * max(capstone.held_out_wape(known.company, known.forecast), usual)

    def inside(table: pd.DataFrame) -> float:
        low, high = (table[f"{side}_95_rps"].to_numpy() for side in ("lower", "upper"))
        return float(((low <= came) & (came <= high)).mean())

    columns = ["mean_rps", *(f"{s}_{p}_rps" for s in ("lower", "upper") for p in (80, 95))]
    return Properties(
        {
            f"A table of 168 hours is asked for, with {', '.join(columns)}.": lambda t: (
                len(t) == companies.WEEK_H and set(columns) <= set(t)
            ),
            "The rates are not of the size of the week that came: requests a second, of all requests?": lambda t: (
                0.5 < t["mean_rps"].mean() / came.mean() < 2.0
            ),
            "In the week that came it errs more than a copy of the week before it would.": lambda t: (
                capstone.held_out_wape(known.company, t) <= bar
            ),
            "Its 95 % interval holds far fewer hours of the week that came than it says.": lambda t: (
                inside(t) >= min(0.75, inside(known.forecast))
            ),
        }
    )


@question(
    "11.7",
    "Mean demand over the rate of one server, rounded up: chapter 09, `planning.linear_servers`.",
    "The least that so many servers cost in one zone, on demand: `tco.optimize(options, servers)`.",
    "`planning.cpu_options` knows how many servers a machine takes: set `memory_mib` of the profile before.",
)
def naive_cost(**scenario: Any) -> Number:
    """USD a week of the naive plan."""
    known = capstone.reference(**scenario)
    usd = capstone.naive_plan(known).cost_usd_week
    return Number(
        usd,
        "USD a week",
        tolerance=0.05,
        slips={"That is a month of it.": usd / 168 * 730},
    )


@question(
    "11.8",
    "`planning.plan` takes what you have: the workload, the profile, the forecast, the options and the SLO.",
    "Two zones and both ways to buy are its defaults; wild minutes may need `mends=20`; see that the minutes are those without the silence.",
    "Too dear? Look at the quantile of the forecast that it carries. Missed hours? Look at the busiest minute.",
)
def the_plan(**scenario: Any) -> Properties:
    """A plan that holds in the week that came, for about the money of the reference."""
    from capkit import planning

    known = capstone.reference(**scenario)
    company = known.company

    tried: dict[int, pd.Series] = {}

    def more_missed(plan: planning.CapacityPlan, column: str) -> float:
        if id(plan) not in tried:
            plans = [planning.Candidate.from_plan("plan", p) for p in (plan, known.plan)]
            table = capstone.measure(company, plans)
            tried[id(plan)] = table.drop(columns="plan").diff().iloc[-1]
        return -float(tried[id(plan)][column])

    def promised(plan: planning.CapacityPlan) -> bool:
        terms = (plan.slo.percentile, 1000.0 * plan.slo.latency_s)
        return bool(np.allclose(terms, (company.slo_percentile, company.slo_latency_ms)))

    return Properties(
        {
            "A plan of `planning.plan` for the 168 hours is asked for.": lambda p: (
                isinstance(p, planning.CapacityPlan) and len(p.hours) == companies.WEEK_H
            ),
            "It is made for another promise than the company's.": promised,
            "Its cost is not what its machines cost by the company's price list.": lambda p: (
                abs(p.cost_usd_week / capstone.bill_usd_week(company, p) - 1.0) < 0.01
            ),
            "Replayed on the week that came, hours miss the promise although no zone is lost.": lambda p: (
                more_missed(p, "hours_missed") <= 1
            ),
            "It holds with all zones; with a zone lost, too many hours of the week that came miss the promise.": lambda p: (
                more_missed(p, "hours_missed_zone_lost") <= 8
            ),
            "It holds, and costs far more than it must.": lambda p: (
                p.cost_usd_week <= DEARER * known.plan.cost_usd_week
            ),
        }
    )


@question(
    "11.9",
    "First the survivors: the fewest servers that meet the target in the highest hour.",
    "`queueing.min_servers(rate, service_rate, percentile=..., max_response=...)`, with rates and times in seconds.",
    "The zones that are left must hold them all: survivors over (zones - 1), rounded up, times the zones.",
)
def first_line_of_yours(
    rate_rps: float, service_ms: float, target_ms: float, percentile: float, zones: int
) -> Number:
    """Servers of one's own system that meet its target in the highest hour with a zone lost (M/M/c)."""
    if zones < 2:
        raise ValueError(f"of {zones} zone nothing is left when one is lost")
    survivors = min_servers(
        rate_rps, 1000.0 / service_ms, percentile=percentile, max_response=target_ms / 1000.0
    )
    busy = math.ceil(rate_rps * service_ms / 1000.0)

    def in_all_zones(servers: int) -> float:
        return float(zones * math.ceil(servers / (zones - 1)))

    return Number(
        in_all_zones(survivors),
        "servers",
        tolerance=0.0,
        slips={
            "That is what must be left after the loss.": float(survivors),
            "That is one server more; but a whole zone is lost, not one server.": survivors + 1.0,
            "Servers that are full make requests wait: where is the target?": in_all_zones(busy),
        },
    )
