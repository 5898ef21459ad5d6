"""Questions of chapter 09: a plan for every hour, its needs, its trial and its price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from capkit import planning
from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number, Properties
from capkit.planning import SLO
from capkit.serving import ServiceProfile

LEVEL = 0.95  # quantile of the forecast that the chapter plans for


@question(
    "09.1",
    "`surviving_rps` is what is left when a zone is lost; the mean of the forecast is `mean_rps`.",
    "How many times its mean does each hour carry? The first hour to fail is the one with the least of it.",
    "100 x (the least ratio - 1).",
)
def room_above_the_forecast(hours: pd.DataFrame) -> Number:
    """By how much every hour may exceed its mean forecast before the survivors are outgrown, in per cent."""
    ratio = hours["surviving_rps"] / hours["mean_rps"]
    above_planned = float((hours["surviving_rps"] / hours["planned_rps"]).min())
    return Number(
        100.0 * (float(ratio.min()) - 1.0),
        "%",
        tolerance=0.006,
        slips={
            "That is the room above the planned quantile; the forecast's mean is asked for.": 100.0
            * (above_planned - 1.0),
            "That is the mean of the hours; the first hour that fails decides.": 100.0
            * (float(ratio.mean()) - 1.0),
            "That is what is carried; the room is what is left above the mean.": 100.0
            * float(ratio.min()),
            "That is the roomiest hour; the first hour that fails decides.": 100.0
            * (float(ratio.max()) - 1.0),
        },
    )


@question(
    "09.2",
    "Bits on the wire: 8 x rate x bytes x framing. What may enter: bits a second of a vCPU, times the vCPUs that the queue needs anyway.",
    "Set both equal and solve for the bytes.",
    "`planning.network_bits_s(rate, 1.0)` is what one byte a request takes.",
)
def size_at_which_the_network_binds(rate_rps: float, vcpus: int, vcpu_bits_s: float) -> Number:
    """Size of a request in kB from which the network needs more vCPUs than the queue."""
    framed = planning.network_bits_s(rate_rps, 1000.0)
    bare = planning.network_bits_s(rate_rps, 1000.0, framing=1.0)
    kb = vcpus * vcpu_bits_s / framed
    return Number(
        kb,
        "kB",
        slips={
            "The headers are missing: framing.": vcpus * vcpu_bits_s / bare,
            "That is what one vCPU lets in; the queue needs more of them.": kb / vcpus,
            "Headers make a message larger on the wire, so that less payload fits.": kb
            * (framed / bare) ** 2,
        },
    )


@question(
    "09.3",
    "Of the requests of an hour, which share goes to the dead zone, and for how long?",
    "Lost: seconds / (3600 x zones). Allowed: 1 - percentile.",
)
def longest_detection(slo_percentile: float, zones: int) -> Number:
    """Longest time until a lost zone is noticed with which the hour still meets the SLO, in seconds."""
    allowed_s = (1.0 - slo_percentile) * 3600.0
    return Number(
        allowed_s * zones,
        "s",
        slips={
            "Not all requests go to the dead zone.": allowed_s,
            "The dead zone gets its share of all zones, itself included.": allowed_s * (zones - 1),
            "The share that must be in time is not the share that may be lost.": slo_percentile
            * 3600.0
            * zones,
        },
    )


def _forecast(mean_rps: ArrayLike, spread: float) -> pd.DataFrame:
    mean = np.asarray(mean_rps, dtype=float)
    bounds = {"mean_rps": 0.0, "lower_80_rps": -1.0, "upper_80_rps": 1.0}
    bounds |= {"lower_95_rps": -1.6, "upper_95_rps": 1.6}
    return pd.DataFrame({name: mean * (1.0 + spread * x) for name, x in bounds.items()})


def _server_hours(
    forecast: pd.DataFrame,
    service: ServiceProfile,
    slo: SLO,
    peak_factor: float,
    *,
    level: float = LEVEL,
    dispatch: str = "random",
) -> float:
    rates = planning.forecast_rates(forecast, level)
    needed = planning.needed_servers(
        rates, service, slo, peak_factor=peak_factor, dispatch=dispatch
    )
    return float(needed.sum())


@question(
    "09.4",
    "Four things are missing: an hour may bring more than its mean, a minute more than its hour, requests wait, and each server has a queue of its own.",
    "`planning.forecast_rates(forecast, 0.95)` is the quantile.",
    "`planning.needed_servers(rates, service, slo, peak_factor=..., dispatch='random')` does the rest.",
)
def server_hours() -> Function:
    """Server-hours of a forecast: 95 % quantile, busiest minute, SLO, random dispatch."""
    service = ServiceProfile(
        5e-3, 1.0, 1e-3, 4e-3, 1e-3, 64, 200.0, 3200, 110, 4e-3, 600.0, "example", "cpu"
    )
    quick = replace(service, service_time_s=1e-3, throughput_rps=1000.0, cpu_s_per_request=9e-4)
    cases = [
        (_forecast([400.0, 900.0, 1500.0], 0.2), service, SLO(0.99, 0.05), 1.5),
        (_forecast([3000.0, 8000.0], 0.1), quick, SLO(0.95, 0.01), 1.3),
        (_forecast([2500.0], 0.3), service, SLO(0.95, 0.04), 2.0),
    ]
    return Function(
        _server_hours,
        cases,
        "server-hours",
        tolerance=0.0,
        slips={
            "It plans for the mean of each hour, not for a quantile of its forecast.": (
                lambda f, s, o, p: _server_hours(f, s, o, p, level=0.5)
            ),
            "It leaves the busiest minute out.": lambda f, s, o, p: _server_hours(f, s, o, 1.0),
            "It has one queue for all servers; here each has its own.": (
                lambda f, s, o, p: _server_hours(f, s, o, p, dispatch="central")
            ),
            "The upper end of the 95 % interval is the 97.5 % quantile.": (
                lambda f, s, o, p: _server_hours(f, s, o, p, level=0.975)
            ),
            "It is still the document's way: the mean, on servers that are full.": (
                lambda f, s, o, p: float(np.ceil(f["mean_rps"] * s.service_time_s).sum())
            ),
            "Quantile and busiest minute are there; but full servers do not meet the SLO.": (
                lambda f, s, o, p: float(
                    np.ceil(planning.forecast_rates(f, LEVEL) * p * s.service_time_s).sum()
                )
            ),
        },
    )


@question(
    "09.5",
    "How many USD more does the higher quantile cost, and how many hours fewer does it miss?",
    "Hours missed = (1 - hour_met_percent / 100) x the hours of the week.",
    "The price at which both are worth the same is the one over the other.",
)
def price_of_a_missed_hour(outlook: pd.DataFrame, hours: int) -> Number:
    """USD for a missed hour from which the last plan of the outlook beats the first."""
    first, last = outlook.iloc[0], outlook.iloc[-1]
    usd = float(last["cost_usd_week"] - first["cost_usd_week"])
    percent = float(last["hour_met_percent"] - first["hour_met_percent"])
    missed = percent / 100.0 * hours
    return Number(
        usd / missed,
        "USD an hour",
        slips={
            "That is for a per cent of the hours, not for an hour.": usd / percent,
            "That is for all hours of the week, not for one.": usd / (percent / 100.0),
            "That is what the higher quantile costs more in a week.": usd,
            "That is hours for a USD, not USD for an hour.": missed / usd,
            "The total has missed hours in it already, at the chapter's price.": abs(
                float(last["total_usd_week"] - first["total_usd_week"]) / missed
            ),
        },
    )


@question(
    "09.6",
    "Begin with the formula: `planning.needed_servers(rates, service, slo, peak_factor=...)`.",
    "The peak factor is that of your log: its busiest minute over its mean.",
    "If `tried(my_servers)` shows an hour that is not `met`, give that hour a server more and try again: so does the chapter's plan.",
)
def day_of_servers(
    rates: ArrayLike,
    factors: ArrayLike,
    tried: Callable[[Any], pd.DataFrame],
    service: ServiceProfile,
    slo: SLO,
) -> Properties:
    """Servers hour by hour that hold in a replay, with few more server-hours than by the formula.

    ``tried`` replays servers hour by hour and gives the hours of `capkit.planning.Replay`.
    """
    hourly, peak = np.asarray(rates, dtype=float), float(np.max(factors))
    by_formula = planning.needed_servers(hourly, service, slo, peak_factor=peak)

    def shaped(servers: ArrayLike) -> bool:
        count = np.asarray(servers, dtype=float)
        return count.shape == hourly.shape and bool(((count >= 1) & (count % 1 == 0)).all())

    return Properties(
        {
            f"One whole number of servers, at least 1, for each of the {hourly.size} hours.": shaped,
            "In the replay at least one hour misses the SLO.": lambda servers: bool(
                tried(servers)["met"].all()
            ),
            "It holds, but with over 5 % more server-hours than the formula for the busiest minute needs.": (
                lambda servers: np.sum(servers) <= 1.05 * by_formula.sum()
            ),
        }
    )


@question(
    "09.7",
    "Compare the last two columns of the table: with all zones, and with one lost.",
    "Every wrong plan has all that the plan has, one mistake aside. What do both zones together hold?",
)
def what_hid_the_mistake() -> Choice:
    """Why a wrong plan misses nothing while all zones stand."""
    return Choice(
        "spare",
        {
            "queue": "Behind both columns are the same queues.",
            "forecast": "The same demand is replayed in both columns.",
            "luck": "Both columns replay the very same requests: chance is no difference.",
        },
    )
