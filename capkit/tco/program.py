"""An integer program as plain data: what the formulation writes, a solver reads and a fleet explains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """One constraint: ``sum(coefficients * x[columns]) >= lower``."""

    family: str  # what it is in the user's words, the same in all periods and zones
    columns: Integers  # the variables it holds
    coefficients: Floats
    lower: float
    group: int  # the periods it stands for

    def slack(self, values: Floats) -> float:
        """How far above its right-hand side a solution lies."""
        return float(self.coefficients @ values[self.columns]) - self.lower

    def is_tight(self, values: Floats) -> bool:
        """Whether not even one machine fewer (or one more, where more is what it limits) would fit."""
        steps = np.abs(self.coefficients)[(self.coefficients < 0) | (values[self.columns] > 0)]
        return bool(steps.size) and self.slack(values) < steps.min() * (1.0 - 1e-6)


@dataclass(frozen=True)
class Program:
    """Minimise ``costs @ x`` over whole numbers x >= 0 (or fractions, if relaxed) that satisfy every row."""

    costs: Floats  # USD a unit of each variable, over all periods
    rows: tuple[Row, ...]
    relaxed: bool = False

    @property
    def families(self) -> list[str]:
        """Names of the constraint families, in the order of their first row."""
        return list(dict.fromkeys(row.family for row in self.rows))

    def without(self, families: Iterable[str]) -> Program:
        """The same program with whole families of constraints left out."""
        dropped = set(families)
        kept = tuple(row for row in self.rows if row.family not in dropped)
        return Program(self.costs, kept, self.relaxed)
