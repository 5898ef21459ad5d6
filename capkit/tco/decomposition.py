"""Large programs: the commitments first, then every group of periods by itself.

Only the machines that are there in all periods tie the periods together. Once their number is fixed, each
group of periods is a small covering problem of its own: that gives fleets. Once each group may choose
them for itself, at its share of their price (the dual prices of the relaxation say which share is fair),
the groups are independent again, and the sum of their optima is a lower bound on the cost of every fleet
(Lagrangian decomposition; Geoffrion 1974). It lies above the linear relaxation, because each group buys
whole machines.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from capkit.tco.program import EVERY, Floats, Integers, Program
from capkit.tco.solvers import Solution, solve

LARGE = 500
"""Variables from which on a program is decomposed, where it can be."""
NOISE = 1e-9  # USD; what a dual price is not exact to
FIRST = 0.25  # share of the time for the commitments


def separable(program: Program, column_group: Integers) -> bool:
    """Whether no row ties two groups of periods together, except through commitments."""
    if program.relaxed or column_group.max(initial=EVERY) < 1:
        return False
    return all(np.isin(column_group[row.columns], (EVERY, row.group)).all() for row in program.rows)


@dataclass(frozen=True)
class _Group:
    """The rows of a group of periods, its own variables, and these with those of all groups."""

    rows: Integers
    own: Integers
    both: Integers


def solve_by_groups(
    program: Program,
    column_group: Integers,
    solver: str,
    *,
    gap: float,
    time_limit_s: float,
    weights: Floats,
) -> Solution:
    """Solve a separable program; ``weights`` are the shares of the periods by group.

    The fleet is as good as its gap says: commitments are chosen once, and not revised.
    """
    deadline = time.monotonic() + time_limit_s
    lower = np.array([row.lower for row in program.rows])
    relaxation = linprog(program.costs, A_ub=-program.matrix, b_ub=-lower, method="highs")
    if relaxation.status == 2:
        return Solution(None, proven=True, gap=0.0)
    shared = column_group == EVERY
    values = np.zeros(program.costs.size)
    if shared.any():
        first = milp(
            program.costs,
            constraints=LinearConstraint(program.matrix, lb=lower),
            integrality=shared.astype(int),
            bounds=Bounds(lb=0.0),
            options={"mip_rel_gap": gap / 10.0, "time_limit": FIRST * time_limit_s},
        )
        if first.x is None:
            return solve(program, solver, gap=gap, time_limit_s=time_limit_s)
        values[shared] = np.rint(first.x[shared])

    duals = -relaxation.ineqlin.marginals
    left_over = np.maximum(program.costs - duals @ program.matrix, 0.0)  # reduced costs
    bound, groups = 0.0, _groups(program, column_group)
    for done, group in enumerate(groups):
        each_s = (deadline - time.monotonic()) / (len(groups) - done) / (1 + shared.any())
        limits = {"gap": gap / 4.0, "time_limit_s": max(each_s, 0.05)}
        fair = duals[group.rows] @ program.matrix[group.rows] + weights[done] * left_over
        price = np.where(shared, np.where(np.abs(fair) < NOISE, 0.0, fair), program.costs)
        free = solve(_part(program, group.rows, group.both, price), solver, **limits)
        if free.values is None:
            return Solution(None, proven=True, gap=0.0)
        bound += float(price[group.both] @ free.values) * (1.0 - free.gap)
        if shared.any():
            part = _part(program, group.rows, group.own, program.costs, values)
            own = np.isin(group.both, group.own)  # its share of the cost is all that is at stake
            at_stake = float(program.costs[group.own] @ free.values[own])
            if at_stake > 0.0:
                total = at_stake + weights[done] * float(program.costs[shared] @ values[shared])
                limits["gap"] *= total / at_stake
            fixed = solve(part, solver, **limits)
            if fixed.values is None:  # these commitments leave no way: all at once, then
                left_s = max(deadline - time.monotonic(), 1.0)
                return solve(program, solver, gap=gap, time_limit_s=left_s)
            values[group.own] = fixed.values
        else:
            values[group.own] = free.values
    cost = float(program.costs @ values)
    reached = max((cost - max(bound, relaxation.fun)) / cost, 0.0) if cost else 0.0
    return Solution(values, proven=reached <= gap, gap=reached)


def _groups(program: Program, column_group: Integers) -> list[_Group]:
    row_group = np.array([row.group for row in program.rows])
    return [
        _Group(
            np.flatnonzero(row_group == g),
            np.flatnonzero(column_group == g),
            np.flatnonzero(np.isin(column_group, (EVERY, g))),
        )
        for g in range(int(column_group.max()) + 1)
    ]


def _part(
    program: Program, rows: Integers, kept: Integers, prices: Floats, fixed: Floats | None = None
) -> Program:
    """Some rows over some variables, renumbered; the others keep their fixed values, or are in no row."""
    place = np.full(program.costs.size, -1)
    place[kept] = np.arange(kept.size)
    parts = []
    for row in (program.rows[index] for index in rows):
        inside = place[row.columns] >= 0
        met = 0.0 if fixed is None else row.coefficients[~inside] @ fixed[row.columns[~inside]]
        columns, coefficients = place[row.columns[inside]], row.coefficients[inside]
        less = row.lower - float(met)
        parts.append(
            replace(row, columns=columns, coefficients=coefficients, lower=less, steps=None)
        )
    return Program(prices[kept], tuple(parts))
