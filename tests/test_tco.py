"""The fleet optimiser: brute force, published optimum, properties, every solver, every refusal."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import require
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit.datasets import load_catalogue
from capkit.tco import (
    InfeasibleError,
    SolverLimitError,
    installed_solvers,
    net_present_cost,
    optimize,
    power_cost_usd_h,
)
from capkit.tco import solvers as solvers_module
from capkit.tco.program import Program, Row
from capkit.tco.solvers import solve

FEW = settings(max_examples=20)
OPTIONS = pd.DataFrame(
    {
        "name": ["small", "medium", "large"],
        "cost_usd_h": [0.085, 0.17, 0.36],
        "reserved_3y_usd_h": [0.031, 0.062, 0.124],
        "spot_usd_h": [0.034, 0.072, np.nan],
        "capacity": [2.0, 4.0, 9.0],
        "memory_gib": [4.0, 16.0, 16.0],
    }
)
EVERYTHING = {"purchases": ("on_demand", "reserved_3y", "spot"), "zones": 2, "gap": 0.0}
DAY = [3, 2, 4, 9, 15, 18, 11, 6]


def cheapest_by_enumeration(options, demand, purchases, zones, lost, share, most):
    """Cost of the best fleet with at most ``most`` machines of each kind, by trying every one."""
    resources = list(demand)
    price = {"on_demand": "cost_usd_h", "reserved_3y": "reserved_3y_usd_h", "spot": "spot_usd_h"}
    kinds = list(product(range(len(options)), purchases, range(zones)))
    fixed = [k for k in kinds if k[1] == "reserved_3y"]
    free = [k for k in kinds if k[1] != "reserved_3y"]

    def totals(group):
        counts = np.array(list(product(range(most + 1), repeat=len(group))), dtype=float)
        counts = counts.reshape((most + 1) ** len(group), len(group))
        cost = counts @ np.array([options.at[i, price[p]] for i, p, _ in group], dtype=float)
        amount = np.zeros((len(counts), len(resources), zones, 2))  # the last axis: firm, spot
        for column, (i, p, z) in enumerate(group):
            for k, resource in enumerate(resources):
                amount[:, k, z, int(p == "spot")] += counts[:, column] * options.at[i, resource]
        return cost, amount

    fixed_cost, fixed_amount = totals(fixed)
    free_cost, free_amount = totals(free)
    best = np.inf
    for cost, amount in zip(fixed_cost, fixed_amount, strict=True):
        both = free_amount + amount
        by_zone = both.sum(axis=3)
        kept = np.sort(by_zone, axis=2)[:, :, : zones - lost].sum(axis=2)
        fair = (both[..., 1] <= share * by_zone + 1e-9).all(axis=(1, 2))
        total = 0.0
        for needed in zip(*demand.values(), strict=True):
            good = fair & (kept >= np.array(needed) - 1e-9).all(axis=1)
            total += free_cost[good].min() + cost if good.any() else np.inf
        best = min(best, total)
    return best


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 40)), min_size=1, max_size=3),
    st.integers(0, 25),
)
@FEW
def test_document_program_equals_brute_force(machines, demand):
    capacity, cents = (np.array(values, dtype=float) for values in zip(*machines, strict=True))
    options = pd.DataFrame(
        {"name": [f"m{i}" for i in range(len(machines))], "cost_usd_h": cents, "capacity": capacity}
    )
    counts = np.array(list(product(range(26), repeat=len(machines))))
    best = (counts @ cents)[counts @ capacity >= demand].min()
    assert optimize(options, demand, gap=0.0).cost_usd_h == pytest.approx(best)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=2),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=3),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
@FEW
def test_purchases_and_two_resources_equal_brute_force(machines, demand, share):
    options = OPTIONS.iloc[:2].assign(
        capacity=[float(m[0]) for m in machines], memory_gib=[float(m[1]) for m in machines]
    )
    names = ("capacity", "memory_gib")
    needed = {n: [float(d[k]) for d in demand] for k, n in enumerate(names)}
    purchases = ("on_demand", "reserved_3y", "spot")
    best = cheapest_by_enumeration(options, needed, purchases, 1, 0, share, most=6)
    fleet = optimize(options, needed, purchases=purchases, spot_share=share, gap=0.0)
    assert fleet.total_cost_usd == pytest.approx(best)


@pytest.mark.parametrize(("zones", "lost"), [(2, 1), (3, 1), (3, 2)])
def test_zones_equal_brute_force(zones, lost):
    options = OPTIONS.iloc[:2].assign(capacity=[2.0, 3.0])
    for needed in (1.0, 4.0, 5.0, 6.0):
        demand = {"capacity": [needed]}
        best = cheapest_by_enumeration(options, demand, ("on_demand",), zones, lost, 0.3, most=3)
        fleet = optimize(options, needed, zones=zones, lost_zones=lost, gap=0.0)
        assert fleet.total_cost_usd == pytest.approx(best)
        assert fleet.periods["capacity_after_loss"].min() >= needed


def test_one_zone_solved_for_both_costs_the_same_as_both_solved_together():
    tied = OPTIONS.assign(limit=[1e6, np.nan, np.nan])  # a limit far away ties the zones together
    together = optimize(tied, DAY, **EVERYTHING)
    assert optimize(OPTIONS, DAY, **EVERYTHING).total_cost_usd == pytest.approx(
        together.total_cost_usd
    )


def test_on_demand_periods_are_independent_of_each_other():
    alone = sum(optimize(OPTIONS, d, gap=0.0).total_cost_usd for d in DAY)
    assert optimize(OPTIONS, DAY, gap=0.0).total_cost_usd == pytest.approx(alone)


def test_published_melange_example_with_assignment_columns():
    """Melange (Griggs et al. 2024), its README's example: 3 x A10G and 1 x A100, 6.70 USD/h."""
    rate = 30.0 * np.array([0.2, 0.1, 0.5, 0.2])
    load = np.array([rate / [2.0, 1.0, 5.0, 2.0], rate / [20.0, 20.0, 40.0, 20.0]])
    costs = np.array([1.01, 3.67] + [0.0] * 8)  # machines of each type, then bucket b on type t
    column = 2 + np.arange(8).reshape(2, 4)
    rows = [Row("served", column[:, b], np.ones(2), 1.0, 0) for b in range(4)]
    for t in range(2):
        inside = np.concatenate([[t], column[t]])
        rows.append(Row("enough machines", inside, np.concatenate([[1.0], -load[t]]), 0.0, 0))
    solution = solve(Program(costs, tuple(rows)), "highs")
    assert solution.values[:2].tolist() == [3, 1]
    assert costs @ solution.values == pytest.approx(6.70)


def test_positive_integer_slip_forces_one_of_every_type():
    as_meant, as_written = (optimize(OPTIONS, 4, minimum_each=n, gap=0.0) for n in (0, 1))
    assert as_meant.cost_usd_h == pytest.approx(0.17)
    assert as_written.cost_usd_h == pytest.approx(0.085 + 0.17 + 0.36)
    assert set(as_written.counts["name"]) == {"small", "medium", "large"}


@given(st.lists(st.integers(0, 20), min_size=1, max_size=3), st.integers(1, 5))
@settings(FEW, max_examples=8)
def test_cost_never_falls_when_demand_or_redundancy_rises(demand, more):
    purchases = ("on_demand", "reserved_3y", "spot")

    def cost(needed, **terms):
        return optimize(OPTIONS, needed, purchases=purchases, gap=0.0, **terms).total_cost_usd

    base = cost(demand)
    assert cost([d + more for d in demand]) >= base - 1e-9
    assert base - 1e-9 <= cost(demand, zones=3) <= cost(demand, zones=3, lost_zones=2) + 1e-9
    assert cost(demand, spot_share=0.1) >= base - 1e-9
    assert cost(demand, relaxed=True) <= base + 1e-9


def test_a_further_purchase_never_costs_more():
    costs = [
        optimize(OPTIONS, DAY, purchases=purchases, gap=0.0).total_cost_usd
        for purchases in (("on_demand",), ("on_demand", "reserved_3y"), EVERYTHING["purchases"])
    ]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("solver", installed_solvers())
def test_every_installed_solver_finds_the_same_optimum(solver, capfd):
    for demand, terms in (
        (23.5, {}),
        (23.5, {"relaxed": True}),
        (23.5, {"minimum_each": 1}),
        (DAY, EVERYTHING),
        (DAY, EVERYTHING | {"zones": 3}),
        ({"capacity": DAY, "memory_gib": 40}, EVERYTHING),
    ):
        terms = {"gap": 0.0} | terms
        reference = optimize(OPTIONS, demand, **terms)
        fleet = optimize(OPTIONS, demand, solver=solver, **terms)
        assert fleet.proven and fleet.gap <= 1e-9
        assert fleet.total_cost_usd == pytest.approx(reference.total_cost_usd, rel=1e-7)
    assert capfd.readouterr().out == ""


def test_fleet_adds_up_and_prints():
    fleet = optimize(
        OPTIONS,
        {"capacity": DAY, "memory_gib": 40},
        **EVERYTHING,
        period_h=2.0,
        spot_share=0.25,
    )
    hours = 2.0 * len(DAY)
    assert fleet.cost_usd_h * hours == pytest.approx(fleet.total_cost_usd)
    assert fleet.periods["cost_usd_h"].sum() * 2.0 == pytest.approx(fleet.total_cost_usd)
    assert fleet.schedule["count"].sum() * 2.0 == pytest.approx(
        fleet.counts["instance_hours"].sum()
    )
    assert (fleet.periods["capacity_after_loss"] >= DAY).all()
    assert (fleet.periods["memory_gib_after_loss"] >= 40).all()
    merged = fleet.schedule.merge(OPTIONS, on="name")
    merged["amount"] = merged["count"] * merged["capacity"]
    spot = merged["amount"].where(merged["purchase"] == "spot", 0.0)
    keys = [merged["period"], merged["zone"]]
    assert (spot.groupby(keys).sum() <= 0.25 * merged["amount"].groupby(keys).sum() + 1e-9).all()
    reserved = fleet.schedule[fleet.schedule["purchase"] == "reserved_3y"]
    assert (
        reserved.groupby(["name", "zone"])["count"].agg(["nunique", "size"]) == [1, len(DAY)]
    ).all(axis=None)
    assert "demand for memory_gib" in set(fleet.binding["constraint"])
    assert "zone 2" in repr(fleet) and "optimal" in repr(fleet)


def test_no_demand_needs_no_machine():
    fleet = optimize(OPTIONS, [0, 0])
    assert fleet.total_cost_usd == 0 and fleet.counts.empty and len(fleet.periods) == 2
    assert "0.00 USD/h" in repr(fleet)


def test_infeasible_names_the_constraints_in_conflict():
    scarce = OPTIONS.assign(limit=[2, 1, 0])
    with pytest.raises(InfeasibleError, match=r"demand for capacity \(up to 12\)") as refused:
        optimize(scarce, {"capacity": [3, 12], "memory_gib": 1})
    message = str(refused.value)
    assert "limit of small (at most 2)" in message and "limit of large (at most 0)" in message
    assert "memory" not in message
    with pytest.raises(
        InfeasibleError, match=r"minimum of each option; limit of large|limit of large"
    ):
        optimize(scarce, 1, minimum_each=1)
    with pytest.raises(InfeasibleError, match="spot share"):
        optimize(OPTIONS.dropna(), 5, purchases=["spot"])


@pytest.mark.parametrize(
    ("change", "terms", "message"),
    [
        ({"cost_usd_h": [-1.0, 1.0, 1.0]}, {}, r"cost_usd_h is negative for \['small'\]"),
        ({"cost_usd_h": [np.nan, 1.0, 1.0]}, {}, r"cost_usd_h is missing for \['small'\]"),
        ({"capacity": [2.0, 0.0, 1.0]}, {}, r"capacity must be positive.*\['medium'\]"),
        ({"name": ["small", "small", "large"]}, {}, "each name once"),
        ({}, {"purchases": ["reserved_1y"]}, r"lacks the columns \['reserved_1y_usd_h'\]"),
        ({}, {"purchases": ["rented"]}, "purchases must name some of on_demand"),
        ({}, {"demand": {"network_gbps": 1}}, r"lacks the columns \['network_gbps'\]"),
        ({}, {"demand": -1}, "demand for capacity must be finite"),
        ({}, {"demand": {"capacity": [1, 2], "memory_gib": [1, 2, 3]}}, "got lengths"),
        ({}, {"zones": 2, "lost_zones": 2}, "lost_zones must lie"),
        ({}, {"zones": 0}, "zones must be at least 1, got 0"),
        ({}, {"spot_share": 1.5}, "share between 0 and 1"),
        ({}, {"period_h": 0}, "positive number of hours"),
        ({"limit": [-1, 0, 0]}, {}, r"limit is negative for \['small'\]"),
    ],
)
def test_bad_input_is_refused_by_name(change, terms, message):
    demand = terms.pop("demand", 5)
    with pytest.raises(ValueError, match=message):
        optimize(OPTIONS.assign(**change), demand, **terms)


def test_unknown_solver_lists_the_installed_ones():
    with pytest.raises(ValueError, match=r"no solver 'simplex' here; installed: highs"):
        optimize(OPTIONS, 5, solver="simplex")


@pytest.mark.parametrize(
    "words",
    [
        "Model too large for size-limited license; visit https://gurobi.com/unrestricted",
        "CPLEX Error  1016: Community Edition. Problem size limits exceeded.",
    ],
)
def test_a_model_too_large_for_its_licence_is_solved_by_highs_and_says_so(monkeypatch, words):
    class Limited:
        def solve(self, *_):
            raise RuntimeError(words)

    usual = solvers_module._to_pulp
    tried = []

    def limited_once(program):
        tried.append(program)
        return (Limited(), []) if len(tried) == 1 else usual(program)

    monkeypatch.setattr(solvers_module, "_to_pulp", limited_once)
    with pytest.warns(
        UserWarning, match=r"cbc: its installed licence is limited.*by highs instead"
    ):
        fleet = optimize(OPTIONS, 5, solver="cbc")
    assert fleet.total_cost_usd == optimize(OPTIONS, 5).total_cost_usd
    assert fleet.solver == "highs, for cbc"


@pytest.mark.more
@pytest.mark.parametrize("solver", ["cplex", "gurobi"])
def test_limited_licence_gives_the_optimum_and_solves_a_large_model_in_parts(solver):
    require(solver in installed_solvers(), solver, 'python -m pip install -e ".[solvers]"')
    assert optimize(OPTIONS, 5, solver=solver).cost_usd_h == optimize(OPTIONS, 5).cost_usd_h
    demand = {"capacity": np.arange(1.0, 420.0), "memory_gib": np.arange(420.0, 1.0, -1.0)}
    with pytest.raises(SolverLimitError, match=solver):
        rows = [Row("served", np.array([n]), np.ones(1), 0.5, 0) for n in range(2_500)]
        solve(Program(np.ones(2_500), tuple(rows)), solver)
    fleet = optimize(OPTIONS, demand, solver=solver, purchases=("on_demand", "spot"))
    assert fleet.solver == solver  # by groups of periods, each small enough for the licence


def test_time_limit_returns_the_best_found_with_its_gap():
    rng = np.random.default_rng(1)
    demand = {
        "capacity": 10 + rng.integers(0, 30, 20),
        "memory_gib": 20 + rng.integers(0, 90, 20),
    }
    fleet = optimize(OPTIONS, demand, **EVERYTHING | {"zones": 3}, time_limit_s=0.3)
    assert not fleet.proven and 0.0 < fleet.gap < 0.5
    assert "time limit reached" in repr(fleet)
    assert (fleet.periods["memory_gib_after_loss"] >= demand["memory_gib"]).all()


def test_shipped_catalogue_is_dated_and_buys_a_fleet():
    catalogue = load_catalogue()
    assert pd.to_datetime(catalogue["as_of"]).notna().all()
    for _, rows in catalogue.groupby("provider"):
        options = rows.rename(columns={"on_demand_usd_h": "cost_usd_h", "vcpus": "capacity"})
        fleet = optimize(options, 100, gap=0.0)
        assert fleet.periods["capacity"].item() >= 100
        assert fleet.cost_usd_h >= 100 * (options["cost_usd_h"] / options["capacity"]).min() - 1e-9


def test_net_present_cost_of_an_annuity():
    """Ordinary annuity: (1 - 1.1**-3) / 0.1 = 2.486852 yearly payments."""
    rent = net_present_cost(years=3, discount_rate=0.10, usd_h=1.0)
    assert rent == pytest.approx(8760 * (1 - 1.1**-3) / 0.1)
    own = net_present_cost(years=3, discount_rate=0.10, purchase_usd=1000.0, residual_usd=133.1)
    assert own == pytest.approx(900.0)
    undiscounted = net_present_cost(
        years=2, discount_rate=0.0, usd_h=power_cost_usd_h(500.0, pue=1.2, electricity_usd_kwh=0.1)
    )
    assert undiscounted == pytest.approx(2 * 8760 * 0.06)


def test_ownership_refuses_what_cannot_be():
    with pytest.raises(ValueError, match=r"at least 1; got 0\.9"):
        power_cost_usd_h(100.0, pue=0.9, electricity_usd_kwh=0.1)
    with pytest.raises(ValueError, match="purchase_usd must be finite"):
        net_present_cost(years=3, discount_rate=0.1, purchase_usd=-1.0)
    with pytest.raises(ValueError, match="years must be at least 1"):
        net_present_cost(years=0, discount_rate=0.1)
