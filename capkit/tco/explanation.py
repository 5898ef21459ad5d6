"""A fleet explains itself, by solving its program again with something changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capkit.tco.dominance import replacement
from capkit.tco.inputs import PURCHASES, read_tenants

if TYPE_CHECKING:
    from capkit.tco.fleet import Fleet

SAME = 1e-7  # costs this close, relatively, are equal


@dataclass(frozen=True, repr=False)
class Explanation:
    """Four tables about a fleet; prints all of them."""

    shadow_prices: pd.DataFrame
    alternatives: pd.DataFrame
    price_ranges: pd.DataFrame
    left_out: pd.DataFrame
    demand_range: tuple[float, float]

    def __repr__(self) -> str:
        low, high = self.demand_range
        parts = {
            "What easing each constraint would save": self.shadow_prices,
            "The next-best fleets": self.alternatives,
            "Prices (times today's) between which the fleet stays the best": self.price_ranges,
            "Types left out, and why": self.left_out,
        }
        text = "\n\n".join(f"{title}\n{table.to_string()}" for title, table in parts.items())
        return f"{text}\n\nThe fleet is the best one for {low:.4g} to {high:.4g} times the demand."


def explain(fleet: Fleet) -> Explanation:
    """All that this module knows about a fleet."""
    ranges = price_ranges(fleet)
    return Explanation(
        shadow_prices(fleet),
        alternatives(fleet),
        ranges,
        left_out(fleet, ranges),
        demand_range(fleet),
    )


def shadow_prices(fleet: Fleet, change: float = 0.01) -> pd.DataFrame:
    """What each binding constraint costs (影子价格): the program again with it eased.

    Demands and caps are eased by the share ``change``, shares by ``change`` itself, limits by a machine.
    Columns: ``constraint, eased_by, saved_usd, usd_a_unit`` (saved by each unit; whole machines
    make it a mean over the step, not a slope).
    """
    options, asked = fleet.problem["options"], fleet.problem
    rows = []
    for family in fleet.binding["constraint"]:
        kind, _, name = family.partition(
            " of " if family.startswith(("limit", "budget")) else " for "
        )
        changes: dict[str, Any]
        if kind == "demand":
            step = change * fleet.periods[f"{name}_demand"].mean()
            changes = {"demand": scaled(fleet, 1.0 - change, name)}
        elif kind == "limit":
            step = 1.0
            more = options["limit"] + (options["name"] == name)
            changes = {"options": options.assign(limit=more)}
        elif family.startswith(("cap on ", "budget of ")):
            argument = "caps" if family.startswith("cap") else "budgets"
            name = family.split(" ", 2)[2]
            step = change * asked[argument][name]
            changes = {argument: {**asked[argument], name: asked[argument][name] + step}}
        elif family in ("spot share", "zone share"):
            argument, step = family.replace(" ", "_"), change
            eased = min(asked[argument] + step, 1.0)
            step, changes = eased - asked[argument], {argument: eased}
        elif kind.endswith("spare machines"):
            step, changes = 1.0, {"spare_machines": asked["spare_machines"] - 1}
        elif family == "minimum run":
            step, changes = 1.0, {"minimum_run": asked["minimum_run"] - 1}
        elif family == "minimum of each option":
            step, changes = 1.0, {"minimum_each": asked["minimum_each"] - 1}
        else:  # two tenants apart
            step = 1.0
            kept = [pair for pair in asked["apart"] if f"{pair[0]} and {pair[1]} apart" != family]
            changes = {"apart": kept, "demand": scaled(fleet, 1.0)}
        saved = fleet.total_cost_usd - fleet.again(**changes).total_cost_usd
        rows.append((family, step, saved, saved / step if step else math.nan))
    return pd.DataFrame(rows, columns=["constraint", "eased_by", "saved_usd", "usd_a_unit"])


def scaled(fleet: Fleet, factor: float, resource: str | None = None) -> Any:
    """The demand of a fleet times a factor, in one resource or in all."""
    tenants = read_tenants(fleet.problem["demand"], fleet.problem["apart"])
    for table in tenants.values():
        for column in table:
            if resource in (None, column):
                table[column] *= factor
    return tenants.get("", tenants)


def alternatives(fleet: Fleet) -> pd.DataFrame:
    """What the fleet costs without each way of buying that it uses, the next-best one first.

    Columns: ``without`` (name and purchase), ``cost_usd, more_percent``; NaN where nothing else serves.
    """
    rows = []
    for pair in _used(fleet):
        cost = _cost(fleet, without=[*fleet.problem["without"], pair])
        rows.append((" ".join(pair), cost, 100.0 * (cost / fleet.total_cost_usd - 1.0)))
    table = pd.DataFrame(rows, columns=["without", "cost_usd", "more_percent"])
    return table.sort_values("cost_usd", ignore_index=True)


def price_ranges(fleet: Fleet) -> pd.DataFrame:
    """Between which prices of each type, all its purchases together, the fleet stays the cheapest.

    One row a type: ``lowest, highest`` (times the price of today). Below the first, a fleet with more of
    the type wins; above the second, one with less. The least cost is concave and piecewise linear in
    a price, and the cost of one fleet is a line: where the lines of two fleets cross, the program is
    solved again, until nothing is cheaper there. That point is exact.
    """
    rows = {
        name: (_crossing(fleet, name, 0.0), _crossing(fleet, name, math.inf))
        for name in fleet.problem["options"]["name"]
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["lowest", "highest"])


def left_out(fleet: Fleet, ranges: pd.DataFrame | None = None) -> pd.DataFrame:
    """Why each type that is not bought is not: ``why``, and ``enters_below`` (times its price).

    ``ranges`` are those of `price_ranges`, if they are there already.
    """
    ranges = price_ranges(fleet) if ranges is None else ranges
    used = {name for name, _ in _used(fleet)}
    rows = {
        name: (_reason(fleet, name), ranges.at[name, "lowest"])
        for name in fleet.problem["options"]["name"]
        if name not in used
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["why", "enters_below"])


def demand_range(fleet: Fleet, precision: float = 1e-3) -> tuple[float, float]:
    """Between which multiples of the demand the fleet stays the cheapest, to a relative ``precision``."""

    def unchanged(factor: float) -> bool:
        cost = _cost(fleet, demand=scaled(fleet, factor))
        return abs(cost - fleet.total_cost_usd) <= _tolerance(fleet)

    ends = []
    for outside in (0.0, 2.0):
        inside = 1.0
        while outside > 1.0 and unchanged(outside):
            outside *= 2.0
        while abs(outside - inside) > precision:
            middle = (outside + inside) / 2.0
            inside, outside = (middle, outside) if unchanged(middle) else (inside, middle)
        ends.append(inside)
    return ends[0], ends[1]


def _used(fleet: Fleet) -> list[tuple[str, str]]:
    pairs = zip(fleet.counts["name"], fleet.counts["purchase"], strict=True)
    return list(dict.fromkeys(pairs))


def _tolerance(fleet: Fleet) -> float:
    return float(max(SAME, 2.0 * fleet.problem["gap"]) * fleet.total_cost_usd)


def _cost(fleet: Fleet, **changes: Any) -> float:
    """Cost of the cheapest fleet after a change, NaN where there is none."""
    from capkit.tco.fleet import InfeasibleError

    try:
        return fleet.again(**changes).total_cost_usd
    except InfeasibleError:
        return math.nan


def _spent_on(fleet: Fleet, name: str, options: pd.DataFrame) -> float:
    """What a fleet spends on one type at the prices of ``options``: the slope of its cost in them."""
    price = options.set_index("name").loc[name]
    mine = fleet.counts[fleet.counts["name"] == name]
    return float(
        sum(
            h * price[PURCHASES[p]]
            for h, p in zip(mine["instance_hours"], mine["purchase"], strict=True)
        )
    )


def _crossing(fleet: Fleet, name: str, factor: float) -> float:
    """The factor on a price where another fleet takes over, searched from 0 or from infinity."""
    from capkit.tco.fleet import InfeasibleError

    options, purchases = fleet.problem["options"], fleet.problem["purchases"]
    columns = [PURCHASES[purchase] for purchase in purchases]
    slope = _spent_on(fleet, name, options)
    constant = fleet.total_cost_usd - slope
    if math.isinf(factor) and not slope:
        return math.inf
    while True:
        if math.isinf(factor):
            barred = [*fleet.problem["without"], *((name, purchase) for purchase in purchases)]
            changes: dict[str, Any] = {"without": barred}
        else:
            prices = options[columns].mul(np.where(options["name"] == name, factor, 1.0), axis=0)
            changes = {"options": options.assign(**prices)}
        try:
            other = fleet.again(**changes)
        except InfeasibleError:
            return factor  # nothing replaces it at any price
        its_slope = _spent_on(other, name, options)
        its_constant = other.total_cost_usd - (its_slope * factor if its_slope else 0.0)
        cheaper = math.isinf(factor) or (
            other.total_cost_usd < constant + slope * factor - _tolerance(fleet)
        )
        if not cheaper:
            return factor
        factor = (constant - its_constant) / (its_slope - slope)


def _reason(fleet: Fleet, name: str) -> str:
    asked = fleet.problem
    options = asked["options"].reset_index(drop=True)
    index = int(np.flatnonzero(options["name"] == name)[0])
    offered = [p for p in asked["purchases"] if not math.isnan(options[PURCHASES[p]][index])]
    if not offered:
        return "not sold in any of the ways asked for"
    if "limit" in options and options["limit"][index] < 1:
        return "its limit is below one machine"
    resources = [c.removesuffix("_demand") for c in fleet.periods if c.endswith("_demand")]
    if "spot_interruption" not in options:
        options = options.assign(spot_interruption=0.0)
    limits = options["limit"].fillna(math.inf) if "limit" in options else [math.inf] * len(options)
    reasons = []
    for purchase in offered:
        price = float(options[PURCHASES[purchase]][index])
        others = [
            (found[1], f"{found[0]} x {options['name'][i]}")
            for i in range(len(options))
            if i != index and not math.isnan(options[PURCHASES[purchase]][i])
            if (found := replacement(options, resources, (i, purchase), (index, purchase)))
            and found[0] <= limits[i]
        ]
        if others and min(others)[0] <= price * (1.0 + 1e-12):
            cost, what = min(others)
            reasons.append(f"{what} does the same for {cost:.4g} instead of {price:.4g} USD/h")
    if len(reasons) == len(offered):
        return reasons[0]
    return "fits no better than the mix that was chosen"
