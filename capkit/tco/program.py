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
    """One constraint, ``sum(coefficients * x[columns]) >= lower``.

    Attributes
    ----------
    family : str
        What it is in the user's words; the rows of all periods and zones share it.
    columns, coefficients : ndarray of shape (k,)
        The variables it holds, and their coefficients.
    lower : float
        Right-hand side.
    group : int
        The periods it stands for (`Formulation.group`).
    """

    family: str
    columns: Integers
    coefficients: Floats
    lower: float
    group: int

    def slack(self, values: Floats) -> float:
        """How far above its right-hand side a solution lies."""
        return float(self.coefficients @ values[self.columns]) - self.lower

    def is_tight(self, values: Floats) -> bool:
        """Whether not even one machine fewer (or one more, where more is what it limits) would fit."""
        steps = np.abs(self.coefficients)[(self.coefficients < 0) | (values[self.columns] > 0)]
        return bool(steps.size) and self.slack(values) < steps.min() * (1.0 - 1e-6)


@dataclass(frozen=True)
class Program:
    """Minimise ``costs @ x`` over whole numbers x >= 0 that satisfy every row.

    Attributes
    ----------
    costs : ndarray of shape (n,)
        USD per unit of each variable, over all periods.
    rows : tuple of Row
        The constraints.
    relaxed : bool
        Fractions of machines are allowed (the linear relaxation).
    """

    costs: Floats
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
