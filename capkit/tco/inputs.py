"""What a plan is given: demand, price list and conditions, read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from capkit.tco.program import Floats

# What a machine can be bought as -> the column of its price in USD/h.
PURCHASES = {
    "on_demand": "cost_usd_h",
    "reserved_1y": "reserved_1y_usd_h",
    "reserved_3y": "reserved_3y_usd_h",
    "owned": "owned_usd_h",
    "spot": "spot_usd_h",
}
COMMITTED = ("reserved_1y", "reserved_3y", "owned")  # paid in every period, used or not
WRONG_UNIT = (
    20.0  # a price of a month is 730 times that of an hour; no honest offer is this far off
)
MOST_MACHINES = 1e6

Demand: TypeAlias = (
    "float | Sequence[float] | Floats | pd.Series | pd.DataFrame | Mapping[str, Any]"
)


@dataclass(frozen=True)
class Terms:
    """The conditions of a plan; see `capkit.tco.optimize` for what each one means."""

    purchases: tuple[str, ...]
    without: tuple[tuple[str, str], ...]
    period_h: float
    zones: int
    lost_zones: int
    zone_share: float
    spare_machines: int
    spot_share: float
    minimum_each: int
    minimum_run: int
    carried: Mapping[str, Floats]
    apart: tuple[tuple[str, str], ...]
    caps: Mapping[str, float]
    budgets: Mapping[str, float]

    def carried_options(self, options: pd.DataFrame) -> dict[int, Floats]:
        """The tables of ``carried`` by row of ``options``."""
        names = list(options["name"])
        return {names.index(name): rates for name, rates in self.carried.items()}

    def __post_init__(self) -> None:
        asked = (*self.purchases, *(purchase for _, purchase in self.without))
        unknown = [name for name in asked if name not in PURCHASES]
        if unknown or not self.purchases:
            raise ValueError(
                f"purchases must name some of {', '.join(PURCHASES)}, got {list(asked)}"
            )
        if self.zones < 1:
            raise ValueError(f"zones must be at least 1, got {self.zones}")
        if not 0 <= self.lost_zones < self.zones:
            raise ValueError(
                f"lost_zones must lie between 0 and zones - 1, got zones={self.zones}, "
                f"lost_zones={self.lost_zones}"
            )
        if not 0.0 <= self.spot_share <= 1.0:
            raise ValueError(f"spot_share is a share between 0 and 1, got {self.spot_share}")
        if not 1.0 / self.zones <= self.zone_share <= 1.0:
            raise ValueError(
                f"zone_share must lie between 1 / zones and 1, got {self.zone_share} "
                f"with zones={self.zones}"
            )
        if not (math.isfinite(self.period_h) and self.period_h > 0.0):
            raise ValueError(f"period_h must be a positive number of hours, got {self.period_h}")
        for name, least in (("minimum_each", 0), ("spare_machines", 0), ("minimum_run", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name, amount in {**self.caps, **self.budgets}.items():
            if not (math.isfinite(amount) and amount >= 0.0):
                raise ValueError(f"the most of {name} must be finite and not negative: {amount}")
        for name, rates in self.carried.items():
            if not rates.size or rates.min() < 0.0 or (np.diff(rates) < 0.0).any():
                raise ValueError(
                    f"carried[{name!r}] must say what 1, 2, ... machines carry, never falling"
                )
        if self.carried and self.spare_machines:
            raise ValueError(
                "spare_machines counts machines that carry the same each; with carried, make the "
                "table itself for n machines of which some fail (`carried_at_slo`, redundancy)"
            )


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


def read_tenants(demand: Demand, apart: Sequence[tuple[str, str]]) -> dict[str, pd.DataFrame]:
    """Demand by tenant, all of them with the same periods and resources; ``""`` is the only one.

    >>> list(read_tenants({"web": 5, "batch": {"capacity": 7}}, [("web", "batch")]))
    ['web', 'batch']
    """
    named = isinstance(demand, Mapping) and (
        bool(apart) or any(isinstance(v, (Mapping, pd.DataFrame)) for v in demand.values())
    )
    tables = (
        {str(name): read_demand(one) for name, one in demand.items()}
        if named and isinstance(demand, Mapping)
        else {"": read_demand(demand)}
    )
    unknown = [name for pair in apart for name in pair if name not in tables]
    if unknown or any(one == other for one, other in apart):
        raise ValueError(
            f"apart pairs two tenants of {[t for t in tables if t]}, got {list(apart)}; "
            "name the tenants by a mapping: demand={'a': ..., 'b': ...}"
        )
    periods = max(len(table) for table in tables.values())
    resources = list(dict.fromkeys(column for table in tables.values() for column in table))
    for name, table in tables.items():
        if len(table) not in (1, periods):
            raise ValueError(f"tenant {name!r} has {len(table)} periods, others have {periods}")
        repeated = table.loc[np.zeros(periods, dtype=int)] if len(table) == 1 else table
        tables[name] = repeated.reindex(columns=resources, fill_value=0.0).reset_index(drop=True)
    return tables


def read_options(options: pd.DataFrame, resources: Sequence[str], terms: Terms) -> pd.DataFrame:
    """The columns of ``options`` that the program needs, checked.

    Optional ones get their neutral values: ``limit`` inf, ``startup_usd`` and ``spot_interruption`` 0.
    """
    prices = [PURCHASES[purchase] for purchase in terms.purchases]
    extra = [c for c in (*terms.caps, *terms.budgets) if c not in resources]
    needed = list(dict.fromkeys(["name", *prices, *resources, *extra]))
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
    listed = set(names)
    if stray := {*terms.carried, *(name for name, _ in terms.without)} - listed:
        raise ValueError(f"carried or without names {sorted(stray)}, which options does not list")
    values = table[needed[1:]].astype(float)
    _check_prices(names, values[prices])
    if "on_demand" in terms.purchases and values["cost_usd_h"].isna().any():
        raise ValueError(f"cost_usd_h is missing for {list(names[values['cost_usd_h'].isna()])}")
    for column in (*resources, *extra):
        bad = ~(np.isfinite(values[column]) & (values[column] >= 0.0))
        bad |= (values[column] == 0.0) & (list(resources) == [column])
        if bad.any():
            raise ValueError(f"{column} must be positive; it is not for {list(names[bad])}")
    for resource in resources:
        if not values[resource].any():
            raise ValueError(f"{resource} is demanded, but no option has any of it")
    neutral = {"limit": np.inf, "startup_usd": 0.0, "spot_interruption": 0.0}
    for column, value in neutral.items():
        given = table[column].astype(float).fillna(value) if column in table else value
        values[column] = given
        if (values[column] < 0.0).any():
            raise ValueError(f"{column} is negative for {list(names[values[column] < 0.0])}")
    if (values["spot_interruption"] >= 1.0).any():
        raise ValueError(
            "spot_interruption is the probability that a spot machine is away: below 1"
        )
    return pd.concat([names, values], axis=1)


def _check_prices(names: pd.Series, prices: pd.DataFrame) -> None:
    for column, price in prices.items():
        if (price < 0.0).any():
            raise ValueError(f"{column} is negative for {list(names[price < 0.0])}")
        first = prices.iloc[:, 0]
        odd = (price > WRONG_UNIT * first) & (first > 0.0)
        if odd.any():
            raise ValueError(
                f"{column} is more than {WRONG_UNIT:g} times {prices.columns[0]} for "
                f"{list(names[odd])}: is one of them a price of a month or a year? Give USD/h"
            )
    if prices.isna().all(axis=None):
        raise ValueError(f"no option has a price in {list(prices.columns)}")


def check_scale(options: pd.DataFrame, tenants: Mapping[str, pd.DataFrame]) -> None:
    """Refuse a demand that even the largest machine would have to be bought a million times for."""
    demand = sum(tenants.values())
    for resource in demand:
        largest, peak = options[resource].max(), demand[resource].max()
        if peak > MOST_MACHINES * largest:
            raise ValueError(
                f"demand for {resource} is {peak:,.6g}, and the largest machine has {largest:,.6g}: "
                "are both in the same unit?"
            )
