"""`optimize`: the cheapest fleet that meets the demand, and the `Fleet` it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capkit.tco.formulation import Demand, Formulation, Terms, formulate, read_demand, read_options
from capkit.tco.program import Floats, Program
from capkit.tco.solvers import Solution, solve


class InfeasibleError(ValueError):
    """No fleet meets all constraints; the message names those in conflict."""


@dataclass(frozen=True, repr=False)
class Fleet:
    """The cheapest fleet found; prints as a table."""

    counts: pd.DataFrame
    """``name, purchase, zone, count`` (the most at any time), ``instance_hours``, ``cost_usd`` (in all)."""
    schedule: pd.DataFrame
    """``period, name, purchase, zone, count``, for each period."""
    periods: pd.DataFrame
    """``period, cost_usd_h, machines``, and by resource ``<name>_demand``, ``<name>`` (what the fleet
    has), ``<name>_after_loss`` (what is left when the largest zones are lost)."""
    total_cost_usd: float
    cost_usd_h: float
    """Mean over all periods."""
    gap: float
    """Relative distance of the cost to the best bound that was proven."""
    proven: bool
    """The gap that was asked for was reached; False when the time limit came first."""
    binding: pd.DataFrame
    """``constraint``s that stop the fleet from being one machine smaller, and in how many ``periods``."""
    solver: str

    def __repr__(self) -> str:
        rows = self.counts.assign(zone="zone " + self.counts["zone"].astype(str))
        keys = ["name", "purchase"]
        table = rows.pivot_table("count", keys, "zone", "sum", fill_value=0, sort=False)
        table = table.join(rows.groupby(keys)[["instance_hours", "cost_usd"]].sum()).reset_index()
        text = table.to_string(index=False, float_format=lambda value: f"{value:,.2f}")
        bound = ", ".join(self.binding["constraint"]) or "nothing"
        state = "optimal" if self.proven else "time limit reached"
        return (
            f"{text}\n{self.cost_usd_h:,.2f} USD/h, {self.total_cost_usd:,.2f} USD in all; "
            f"bound by: {bound} ({self.solver}: {state}, gap {self.gap:.2%})"
        )


def optimize(
    options: pd.DataFrame,
    demand: Demand,
    *,
    solver: str = "highs",
    purchases: Sequence[str] = ("on_demand",),
    period_h: float = 1.0,
    zones: int = 1,
    lost_zones: int | None = None,
    spot_share: float = 0.3,
    minimum_each: int = 0,
    relaxed: bool = False,
    gap: float = 1e-4,
    time_limit_s: float = 60.0,
) -> Fleet:
    """The cheapest whole number of machines of each option that meets the demand.

    Minimise the sum of c_i x_i subject to sum of r_i x_i >= R, x_i = 0, 1, 2, ...: the integer program
    of the course's document (section 4.3), whose x in Z+ is read as "not negative". Every argument
    after ``solver`` adds a step to that one program.

    Parameters
    ----------
    options : DataFrame
        One row a machine type: ``name``, ``cost_usd_h`` (on demand), ``capacity`` or one column for each
        resource in demand; for other purchases ``reserved_1y_usd_h``, ``reserved_3y_usd_h``,
        ``spot_usd_h`` (NaN: not sold so); ``limit``, the most machines of it at any time (NaN: none).
    demand : number, sequence (one value a period), or mapping/DataFrame of them by resource
        What must be carried, in the unit of ``capacity``.
    solver : str
        One of `installed_solvers`.
    purchases : sequence of str
        Of `PURCHASES`. Reserved machines are there, and paid, in every period; the others follow.
    period_h : float
        Hours in a period.
    zones, lost_zones : int
        Availability zones, and how many of them may fail at once with the demand still met (by default
        one, if there are two or more).
    spot_share : float
        Spot machines hold at most this share of each resource in each zone and period.
    minimum_each : int
        Fewest machines of every type; 1 is the literal reading of x in Z+.
    relaxed : bool
        Allow fractions of machines: the linear relaxation, a lower bound on the cost.
    gap, time_limit_s : float
        Relative gap, and seconds, at which the solver stops.

    Raises
    ------
    ValueError
        Bad input, or an unknown solver (the message lists those installed).
    InfeasibleError
        No fleet meets everything; the message names a smallest set of constraints in conflict.
    SolverLimitError
        The model is too large for the solver's licence.

    >>> options = pd.DataFrame({"name": ["small", "large"], "cost_usd_h": [1.0, 3.5], "capacity": [2, 8]})
    >>> optimize(options, 11)
     name  purchase  zone 1  instance_hours  cost_usd
    small on_demand       2            2.00      2.00
    large on_demand       1            1.00      3.50
    5.50 USD/h, 5.50 USD in all; bound by: demand for capacity (highs: optimal, gap 0.00%)
    """
    if lost_zones is None:
        lost_zones = min(1, zones - 1)
    terms = Terms(tuple(purchases), period_h, zones, lost_zones, spot_share, minimum_each)
    wanted = read_demand(demand)
    table = read_options(options, list(wanted.columns), terms)
    formulation = formulate(table, wanted, terms, relaxed=relaxed)
    solution = solve(formulation.program, solver, gap=gap, time_limit_s=time_limit_s)
    if solution.values is None:
        raise InfeasibleError(_conflict(formulation, solver))
    return _fleet(formulation, terms, solution, solver)


def _conflict(formulation: Formulation, solver: str) -> str:
    """A smallest set of constraint families that cannot be met together, by leaving them out in turn."""
    program = Program(np.zeros_like(formulation.program.costs), formulation.program.rows)
    dropped: list[str] = []
    for family in program.families:
        if solve(program.without([*dropped, family]), solver).values is None:
            dropped.append(family)
    conflict = []
    for family in program.without(dropped).families:
        lower = [row.lower for row in program.rows if row.family == family]
        resource = family.removeprefix("demand for ")
        if resource in formulation.demand:
            family += f" (up to {formulation.demand[resource].max():,.6g})"
        elif family.startswith("limit of "):
            family += f" (at most {-min(lower):,.0f})"
        conflict.append(family)
    return (
        f"no fleet meets all of: {'; '.join(conflict)}. "
        "Relax one of them, or add an option that serves the demand."
    )


def _fleet(formulation: Formulation, terms: Terms, solution: Solution, solver: str) -> Fleet:
    program, values = formulation.program, solution.values
    assert values is not None
    schedule = _schedule(formulation, values)
    hours = schedule["count"] * terms.period_h
    counts = (
        schedule.assign(instance_hours=hours, cost_usd=hours * schedule["usd_h"])
        .groupby(["option", "name", "purchase", "zone"], as_index=False)
        .agg({"count": "max", "instance_hours": "sum", "cost_usd": "sum"})
    )
    total = float(counts["cost_usd"].sum())
    tight = {(row.family, row.group) for row in program.rows if row.is_tight(values)}
    of_group = np.bincount(formulation.group)
    binding = [
        (family, sum(int(of_group[g]) for name, g in tight if name == family))
        for family in program.families
    ]
    return Fleet(
        counts=counts.drop(columns="option"),
        schedule=schedule.drop(columns=["option", "usd_h"]),
        periods=_periods(formulation, terms, schedule),
        total_cost_usd=total,
        cost_usd_h=total / (len(formulation.demand) * terms.period_h),
        gap=solution.gap,
        proven=solution.proven,
        binding=pd.DataFrame([b for b in binding if b[1]], columns=["constraint", "periods"]),
        solver=solver,
    )


def _schedule(formulation: Formulation, values: Floats) -> pd.DataFrame:
    """Machines in use: one row a period, option, purchase and zone."""
    names = formulation.options["name"]
    rows = [
        (period, use.option, names[use.option], use.purchase, zone + 1, count, use.usd_h)
        for use, count in zip(formulation.columns, values, strict=True)
        if count > 1e-9
        for zone in range(use.zone, use.zone + formulation.zone_copies)
        for period in np.flatnonzero((use.group == -1) | (formulation.group == use.group))
    ]
    columns = ["period", "option", "name", "purchase", "zone", "count", "usd_h"]
    table = pd.DataFrame(rows, columns=columns)
    whole = {} if formulation.program.relaxed else {"count": int}
    order = ["period", "option", "purchase", "zone"]
    return table.astype(whole).sort_values(order, ignore_index=True)


def _periods(formulation: Formulation, terms: Terms, schedule: pd.DataFrame) -> pd.DataFrame:
    """What each period has, costs and needs."""
    demand = formulation.demand
    spent = schedule.assign(
        cost_usd_h=schedule["count"] * schedule["usd_h"], machines=schedule["count"]
    )
    table = spent.groupby("period")[["cost_usd_h", "machines"]].sum()
    table = table.reindex(demand.index, fill_value=0).rename_axis("period").reset_index()
    for resource in demand:
        amount = schedule["count"] * formulation.options[resource].to_numpy()[schedule["option"]]
        by_zone = np.zeros((len(demand), terms.zones))
        np.add.at(by_zone, (schedule["period"], schedule["zone"] - 1), amount)
        survive = np.sort(by_zone, axis=1)[:, : terms.zones - terms.lost_zones]
        table[f"{resource}_demand"] = demand[resource]
        table[resource] = by_zone.sum(axis=1)
        table[f"{resource}_after_loss"] = survive.sum(axis=1)
    return table
