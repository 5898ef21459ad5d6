"""An integer program as plain data: what the formulation writes, a solver reads and a fleet explains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
EVERY = -1  # the group of a variable, or of a row, that belongs to all periods


@dataclass(frozen=True)
class Row:
    """One constraint: ``sum(coefficients * x[columns]) >= lower``."""

    family: (
        str  # what it is in the user's words, the same in all periods and zones; "": a definition
    )
    columns: Integers  # the variables it holds
    coefficients: Floats
    lower: float
    group: int  # the periods it stands for
    steps: Floats | None = (
        None  # what one unit less of each variable takes away; None: |coefficients|
    )

    def slack(self, values: Floats) -> float:
        """How far above its right-hand side a solution lies."""
        return float(self.coefficients @ values[self.columns]) - self.lower

    def is_tight(self, values: Floats) -> bool:
        """Whether not even one machine fewer (or one more, where more is what it limits) would fit."""
        steps = np.abs(self.coefficients) if self.steps is None else self.steps
        steps = steps[((self.coefficients < 0) | (values[self.columns] > 0)) & (steps > 0.0)]
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
        return list(dict.fromkeys(row.family for row in self.rows if row.family))

    def without(self, families: Iterable[str]) -> Program:
        """The same program with whole families of constraints left out."""
        dropped = set(families)
        kept = tuple(row for row in self.rows if row.family not in dropped)
        return Program(self.costs, kept, self.relaxed)

    @cached_property
    def matrix(self) -> Any:
        """The rows as one sparse matrix (rows by variables)."""
        sizes = [row.columns.size for row in self.rows]
        where = (
            np.repeat(np.arange(len(self.rows)), sizes),
            np.concatenate([row.columns for row in self.rows]),
        )
        data = np.concatenate([row.coefficients for row in self.rows])
        return sparse.csr_array((data, where), shape=(len(self.rows), self.costs.size))
