"""The one integer program of a fleet, with every step optional.

The document's program (section 4.3) is the case of one resource, one period, one zone and on-demand
machines. Each further step adds columns or rows to the same program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from capkit.tco.inputs import Terms
from capkit.tco.layout import Column, Layout
from capkit.tco.program import EVERY, Floats, Integers, Program

TABLED = "capacity"  # the resource that the tables of `carried` are about


@dataclass(frozen=True)
class Formulation:
    """The program and what its variables mean."""

    options: pd.DataFrame
    demand: Mapping[str, pd.DataFrame]
    terms: Terms
    group: Integers  # of each period; periods of one group need the same machines
    zone_copies: int  # how many zones each zone of the program stands for
    columns: tuple[Column, ...]  # the first variables; the others are auxiliary
    assigned: Mapping[tuple[int, int], int]  # (tenant, pool) -> variable, where tenants are apart
    column_group: Integers  # of every variable
    program: Program


def formulate(
    options: pd.DataFrame,
    demand: Mapping[str, pd.DataFrame],
    terms: Terms,
    *,
    relaxed: bool = False,
    reduced: bool = False,
) -> Formulation:
    """Write the program.

    Two reductions keep it small and lose nothing. Where capacities are multiples of a common grid,
    demand is rounded up to it; periods that need the same are then one group. Where the surviving zones
    are one and nothing ties the zones together, each zone solves the same program: it is solved once.
    ``reduced`` writes only the columns that `undominated` names.
    """
    writer = _Writer(options, demand, terms, rounded=not relaxed, reduced=reduced)
    writer.assign_tenants()
    for group, pool in product(range(writer.groups), range(writer.pools)):
        writer.meet_demand(group, pool)
    for group in range(writer.groups):
        writer.limit(group)
    writer.spend()
    if writer.rolling:
        writer.start_and_run()
    return Formulation(
        options,
        demand,
        terms,
        writer.group,
        writer.copies,
        tuple(writer.columns),
        writer.assigned,
        np.array(writer.variable_groups, dtype=np.int64),
        Program(np.array(writer.costs), tuple(writer.rows), relaxed),
    )


class _Writer(Layout):
    """The rows, family by family."""

    def assign_tenants(self) -> None:
        """Every tenant lives in one pool (of those of the tenants up to itself), apart from whom it must."""
        if not self.terms.apart:
            return
        for tenant in range(len(self.tenants)):
            mine = [self.variable(EVERY) for _ in range(tenant + 1)]
            self.assigned |= {(tenant, pool): place for pool, place in enumerate(mine)}
            for sign in (1.0, -1.0):
                self.row("", mine, [sign] * len(mine), sign, EVERY)
        for names in self.terms.apart:
            one, other = sorted(self.tenants.index(name) for name in names)
            for pool in range(one + 1):
                both = [self.assigned[one, pool], self.assigned[other, pool]]
                self.row(f"{names[0]} and {names[1]} apart", both, [-1.0, -1.0], -1.0, EVERY)

    def meet_demand(self, g: int, pool: int) -> None:
        """Demand after any loss, the shares of spot machines and of zones: one pool, one group."""
        terms = self.terms
        inside = np.flatnonzero((self.pool == pool) & np.isin(self.of, (EVERY, g)))
        tables = self._tables(g, inside)
        present = np.where(self.is_spot[inside], self.here[self.option[inside]], 1.0)
        tenants = [t for t, p in self.assigned if p == pool]
        askers = [self.assigned[t, pool] for t in tenants]
        for k, resource in enumerate(self.resources):
            whole = self.per_machine[self.option[inside], k] / self.scale[k]
            levels = self.levels[g, :, k] / self.scale[k]
            asked, fixed = -levels[tenants], 0.0 if terms.apart else float(levels.sum())
            tabled = resource == TABLED
            amount = whole * present
            if tabled:
                amount[np.isin(self.option[inside], list(terms.carried_options(self.options)))] = 0
            for kept in self.survivors:
                alive = np.isin(self.zone[inside], kept)
                pooled = [entry for entry in tables if tabled and entry[0] in kept]
                places = [*inside[alive], *(entry[1] for entry in pooled), *askers]
                rates = [entry[2] / self.scale[k] for entry in pooled]
                steps = [entry[3] / self.scale[k] for entry in pooled]
                self.row(
                    f"demand for {resource}",
                    places,
                    [*amount[alive], *rates, *asked],
                    fixed,
                    g,
                    [*amount[alive], *steps, *np.zeros(len(askers))],
                )
                if terms.spare_machines:
                    places = [*inside[alive], *askers]
                    self._spare(resource, places, amount[alive], asked, fixed, levels.sum(), g)
            for zone in range(self.zones):
                at = self.zone[inside] == zone
                if self.is_spot.any():
                    firm = terms.spot_share - self.is_spot[inside]
                    self.row("spot share", inside[at], (firm * whole)[at], 0.0, g)
                if terms.zone_share < 1.0 and self.copies == 1:
                    self.row("zone share", inside, (terms.zone_share - at) * whole, 0.0, g)

    def _tables(self, g: int, inside: Integers) -> list[tuple[int, int, float, float]]:
        """Exact capacity of pools: at most one variable "n machines" a type and zone is 1.

        Returns (zone, variable, what n machines carry, what the nth adds) of all of them.
        """
        entries = []
        for option, rates in self.terms.carried_options(self.options).items():
            for zone in range(self.zones):
                mine = inside[(self.option[inside] == option) & (self.zone[inside] == zone)]
                numbers = np.arange(1, rates.size + 1)
                places = [self.variable(g) for _ in numbers]
                present = np.where(self.is_spot[mine], self.here[option], 1.0)
                self.row("", [*mine, *places], [*present, *(-numbers)], 0.0, g)
                self.row("", places, -np.ones(numbers.size), -1.0, g)
                steps = np.diff(rates, prepend=0.0)
                entries += [
                    (zone, *entry) for entry in zip(places, rates.tolist(), steps, strict=True)
                ]
        return entries

    def _spare(
        self,
        resource: str,
        places: Sequence[int],
        amount: Floats,
        asked: Floats,
        fixed: float,
        most: float,
        g: int,
    ) -> None:
        """The demand without the k largest machines, exactly.

        The k largest amounts are the least of ``k h + sum x max(r - h, 0)`` over h, and that least lies
        at one of the amounts: for one h of them, ``sum x min(r, h) - k h >= demand`` must hold.
        """
        spare = self.terms.spare_machines
        chosen = []
        for height in np.unique(np.append(amount, 0.0)):
            choice = self.variable(g)
            chosen.append(choice)
            lowest = spare * height + most  # the row of an h that is not chosen asks for nothing
            self.row(
                f"{spare} spare machines for {resource}",
                [*places, choice],
                [*np.minimum(amount, height), *asked, -lowest],
                fixed - most,
                g,
            )
        self.row("", chosen, np.ones(len(chosen)), 1.0, g)

    def limit(self, g: int) -> None:
        """Limits, least numbers and caps: all pools and zones together, one group."""
        inside = np.flatnonzero(np.isin(self.of, (EVERY, g)))
        for index, (name, limit) in enumerate(
            zip(self.options["name"], self.options["limit"], strict=True)
        ):
            mine = inside[self.option[inside] == index]
            ones = np.ones(mine.size)
            if math.isfinite(limit):
                self.row(f"limit of {name}", mine, -ones, -math.floor(limit), g)
            if self.terms.minimum_each:
                self.row("minimum of each option", mine, ones, self.terms.minimum_each, g)
        for name, most in self.terms.caps.items():
            each = self.options[name].to_numpy()[self.option[inside]]
            self.row(f"cap on {name}", inside, -each, -most, g)

    def spend(self) -> None:
        """Budgets: what all machines may use over all periods."""
        for name, most in self.terms.budgets.items():
            used = self.options[name].to_numpy()[self.option] * self.hours[self.of]
            self.row(f"budget of {name}", np.arange(used.size), -used, -most, EVERY)

    def start_and_run(self) -> None:
        """Starts of the machines that follow the load, and how long they then run; periods repeat."""
        place = {
            (c.option, c.purchase, c.zone, c.pool, c.group): n
            for n, c in enumerate(self.columns)
            if c.group != EVERY
        }
        usd = self.options["startup_usd"].to_numpy() * self.copies
        start = {key: self.variable(key[-1], usd[key[0]]) for key in place}

        def at(table: Mapping[Any, int], key: tuple[Any, ...], back: int) -> int:
            return table[*key[:-1], (key[-1] - back) % self.groups]

        for key, here in place.items():
            self.row("", [start[key], here, at(place, key, 1)], [1.0, -1.0, 1.0], 0.0, key[-1])
            if self.terms.minimum_run > 1:
                span = range(min(self.terms.minimum_run, self.groups))
                recent = [at(start, key, back) for back in span]
                coefficients = [1.0, *(-1.0 for _ in recent)]
                self.row("minimum run", [here, *recent], coefficients, 0.0, key[-1])
