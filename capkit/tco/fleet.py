"""`optimize`: the cheapest fleet that meets the demand, and the `Fleet` it returns."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from capkit.tco import explanation
from capkit.tco.decomposition import LARGE, separable, solve_by_groups
from capkit.tco.formulation import Formulation, formulate
from capkit.tco.inputs import Demand, Terms, check_scale, read_options, read_tenants
from capkit.tco.program import Program
from capkit.tco.schedule import read_periods, read_schedule
from capkit.tco.solvers import Solution, SolverLimitError, solve


class InfeasibleError(ValueError):
    """No fleet meets all constraints; the message names those in conflict."""


@dataclass(frozen=True, repr=False)
class Fleet:
    """The cheapest fleet found; prints as a table."""

    counts: pd.DataFrame
    """``name, purchase, zone, count`` (the most at any time), ``instance_hours``, ``cost_usd`` (in all);
    with tenants apart, ``pool`` in front: who shares these machines. Start-ups are not in ``cost_usd``."""
    schedule: pd.DataFrame
    """``period, name, purchase, zone, count``, for each period (and ``pool``)."""
    periods: pd.DataFrame
    """``period, cost_usd_h, machines``, and by resource ``<name>_demand``, ``<name>`` (what the fleet
    has), ``<name>_after_loss`` (what is left when the worst zones and spare machines are lost)."""
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
    problem: Mapping[str, Any] = field(compare=False)
    """What was asked: the arguments of `optimize`."""
    again: Callable[..., Fleet] = field(compare=False)
    """Solve again with some arguments of `optimize` changed."""

    def __repr__(self) -> str:
        rows = self.counts.assign(zone="zone " + self.counts["zone"].astype(str))
        keys = [c for c in ("pool", "name", "purchase") if c in rows]
        table = rows.pivot_table("count", keys, "zone", "sum", fill_value=0, sort=False)
        table = table.join(rows.groupby(keys)[["instance_hours", "cost_usd"]].sum()).reset_index()
        text = table.to_string(index=False, float_format=lambda value: f"{value:,.2f}")
        bound = ", ".join(self.binding["constraint"]) or "nothing"
        state = "optimal" if self.proven else "time limit reached"
        return (
            f"{text}\n{self.cost_usd_h:,.2f} USD/h, {self.total_cost_usd:,.2f} USD in all; "
            f"bound by: {bound} ({self.solver}: {state}, gap {self.gap:.2%})"
        )

    def explain(self) -> explanation.Explanation:
        """Why this fleet: shadow prices, next-best fleets, where the answer changes, why types are out.

        Solves the program again some three times a type; see `capkit.tco.explanation` for each table.
        """
        return explanation.explain(self)

    def to_dict(self) -> dict[str, Any]:
        """The fleet as plain data, for JSON."""
        return {
            "total_cost_usd": self.total_cost_usd,
            "cost_usd_h": self.cost_usd_h,
            "gap": self.gap,
            "proven": self.proven,
            "solver": self.solver,
            **{
                name: getattr(self, name).to_dict("records")
                for name in ("counts", "binding", "periods")
            },
        }

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` to a JSON file."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1, default=float), encoding="utf-8")

    def to_csv(self, path: str | Path) -> None:
        """Write ``counts`` to a CSV file."""
        self.counts.to_csv(path, index=False)


def optimize(
    options: pd.DataFrame,
    demand: Demand,
    *,
    solver: str = "highs",
    purchases: Sequence[str] = ("on_demand",),
    without: Sequence[tuple[str, str]] = (),
    period_h: float = 1.0,
    zones: int = 1,
    lost_zones: int | None = None,
    zone_share: float = 1.0,
    spare_machines: int = 0,
    spot_share: float = 0.3,
    minimum_each: int = 0,
    minimum_run: int = 1,
    carried: Mapping[str, ArrayLike] | None = None,
    apart: Sequence[tuple[str, str]] = (),
    caps: Mapping[str, float] | None = None,
    budgets: Mapping[str, float] | None = None,
    relaxed: bool = False,
    gap: float = 1e-4,
    time_limit_s: float = 60.0,
) -> Fleet:
    """The cheapest whole number of machines of each option that meets the demand.

    Minimise the sum of c_i x_i subject to sum of r_i x_i >= R, x_i = 0, 1, 2, ...: the integer program
    of the course's document (section 4.3), whose x in Z+ is read as "not negative". Every argument
    after ``solver``, and every optional column of ``options``, adds a step to that one program.

    Parameters
    ----------
    options : DataFrame
        One row a machine type: ``name``, ``cost_usd_h`` (on demand), ``capacity`` or one column for each
        resource in demand; for other purchases the column that `PURCHASES` names (NaN: not sold so).
        Optional: ``limit``, the most machines of it at any time (NaN: none); ``startup_usd``, the cost of
        each start of a machine that follows the load; ``spot_interruption``, the probability that a spot
        machine is away, which is then counted as that much smaller.
    demand : number, sequence (one value a period), or mapping/DataFrame of them by resource
        What must be carried, in the unit of ``capacity``. A mapping of tenants to such demands (each a
        mapping or a DataFrame, or anything where ``apart`` is given): tenants share machines.
    solver : str
        One of `installed_solvers`. A model too large for its licence is solved by HiGHS, with a warning.
    purchases : sequence of str
        Of `PURCHASES`. Reserved and owned machines are there, and paid, in every period.
    without : sequence of pairs of str
        Name and purchase of what is not to be bought.
    period_h : float
        Hours in a period.
    zones, lost_zones : int
        Availability zones, and how many of them may fail at once with the demand still met (by default
        one, if there are two or more).
    zone_share : float
        A zone holds at most this share of each resource, in every period.
    spare_machines : int
        How many machines, the largest, may fail besides (N+k).
    spot_share : float
        Spot machines hold at most this share of each resource in each zone and period.
    minimum_each : int
        Fewest machines of every type; 1 is the literal reading of x in Z+.
    minimum_run : int
        Periods that a started machine stays. Periods are then taken to repeat: the first follows the last.
    carried : mapping of str to array-like
        By type: the ``capacity`` that 1, 2, ... machines of it carry together in a zone, where that is not
        n times one's (`carried_at_slo`). Machines beyond the last entry add nothing.
    apart : sequence of pairs of str
        Tenants that may not share a machine (isolation). The program finds who shares with whom.
    caps, budgets : mapping of str to float
        The most of a column of ``options`` that all machines have together at any time (power, quotas), and
        that they use in all, with the column per hour (carbon).
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
    RuntimeError
        No fleet was found within the time limit.

    >>> options = pd.DataFrame({"name": ["small", "large"], "cost_usd_h": [1.0, 3.5], "capacity": [2, 8]})
    >>> optimize(options, 11)
     name  purchase  zone 1  instance_hours  cost_usd
    small on_demand       2            2.00      2.00
    large on_demand       1            1.00      3.50
    5.50 USD/h, 5.50 USD in all; bound by: demand for capacity (highs: optimal, gap 0.00%)
    """
    problem = dict(locals())
    terms = Terms(
        purchases=tuple(purchases),
        without=tuple((str(name), str(purchase)) for name, purchase in without),
        period_h=period_h,
        zones=zones,
        lost_zones=min(1, zones - 1) if lost_zones is None else lost_zones,
        zone_share=zone_share,
        spare_machines=spare_machines,
        spot_share=spot_share,
        minimum_each=minimum_each,
        minimum_run=minimum_run,
        carried={k: np.atleast_1d(np.asarray(v, float)) for k, v in (carried or {}).items()},
        apart=tuple((str(one), str(other)) for one, other in apart),
        caps=dict(caps or {}),
        budgets=dict(budgets or {}),
    )
    tenants = read_tenants(demand, terms.apart)
    table = read_options(options, list(next(iter(tenants.values())).columns), terms)
    check_scale(table, tenants)
    formulation = formulate(table, tenants, terms, relaxed=relaxed)
    if formulation.program.costs.size > LARGE and not relaxed:
        formulation = formulate(table, tenants, terms, reduced=True)
    try:
        solution = _solve(formulation, solver, gap, time_limit_s)
    except SolverLimitError as error:
        warnings.warn(f"{error}; solved by highs instead", stacklevel=2)
        solver = f"highs, for {solver}"
        solution = _solve(formulation, "highs", gap, time_limit_s)
    if solution.values is None:
        raise InfeasibleError(_conflict(formulation))

    def again(**changes: Any) -> Fleet:
        return optimize(**{**problem, **changes})

    return _fleet(formulation, solution, solver, problem, again)


def _solve(formulation: Formulation, solver: str, gap: float, time_limit_s: float) -> Solution:
    program, column_group = formulation.program, formulation.column_group
    if program.costs.size > LARGE and separable(program, column_group):
        weights = np.bincount(formulation.group) / formulation.group.size
        return solve_by_groups(
            program, column_group, solver, gap=gap, time_limit_s=time_limit_s, weights=weights
        )
    return solve(program, solver, gap=gap, time_limit_s=time_limit_s)


def _conflict(formulation: Formulation) -> str:
    """A smallest set of constraint families that cannot be met together, by leaving them out in turn."""
    program = Program(np.zeros_like(formulation.program.costs), formulation.program.rows)
    dropped: list[str] = []
    for family in program.families:
        if solve(program.without([*dropped, family]), "highs").values is None:
            dropped.append(family)
    conflict = []
    for family in program.without(dropped).families:
        most = max(abs(row.lower) for row in program.rows if row.family == family)
        resource = family.removeprefix("demand for ")
        peaks = [
            table[resource].max() for table in formulation.demand.values() if resource in table
        ]
        if peaks:
            family += f" (up to {sum(peaks):,.6g})"
        elif family.startswith(("limit of ", "cap on ", "budget of ")):
            family += f" (at most {most:,.6g})"
        conflict.append(family)
    return (
        f"no fleet meets all of: {'; '.join(conflict)}. "
        "Relax one of them, or add an option that serves the demand."
    )


def _fleet(
    formulation: Formulation,
    solution: Solution,
    solver: str,
    problem: Mapping[str, Any],
    again: Callable[..., Fleet],
) -> Fleet:
    program, values = formulation.program, solution.values
    assert values is not None
    schedule = read_schedule(formulation, values)
    hours = schedule["count"] * formulation.terms.period_h
    named = ["pool"] if formulation.assigned else []
    counts = (
        schedule.assign(instance_hours=hours, cost_usd=hours * schedule["usd_h"])
        .groupby([*named, "option", "name", "purchase", "zone"], as_index=False)
        .agg({"count": "max", "instance_hours": "sum", "cost_usd": "sum"})
    )
    total = float(program.costs @ values)
    tight = {(row.family, row.group) for row in program.rows if row.is_tight(values)}
    of_group = np.append(np.bincount(formulation.group), formulation.group.size)
    binding = [
        (family, sum(int(of_group[g]) for name, g in tight if name == family))
        for family in program.families
    ]
    return Fleet(
        counts=counts.drop(columns="option"),
        schedule=schedule[["period", *named, "name", "purchase", "zone", "count"]],
        periods=read_periods(formulation, schedule),
        total_cost_usd=total,
        cost_usd_h=total / (formulation.group.size * formulation.terms.period_h),
        gap=solution.gap,
        proven=solution.proven,
        binding=pd.DataFrame([b for b in binding if b[1]], columns=["constraint", "periods"]),
        solver=solver,
        problem=problem,
        again=again,
    )
