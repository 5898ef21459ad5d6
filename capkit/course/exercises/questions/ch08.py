"""Questions of chapter 08: the cheapest fleet, its bound, and what changes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from capkit import tco
from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number, Properties, is_number
from capkit.queueing import max_rate, min_servers


@question(
    "08.1",
    "Rows 3 and 4 of the staircase serve the same hours; one pays for the highest in all of them.",
    "The saving over what row 3 costs, times 100.",
)
def saved_by_the_hour(staircase: pd.DataFrame) -> Number:
    """What following the hours saves against a fleet for the peak, in per cent."""
    usd = staircase.set_index(staircase["model"].str.split(n=1).str[0])["USD/week"]
    peak, by_hour = float(usd["3"]), float(usd["4"])
    return Number(
        100.0 * (1.0 - by_hour / peak),
        "%",
        slips={
            "That is what is left to pay.": 100.0 * by_hour / peak,
            "That is over the smaller cost: a saving is a share of what was paid before.": 100.0
            * (peak / by_hour - 1.0),
            "That is the saving in USD.": peak - by_hour,
        },
    )


def _list(**types: tuple[float, float]) -> pd.DataFrame:
    rows = [(name, usd, capacity) for name, (usd, capacity) in types.items()]
    return pd.DataFrame(rows, columns=["name", "cost_usd_h", "capacity"])


@question(
    "08.2",
    "The last machine of the best value may be used for a small part only. What would fill that gap?",
    "Price all mixes: `itertools.product` over 0, 1, ... machines of each type, and no more of a type than would do alone.",
    "Or let the solver do it: `tco.optimize(options, need, gap=0).cost_usd_h`.",
)
def cheapest_mix() -> Function:
    """Cost of the cheapest whole mix in USD/h."""
    two, three = (
        _list(small=(1.0, 3.0), large=(2.0, 7.0)),
        _list(a=(0.5, 5.5), b=(1.9, 44.0), c=(22.0, 240.0)),
    )
    return Function(
        lambda options, need: tco.optimize(options, need, gap=0).cost_usd_h,
        [(two, 10.0), (two, 14.0), (three, 100.0), (three, 45.0)],
        "USD/h",
        tolerance=1e-6,
        slips={
            "It buys only the best value.": lambda options, need: float(
                (options["cost_usd_h"] * (need / options["capacity"]).map(math.ceil))[
                    (options["cost_usd_h"] / options["capacity"]).idxmin()
                ]
            ),
            "It buys only one type, if the cheapest one for this need.": lambda options, need: (
                float((options["cost_usd_h"] * (need / options["capacity"]).map(math.ceil)).min())
            ),
            "It buys parts of machines: that is the bound, not a fleet.": lambda options, need: (
                tco.optimize(options, need, relaxed=True).cost_usd_h
            ),
            "It buys at least one machine of every type; none is allowed too.": lambda options, need: (
                tco.optimize(options, need, minimum_each=1, gap=0).cost_usd_h
            ),
        },
    )


@question(
    "08.3",
    "No whole fleet is cheaper than the best one of fractions, which needs no solver.",
    "In fractions: all servers at the lowest price a server. That is the bound, in USD/h.",
    "What the offer costs above the bound, as a share of the offer.",
)
def at_most_saved(options: pd.DataFrame, need: float, offer_usd_h: float) -> Number:
    """The most that any fleet can save against an offer, in per cent of the offer."""
    unit = options["cost_usd_h"] / options["capacity"]
    bound, best = float(unit.min() * need), options.loc[unit.idxmin()]
    whole = math.ceil(need / best["capacity"]) * float(best["cost_usd_h"])
    return Number(
        100.0 * (1.0 - bound / offer_usd_h),
        "% of the offer",
        slips={
            "That is over the bound; the question is what share of the offer can be saved.": 100.0
            * (offer_usd_h / bound - 1.0),
            "That is what a fleet of whole machines saves. The bound is asked for, which holds for every fleet.": 100.0
            * (1.0 - whole / offer_usd_h),
            "That is what is left to pay.": 100.0 * bound / offer_usd_h,
            "That is in USD/h.": offer_usd_h - bound,
        },
    )


@question(
    "08.4",
    "Two readings of the same servers: each carries what one alone carries, or all share one queue.",
    "`queueing.max_rate(1, service_rate, percentile=..., max_response=..., service_cv2=...)` is what one carries alone.",
    "`queueing.min_servers(rate, ...)` with the same arguments is what one queue needs. Round the other one up, then subtract.",
)
def bought_in_vain(
    rate: float, service_rate: float, service_cv2: float, slo_percentile: float, limit_s: float
) -> Number:
    """Servers more that n times one at the target buys, against one queue for all."""
    target = {"percentile": slo_percentile, "max_response": limit_s, "service_cv2": service_cv2}
    parts = rate / max_rate(1, service_rate, **target)
    alone = math.ceil(parts)
    pooled, full = min_servers(rate, service_rate, **target), math.ceil(rate / service_rate)
    return Number(
        float(alone - pooled),
        "servers",
        tolerance=0.0,
        slips={
            "That is the number of servers itself; the difference is asked for.": float(alone),
            "That is the number for one queue; the difference is asked for.": float(pooled),
            "That is against full load, which misses the target.": float(alone - full),
            "That is what one queue needs above full load.": float(pooled - full),
            "Servers are whole: round up before you subtract.": parts - pooled,
            "Rounded down, the last requests have no server.": float(math.floor(parts) - pooled),
        },
    )


@question(
    "08.5",
    "All payments of both ways in money of today: `tco.net_present_cost`.",
    "Rent is paid in the hours of use only: its mean over all hours is rent x hours / 168.",
    "Owned: the price, the power in all hours, less the resale, which comes after the last year.",
)
def owning_saves(
    price_usd: float,
    power_usd_h: float,
    residual_usd: float,
    years: int,
    discount_rate: float,
    rent_usd_h: float,
    hours_a_week: float,
) -> Number:
    """What owning saves against renting, in USD of today (negative: renting is cheaper)."""

    def saved(
        rate: float = discount_rate,
        hours: float = hours_a_week,
        power: float = power_usd_h,
        residual: float = residual_usd,
    ) -> float:
        def cost(**parts: float) -> float:
            return tco.net_present_cost(years=years, discount_rate=rate, **parts)

        rented = cost(usd_h=rent_usd_h * hours / 168.0)
        return rented - cost(purchase_usd=price_usd, usd_h=power, residual_usd=residual)

    return Number(
        saved(),
        "USD of today",
        slips={
            "A dollar in three years is worth less than one today.": saved(rate=0.0),
            "A rented machine is paid for in the hours of use only.": saved(hours=168.0),
            "The owned machine draws power.": saved(power=0.0),
            "The owned machine draws power in all hours.": saved(
                power=power_usd_h * hours_a_week / 168.0
            ),
            "The owned machine is sold in the end.": saved(residual=0.0),
            "The resale comes after the last year: it is worth less today.": saved()
            + residual_usd * (1.0 - (1.0 + discount_rate) ** -years),
        },
    )


@question(
    "08.6",
    "The machine that fails may be the largest one in use. How many servers are left then?",
    "So a spare costs as much as the largest machine: try a fleet of small ones.",
    "`tco.optimize(options, need, spare_machines=1, gap=0)`; its `counts` have `name` and `count`.",
)
def spare_machine(options: pd.DataFrame, need: float) -> Properties:
    """The cheapest fleet that carries the need when any one machine fails."""
    types = options.set_index("name")

    def known(fleet: Mapping[str, Any]) -> bool:
        return isinstance(fleet, Mapping) and all(
            name in types.index and is_number(n) and n >= 0 and n == int(n)
            for name, n in fleet.items()
        )

    def left(fleet: Mapping[str, Any]) -> float:
        sizes = {name: float(types.at[name, "capacity"]) for name, n in fleet.items() if n}
        held = sum(sizes[name] * float(fleet[name]) for name in sizes)
        return held - max(sizes.values(), default=0.0)

    def usd_h(fleet: Mapping[str, Any]) -> float:
        return sum(float(types.at[name, "cost_usd_h"]) * float(n) for name, n in fleet.items())

    return Properties(
        {
            "A fleet is a dictionary: names from the price list, each with a whole number of machines.": known,
            "When its largest machine fails, too few servers are left.": lambda fleet: (
                left(fleet) >= need
            ),
            "It holds, but a cheaper mix holds too.": lambda fleet: (
                usd_h(fleet)
                <= tco.optimize(options, need, spare_machines=1, gap=0).cost_usd_h * (1.0 + 1e-6)
            ),
        }
    )


@question(
    "08.7",
    "Compare the two costs, and what each solver says of its gap.",
    "How much does a server of the chosen types cost, on the small machine and on the large one?",
)
def same_cost_other_machines() -> Choice:
    """Why a second solver buys other machines at the same cost."""
    return Choice(
        "tie",
        {
            "bug": "Both costs are equal and no whole fleet is cheaper: neither is wrong.",
            "gap": "With a gap of zero nothing is left open: both have proven their cost.",
            "fractions": "Both fleets are of whole machines; only the relaxation has fractions.",
        },
    )
