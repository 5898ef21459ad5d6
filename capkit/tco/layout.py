"""The variables of a fleet's program: which machines, in which zones, pools and groups of periods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np
import pandas as pd

from capkit.tco.dominance import sold, undominated
from capkit.tco.inputs import COMMITTED, PURCHASES, Terms
from capkit.tco.program import EVERY, Floats, Integers, Row


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
    """Machines of an option, bought so, in a zone, for a pool of tenants, in a group of periods."""

    option: int
    purchase: str
    zone: int
    pool: int
    group: int  # EVERY: in all periods (a commitment)
    usd_h: float


class Layout:
    """The variables, the machines first, and the rows that are written of them."""

    def __init__(
        self,
        options: pd.DataFrame,
        demand: Mapping[str, pd.DataFrame],
        terms: Terms,
        *,
        rounded: bool,
        reduced: bool,
    ) -> None:
        self.options, self.terms, self.tenants = options, terms, list(demand)
        self.resources = list(demand[self.tenants[0]].columns)
        self.per_machine = options[self.resources].to_numpy()
        self.here = 1.0 - options["spot_interruption"].to_numpy()  # of a spot machine, on average
        units = np.array([grid(self.per_machine[:, k]) for k in range(len(self.resources))])
        self.scale = np.where(units > 0.0, units, self.per_machine.max(axis=0))
        self._group_periods(
            np.array([table.to_numpy() for table in demand.values()]), units, rounded
        )
        self._lay_out_zones()
        self.pools = len(self.tenants) if terms.apart else 1
        hours = np.append(np.bincount(self.group), self.group.size) * terms.period_h * self.copies
        self.hours = hours  # that a variable of each group stands for; the last one: of EVERY

        self.costs: list[float] = []
        self.variable_groups: list[int] = []
        self.rows: list[Row] = []
        self.assigned: dict[tuple[int, int], int] = {}
        pairs = undominated(options, self.resources, terms) if reduced else sold(options, terms)
        self.columns = [
            Column(i, purchase, zone, pool, g, float(options[PURCHASES[purchase]].iloc[i]))
            for i, purchase in pairs
            for zone in range(self.zones)
            for pool in range(self.pools)
            for g in ([EVERY] if purchase in COMMITTED else range(self.groups))
        ]
        for column in self.columns:
            self.variable(column.group, column.usd_h * hours[column.group])
        self.option, self.zone, self.pool, self.of = (
            np.array([getattr(column, field) for column in self.columns], dtype=np.int64)
            for field in ("option", "zone", "pool", "group")
        )
        self.is_spot = np.array([column.purchase == "spot" for column in self.columns])

    def _group_periods(self, needed: Floats, units: Floats, rounded: bool) -> None:
        """``needed``: tenants by periods by resources."""
        terms = self.terms
        if not terms.apart:  # everybody may share: one demand, their sum
            needed = needed.sum(axis=0, keepdims=True)
        if rounded and not (terms.apart or terms.carried or (self.here < 1.0).any()):
            steps = np.where(units > 0.0, units, 1.0)
            needed = np.where(units > 0.0, np.ceil(needed / steps - 1e-9) * steps, needed)
        flat = needed.transpose(1, 0, 2).reshape(needed.shape[1], -1)
        self.rolling = bool(self.options["startup_usd"].any()) or terms.minimum_run > 1
        if self.rolling:  # what runs depends on what ran before: no two periods are alike
            levels, self.group = flat, np.arange(len(flat))
        else:
            levels, group = np.unique(flat, axis=0, return_inverse=True)
            self.group = group.reshape(-1).astype(np.int64)
        self.groups = len(levels)
        self.levels = levels.reshape(self.groups, *needed.shape[::2])

    def _lay_out_zones(self) -> None:
        terms = self.terms
        surviving = terms.zones - terms.lost_zones
        tied = bool(np.isfinite(self.options["limit"]).any()) or terms.minimum_each > 0
        tied = tied or bool(terms.caps) or bool(terms.budgets)
        self.copies = terms.zones if surviving == 1 and not tied else 1
        self.zones = terms.zones // self.copies
        self.survivors = list(combinations(range(self.zones), 1 if self.copies > 1 else surviving))

    def variable(self, group: int, cost: float = 0.0) -> int:
        """Add a variable and return its place."""
        self.costs.append(cost)
        self.variable_groups.append(group)
        return len(self.costs) - 1

    def row(
        self,
        family: str,
        columns: Sequence[int] | Integers,
        coefficients: Sequence[float] | Floats,
        lower: float,
        group: int,
        steps: Sequence[float] | None = None,
    ) -> None:
        """Add a row without its zeros."""
        factors = np.asarray(coefficients, dtype=float)
        kept = factors != 0.0
        fewer = None if steps is None else np.asarray(steps, dtype=float)[kept]
        places = np.asarray(columns, dtype=np.int64)[kept]
        self.rows.append(Row(family, places, factors[kept], float(lower), group, fewer))
