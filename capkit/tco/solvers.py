"""Solve a `Program` with any solver that PuLP reaches, quietly, and say what was proven.

PuLP 3 and 4 are both served: variables through ``LpProblem.add_variable``, and the outcome read
from what ``solve`` returns (4) or from the problem (3).
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capkit.tco.program import Floats, Program

# Name in capkit -> PuLP's classes for it, best first.
SOLVERS = {
    "highs": ("HiGHS",),
    "cbc": ("COIN_CMD", "PULP_CBC_CMD"),
    "cplex": ("CPLEX_PY", "CPLEX_CMD"),
    "gurobi": ("GUROBI", "GUROBI_CMD"),
    "scip": ("SCIP_PY", "SCIP_CMD"),
}
# Part of what a size-limited licence answers to a model that is too large for it.
TOO_LARGE = ("size-limited", "size limits exceeded", "1016")


class SolverLimitError(RuntimeError):
    """The model is larger than the installed licence of the solver takes."""


@dataclass(frozen=True)
class Solution:
    """What a solver found."""

    values: Floats | None  # the best solution, if there is one
    proven: bool  # the gap asked for was reached; otherwise the time limit was
    gap: float  # relative distance from the cost to the best bound that was proven


@contextmanager
def quiet() -> Iterator[None]:
    """Send standard output to nowhere: HiGHS (below Python) and Gurobi greet whatever ``msg`` says."""
    sys.stdout.flush()
    saved = os.dup(1)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)


def _backend(solver: str, **options: Any) -> Any:
    """PuLP's interface to a solver, or None where it is not installed."""
    import pulp

    for name in SOLVERS.get(solver, ()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PuLP 3 on its bundled CBC
            backend = getattr(pulp, name)(msg=False, **options) if hasattr(pulp, name) else None
            if backend is not None and backend.available():
                return backend
    return None


def installed_solvers() -> list[str]:
    """Names of the solvers that answer on this machine, the default first.

    >>> "highs" in installed_solvers()
    True
    """
    with quiet():
        return [solver for solver in SOLVERS if _backend(solver) is not None]


def solve(
    program: Program, solver: str, *, gap: float = 0.0, time_limit_s: float = 60.0
) -> Solution:
    """Solve a program by one of `SOLVERS`, down to a relative gap or until the time is over.

    Raises ValueError (no such solver here; those installed are listed), SolverLimitError (the model is
    too large for the solver's licence), RuntimeError (no solution in the time given).
    """
    with quiet():
        backend = _backend(solver, gapRel=gap, timeLimit=time_limit_s)
    if backend is None:
        raise ValueError(f"no solver {solver!r} here; installed: {', '.join(installed_solvers())}")
    if any(row.lower > 0.0 and not row.columns.size for row in program.rows):
        return Solution(None, proven=True, gap=0.0)  # a demand that nothing on sale serves
    with quiet():
        problem, variables = _to_pulp(program)
        try:
            outcome = problem.solve(backend)
        except Exception as error:  # each solver has an exception class of its own
            if not any(part in str(error) for part in TOO_LARGE):
                raise
            raise SolverLimitError(
                f"{solver}: its installed licence is limited in size, and this model has "
                f"{program.costs.size:,} variables and {len(program.rows):,} constraints; "
                "take solver='highs', which has no limit"
            ) from error
        found, proven = _outcome(problem, outcome)
        if not found and not proven:
            raise RuntimeError(f"{solver} found no fleet in {time_limit_s:g} s: raise time_limit_s")
        if not found:
            return Solution(None, proven=True, gap=0.0)
        values = np.array([variable.varValue for variable in variables], dtype=float)
    values = np.maximum(values, 0.0) if program.relaxed else np.abs(np.rint(values))
    if program.relaxed:
        return Solution(values, proven, 0.0)
    if solver == "highs":
        reached = float(problem.solverModel.getInfo().mip_gap)
        known = (
            bool(np.isfinite(reached)) or not program.costs @ values
        )  # nothing is cheaper than 0
        return Solution(values, proven, reached if np.isfinite(reached) else float(not known))
    return Solution(values, proven, gap if proven else _gap_to_relaxation(program, values))


def _to_pulp(program: Program) -> tuple[Any, list[Any]]:
    import pulp

    problem = pulp.LpProblem("fleet", pulp.LpMinimize)
    category = pulp.LpContinuous if program.relaxed else pulp.LpInteger
    variables = [
        problem.add_variable(f"x{index}", lowBound=0, cat=category)
        for index in range(program.costs.size)
    ]
    problem.setObjective(pulp.lpDot(program.costs.tolist(), variables))
    for row in (row for row in program.rows if row.columns.size):
        terms = [variables[column] for column in row.columns]
        problem += pulp.lpDot(row.coefficients.tolist(), terms) >= row.lower
    return problem, variables


def _outcome(problem: Any, outcome: Any) -> tuple[bool, bool]:
    """Whether there is a solution, and whether the answer is proven (optimal, or that there is none)."""
    if hasattr(outcome, "has_solution"):  # PuLP 4
        final = ("Optimal", "GapLimit", "Infeasible", "Undefined")
        return bool(outcome.has_solution), outcome.status.name in final
    if problem.status == 1:  # PuLP 3: a solution, of which sol_status 1 says that it is optimal
        return True, problem.sol_status == 1
    return False, problem.status in (-1, -3)


def _gap_to_relaxation(program: Program, values: Floats) -> float:
    """Relative distance to the linear relaxation, a bound that holds whatever the solver reports."""
    relaxation = solve(Program(program.costs, program.rows, relaxed=True), "highs")
    assert relaxation.values is not None
    cost = float(program.costs @ values)
    return (cost - float(program.costs @ relaxation.values)) / cost
