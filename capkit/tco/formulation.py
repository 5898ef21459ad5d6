"""The one integer program of a fleet, with every step optional.

The document's program (section 4.3) is the case of one resource, one period, one zone and on-demand
machines. Each further step adds columns or rows to the same program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from capkit.tco.program import Floats, Integers, Program, Row

# What a machine can be bought as -> the column of its price in USD/h.
PURCHASES = {
    "on_demand": "cost_usd_h",
    "reserved_1y": "reserved_1y_usd_h",
    "reserved_3y": "reserved_3y_usd_h",
    "spot": "spot_usd_h",
}
COMMITTED = ("reserved_1y", "reserved_3y")  # paid in every period, used or not

Demand: TypeAlias = (
    "float | Sequence[float] | Floats | pd.Series | pd.DataFrame | Mapping[str, Any]"
)


@dataclass(frozen=True)
class Terms:
    """The conditions of a plan; see `capkit.tco.optimize` for what each one means."""

    purchases: tuple[str, ...]
    period_h: float
    zones: int
    lost_zones: int
    spot_share: float
    minimum_each: int

    def __post_init__(self) -> None:
        unknown = [name for name in self.purchases if name not in PURCHASES]
        if unknown or not self.purchases:
            raise ValueError(
                f"purchases must name some of {', '.join(PURCHASES)}, got {list(self.purchases)}"
            )
        if self.zones < 1 or not 0 <= self.lost_zones < self.zones:
            raise ValueError(
                f"lost_zones must lie between 0 and zones - 1, got zones={self.zones}, "
                f"lost_zones={self.lost_zones}"
            )
        if not 0.0 <= self.spot_share <= 1.0:
            raise ValueError(f"spot_share is a share between 0 and 1, got {self.spot_share}")
        if not (math.isfinite(self.period_h) and self.period_h > 0.0):
            raise ValueError(f"period_h must be a positive number of hours, got {self.period_h}")
        if self.minimum_each < 0:
            raise ValueError(f"minimum_each must not be negative, got {self.minimum_each}")


def read_demand(demand: Demand) -> pd.DataFrame:
    """Demand as a table: one row a period, one column a resource (``capacity`` if only one is given).

    >>> read_demand({"capacity": [5, 7], "memory_gib": 3})
       capacity  memory_gib
    0       5.0         3.0
    1       7.0         3.0
    """
    if not isinstance(demand, (pd.DataFrame, Mapping)):
        demand = {"capacity": demand}
    columns = {str(k): np.atleast_1d(np.asarray(v, dtype=float)) for k, v in demand.items()}
    lengths = {values.size for values in columns.values()} - {1}
    if not columns or 0 in lengths or len(lengths) > 1:
        sizes = {name: values.size for name, values in columns.items()}
        raise ValueError(f"every resource needs one number, or one a period; got lengths {sizes}")
    table = pd.DataFrame(
        {k: np.broadcast_to(v, max(lengths, default=1)) for k, v in columns.items()}
    )
    for name, values in table.items():
        if not (np.isfinite(values) & (values >= 0.0)).all():
            raise ValueError(
                f"demand for {name} must be finite and not negative, got {values.min():g}"
            )
    return table


def read_options(options: pd.DataFrame, resources: Sequence[str], terms: Terms) -> pd.DataFrame:
    """The columns of ``options`` that the program needs, checked, with ``limit`` (inf: none)."""
    prices = [PURCHASES[purchase] for purchase in terms.purchases]
    needed = ["name", *prices, *resources]
    missing = [column for column in needed if column not in options.columns]
    if missing:
        raise ValueError(
            f"options lacks the columns {missing}; it has {[str(c) for c in options.columns]}"
        )
    table = options.reset_index(drop=True)
    names = table["name"].astype(str)
    if table.empty or names.duplicated().any():
        raise ValueError(
            "options needs at least one row, and each name once; got "
            f"{sorted(names[names.duplicated()]) or 'none'}"
        )
    values = table[[*prices, *resources]].astype(float)
    for price in prices:
        if (values[price] < 0.0).any():
            raise ValueError(f"{price} is negative for {list(names[values[price] < 0.0])}")
    if values[prices].isna().all(axis=None):
        raise ValueError(f"no option has a price in {prices}")
    if "on_demand" in terms.purchases and values["cost_usd_h"].isna().any():
        raise ValueError(f"cost_usd_h is missing for {list(names[values['cost_usd_h'].isna()])}")
    for resource in resources:
        bad = ~(np.isfinite(values[resource]) & (values[resource] >= 0.0))
        bad |= (values[resource] == 0.0) & (len(resources) == 1)
        if bad.any():
            raise ValueError(f"{resource} must be positive; it is not for {list(names[bad])}")
        if not values[resource].any():
            raise ValueError(f"{resource} is demanded, but no option has any of it")
    limit = table["limit"].astype(float).fillna(np.inf) if "limit" in table else np.inf
    result = pd.concat([names, values], axis=1).assign(limit=limit)
    if (result["limit"] < 0.0).any():
        raise ValueError(f"limit is negative for {list(names[result['limit'] < 0.0])}")
    return result


def grid(capacities: Floats) -> float:
    """Largest number that divides every capacity; 0 where they have no common divisor.

    >>> grid(np.array([1000.0, 1500.0, 4000.0]))
    500.0
    """
    positive = capacities[capacities > 0.0]
    ratios = [Fraction(float(c / positive.min())).limit_denominator(1000) for c in positive]
    shared = math.lcm(*(ratio.denominator for ratio in ratios))
    if not np.allclose([float(r) for r in ratios], positive / positive.min(), rtol=1e-12, atol=0.0):
        return 0.0
    return float(positive.min()) * math.gcd(*(int(ratio * shared) for ratio in ratios)) / shared


@dataclass(frozen=True)
class Column:
    """One variable: how many machines of an option, bought so, in a zone, in a group of periods."""

    option: int
    purchase: str
    zone: int
    group: int  # -1: in all periods (a commitment)
    usd_h: float


@dataclass(frozen=True)
class Formulation:
    """The program and what its variables mean."""

    options: pd.DataFrame
    demand: pd.DataFrame
    group: Integers  # of each period; periods of one group need the same machines
    zone_copies: int  # how many zones each zone of the program stands for
    columns: tuple[Column, ...]
    program: Program


def formulate(
    options: pd.DataFrame, demand: pd.DataFrame, terms: Terms, *, relaxed: bool
) -> Formulation:
    """Write the program.

    Two reductions keep it small and lose nothing. Capacities are multiples of a common grid, so demand
    is rounded up to it, and periods that then need the same are one group. Where the surviving zones
    are one and nothing ties the zones together, each zone solves the same program: it is solved once.
    """
    resources = list(demand.columns)
    per_machine = options[resources].to_numpy()
    needed = demand.to_numpy()
    units = np.array([grid(per_machine[:, k]) for k in range(len(resources))])
    if not relaxed:
        steps = np.where(units > 0.0, units, 1.0)
        needed = np.where(units > 0.0, np.ceil(needed / steps - 1e-9) * steps, needed)
    levels, group = np.unique(needed, axis=0, return_inverse=True)
    group = group.reshape(-1)
    periods = np.bincount(group)

    surviving = terms.zones - terms.lost_zones
    tied = bool(np.isfinite(options["limit"]).any()) or terms.minimum_each > 0
    copies = terms.zones if surviving == 1 and not tied else 1
    zones = terms.zones // copies
    survivors = list(combinations(range(zones), 1 if copies > 1 else surviving))

    columns = [
        Column(option, purchase, zone, g, float(price))
        for purchase in terms.purchases
        for option, price in enumerate(options[PURCHASES[purchase]])
        if not math.isnan(price)
        for zone in range(zones)
        for g in ([-1] if purchase in COMMITTED else range(periods.size))
    ]
    option = np.array([column.option for column in columns])
    zone = np.array([column.zone for column in columns])
    column_group = np.array([column.group for column in columns])
    is_spot = np.array([column.purchase == "spot" for column in columns])
    scale = np.where(units > 0.0, units, per_machine.max(axis=0))
    share = terms.spot_share

    rows: list[Row] = []
    for g in range(periods.size):
        here = (column_group == -1) | (column_group == g)
        for k, resource in enumerate(resources):
            amount = per_machine[option, k] / scale[k]
            for kept in survivors:
                inside = np.flatnonzero(here & np.isin(zone, kept) & (amount > 0.0))
                bound = float(levels[g, k] / scale[k])
                rows.append(Row(f"demand for {resource}", inside, amount[inside], bound, g))
            if is_spot.any():
                firm = np.where(is_spot, share - 1.0, share) * amount
                for one in range(zones):
                    inside = np.flatnonzero(here & (zone == one) & (firm != 0.0))
                    rows.append(Row("spot share", inside, firm[inside], 0.0, g))
        for index, (name, limit) in enumerate(zip(options["name"], options["limit"], strict=True)):
            inside = np.flatnonzero(here & (option == index))
            ones = np.ones(inside.size)
            if math.isfinite(limit):
                family = f"limit of {name}"
                rows.append(Row(family, inside, -ones, -math.floor(limit), g))
            if terms.minimum_each:
                family = "minimum of each option"
                rows.append(Row(family, inside, ones, float(terms.minimum_each), g))
    in_periods = np.append(periods, len(demand))[column_group]  # a commitment: all of them
    costs = np.array([column.usd_h for column in columns]) * in_periods * terms.period_h * copies
    program = Program(costs, tuple(rows), relaxed)
    return Formulation(options, demand, group, copies, tuple(columns), program)
