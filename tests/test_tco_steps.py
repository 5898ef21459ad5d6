"""Each step of the program against brute force, and large programs against small ones."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import require
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit import queueing
from capkit.tco import (
    InfeasibleError,
    Ownership,
    carried_at_slo,
    installed_solvers,
    net_present_cost,
    optimize,
)
from capkit.tco import fleet as fleet_module

FEW = settings(max_examples=12)
OPTIONS = pd.DataFrame(
    {
        "name": ["small", "large"],
        "cost_usd_h": [1.0, 2.2],
        "reserved_3y_usd_h": [0.4, 1.0],
        "spot_usd_h": [0.3, 0.8],
        "capacity": [2.0, 5.0],
        "power_w": [100.0, 180.0],
    }
)
MIXES = np.array(list(product(range(13), repeat=2)))
COSTS = MIXES @ OPTIONS["cost_usd_h"].to_numpy()
AMOUNTS = MIXES @ OPTIONS["capacity"].to_numpy()
STEPS = {
    "several resources": ({"capacity": [7, 12], "power_w": 300}, {}),
    "purchases": ([7, 12, 3], {"purchases": ("on_demand", "reserved_3y", "spot")}),
    "zones": ([7, 12], {"zones": 3, "zone_share": 0.4}),
    "spare machines": ([7, 12], {"spare_machines": 2}),
    "capacity at the SLO": ([7, 12], {"carried": {"small": [1, 3, 5.5, 8], "large": [4, 9, 15]}}),
    "start-ups": ([7, 2, 12], {"minimum_run": 2}),
    "tenants": ({"a": [7, 2], "b": [3, 8], "c": 1}, {"apart": [("a", "b")]}),
    "caps": ([7, 12], {"caps": {"power_w": 500.0}, "budgets": {"power_w": 900.0}}),
}


@given(st.integers(0, 12), st.integers(0, 3))
@FEW
def test_spare_machines_equal_brute_force(demand, spare):
    def left(mix):
        sizes = sorted(np.repeat(OPTIONS["capacity"], mix))
        return sum(sizes[: max(len(sizes) - spare, 0)])

    best = COSTS[[left(mix) >= demand for mix in MIXES]].min()
    fleet = optimize(OPTIONS, demand, spare_machines=spare, gap=0.0)
    assert fleet.total_cost_usd == pytest.approx(best)
    assert fleet.periods["capacity_after_loss"].item() >= demand - 1e-9


@given(st.lists(st.integers(0, 6), min_size=6, max_size=6), st.integers(0, 12))
@FEW
def test_tables_of_what_pools_carry_equal_brute_force(gains, demand):
    tables = {"small": np.cumsum([1, *gains[:3]]), "large": np.cumsum([3, *gains[3:]])}
    small, large = (
        np.append([0], tables[name])[np.minimum(MIXES[:, i], 4)] for i, name in enumerate(tables)
    )
    enough = small + large >= demand
    if not enough.any():
        with pytest.raises(InfeasibleError, match="demand for capacity"):
            optimize(OPTIONS, demand, carried=tables)
        return
    fleet = optimize(OPTIONS, demand, carried=tables, gap=0.0)
    assert fleet.total_cost_usd == pytest.approx(COSTS[enough].min())
    assert fleet.periods["capacity"].item() >= demand


def test_tables_hold_in_every_surviving_zone_and_for_every_purchase():
    tables = {"small": [1, 3, 5, 7], "large": [4, 9, 14]}
    fleet = optimize(
        OPTIONS, [9, 4], carried=tables, zones=3, purchases=("on_demand", "reserved_3y"), gap=0.0
    )
    rates = {name: np.append(0, table) for name, table in tables.items()}
    for period, needed in enumerate((9, 4)):
        now = fleet.schedule[fleet.schedule["period"] == period]
        machines = now.groupby(["zone", "name"])["count"].sum()
        by_zone = (
            pd.Series({key: rates[key[1]][n] for key, n in machines.items()}).groupby(level=0).sum()
        )
        assert by_zone.reindex([1, 2, 3], fill_value=0).nsmallest(2).sum() >= needed


@given(
    st.lists(st.integers(0, 8), min_size=3, max_size=4),
    st.integers(1, 3),
    st.sampled_from([0, 1.5]),
)
@FEW
def test_start_ups_and_minimum_run_equal_brute_force(demand, run, startup_usd):
    options = OPTIONS.iloc[:1].assign(startup_usd=startup_usd)
    best = np.inf
    for counts in product(range(5), repeat=len(demand)):
        x = np.array(counts)
        starts = np.maximum(x - np.roll(x, 1), 0)
        recent = sum(np.roll(starts, back) for back in range(min(run, len(x))))
        if (2 * x >= demand).all() and (x >= recent).all():
            best = min(best, x.sum() + startup_usd * starts.sum())
    fleet = optimize(options, demand, minimum_run=run, gap=0.0)
    assert fleet.total_cost_usd == pytest.approx(best)


@given(
    st.lists(st.integers(1, 6), min_size=3, max_size=3),
    st.sets(st.sampled_from(["ab", "ac", "bc"])),
)
@FEW
def test_tenants_apart_equal_every_partition(needs, pairs):
    demand, apart = dict(zip("abc", needs, strict=True)), [tuple(pair) for pair in pairs]
    best = np.inf
    for pools in product(range(3), repeat=3):
        home = dict(zip("abc", pools, strict=True))
        if all(home[one] != home[other] for one, other in apart):
            sums = [sum(n for t, n in demand.items() if home[t] == p) for p in range(3)]
            best = min(best, sum(COSTS[s <= AMOUNTS].min() for s in sums))
    nested = {name: {"capacity": need} for name, need in demand.items()}
    fleet = optimize(OPTIONS, nested, apart=apart, gap=0.0)
    assert fleet.total_cost_usd == pytest.approx(best)
    if apart:
        together = [set(pool.split(" + ")) for pool in fleet.counts["pool"].unique()]
        assert not any(set(pair) <= pool for pair in apart for pool in together)
        assert set.union(*together) == set("abc")


@pytest.mark.parametrize("demand", [4, 9, 13])
def test_caps_and_budgets_equal_brute_force(demand):
    power = MIXES @ OPTIONS["power_w"].to_numpy()
    fits = (demand <= AMOUNTS) & (power <= 50 * demand)
    best = COSTS[fits].min()
    for terms in ({"caps": {"power_w": 50 * demand}}, {"budgets": {"power_w": 100 * demand}}):
        fleet = optimize(OPTIONS, demand, period_h=2.0, gap=0.0, **terms)
        assert fleet.cost_usd_h == pytest.approx(best)
    with pytest.raises(
        InfeasibleError, match=r"demand for capacity.*cap on power_w \(at most 30\)"
    ):
        optimize(OPTIONS, demand, caps={"power_w": 30})


def test_a_zone_holds_at_most_its_share():
    fleet = optimize(OPTIONS, [9, 14], zones=3, lost_zones=0, zone_share=0.4, gap=0.0)
    amount = fleet.schedule.merge(OPTIONS, on="name")
    amount["amount"] = amount["count"] * amount["capacity"]
    for _, period in amount.groupby("period"):
        by_zone = period.groupby("zone")["amount"].sum()
        assert by_zone.max() <= 0.4 * by_zone.sum() + 1e-9 and by_zone.sum() >= 9


def test_a_spot_machine_that_is_often_away_counts_for_less():
    away = OPTIONS.assign(spot_interruption=[0.5, 0.5])
    fleet = optimize(away, 7, purchases=["spot"], spot_share=1.0, gap=0.0)
    halves = MIXES @ (OPTIONS["capacity"].to_numpy() / 2) >= 7
    assert fleet.total_cost_usd == pytest.approx((MIXES @ OPTIONS["spot_usd_h"])[halves].min())


def test_what_is_barred_is_not_bought():
    fleet = optimize(OPTIONS, 10, without=[("large", "on_demand")])
    assert set(fleet.counts["name"]) == {"small"}


@pytest.mark.more
@pytest.mark.parametrize("solver", ["cbc", "cplex", "gurobi", "scip"])
@pytest.mark.parametrize("step", STEPS)
def test_every_solver_agrees_on_every_step(step, solver):
    require(solver in installed_solvers(), solver, 'python -m pip install -e ".[solvers]"')
    demand, terms = STEPS[step]
    costs = [
        optimize(OPTIONS, demand, solver=s, gap=0.0, **terms).total_cost_usd
        for s in ("highs", solver)
    ]
    assert costs[1] == pytest.approx(costs[0], rel=1e-7)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_costs_at_least_its_relaxation(step):
    demand, terms = STEPS[step]
    whole, fractions = (
        optimize(OPTIONS, demand, relaxed=relaxed, gap=0.0, **terms).total_cost_usd
        for relaxed in (False, True)
    )
    assert fractions <= whole + 1e-9


def test_a_tighter_target_never_costs_less():
    terms = {"percentile": 0.99, "service_cv2": 1.0}
    costs = []
    for max_response in (20.0, 8.0, 6.0):
        tables = carried_at_slo(
            {"small": 2, "large": 5}, 1.0, 8.0, max_response=max_response, **terms
        )
        costs.append(optimize(OPTIONS, 8, carried=tables, gap=0.0).total_cost_usd)
    assert costs == sorted(costs)
    rate = carried_at_slo({"a": 3}, 1.0, 1.0, max_response=8.0, **terms)["a"][0]
    assert rate == queueing.max_rate(3, 1.0, max_response=8.0, **terms)


def random_types(rng, types, periods):
    size = rng.integers(1, 9, types)
    price = size * rng.uniform(0.8, 1.6, types)
    options = pd.DataFrame(
        {
            "name": [f"m{i}" for i in range(types)],
            "cost_usd_h": price,
            "reserved_3y_usd_h": 0.5 * price * rng.uniform(0.8, 1.2, types),
            "spot_usd_h": 0.4 * price * rng.uniform(0.8, 1.2, types),
            "capacity": size * rng.uniform(0.8, 1.2, types).round(2),
        }
    )
    return options, rng.uniform(20, 60, periods).round(2)


@pytest.mark.parametrize("seed", range(3))
def test_dominated_ways_to_buy_leave_the_optimum_as_it_is(seed, monkeypatch):
    options, demand = random_types(np.random.default_rng(seed), 8, 3)
    terms = {"purchases": ("on_demand", "reserved_3y", "spot"), "zones": 1}
    whole = optimize(options, demand, gap=0.0, **terms)
    monkeypatch.setattr(fleet_module, "LARGE", 1)
    monkeypatch.setattr(fleet_module, "separable", lambda *_: False)
    assert optimize(options, demand, gap=0.0, **terms).total_cost_usd == pytest.approx(
        whole.total_cost_usd
    )


@pytest.mark.parametrize("zones", [1, pytest.param(3, marks=pytest.mark.more)])
def test_a_large_program_keeps_its_bound_and_its_constraints(zones, monkeypatch):
    options, demand = random_types(np.random.default_rng(zones), 5, 4)
    terms = {"purchases": ("on_demand", "reserved_3y", "spot"), "zones": zones}
    whole = optimize(options, demand, gap=0.0, time_limit_s=10.0, **terms)
    monkeypatch.setattr(fleet_module, "LARGE", 1)
    parts = optimize(options, demand, gap=1e-3, **terms)
    bound = parts.total_cost_usd * (1.0 - parts.gap)
    assert bound <= whole.total_cost_usd * (1.0 + 1e-6)
    assert whole.total_cost_usd * (1.0 - whole.gap) <= parts.total_cost_usd * (1.0 + 1e-6)
    assert parts.gap < 0.1
    assert (parts.periods["capacity_after_loss"] >= demand - 1e-6).all()
    alone = optimize(options, demand, gap=0.0, zones=zones)  # nothing committed: nothing is lost
    monkeypatch.setattr(fleet_module, "LARGE", 1e9)
    assert alone.total_cost_usd == pytest.approx(
        optimize(options, demand, gap=0.0, zones=zones).total_cost_usd, rel=1e-6
    )


def test_owned_machines_compete_in_the_same_program():
    server = Ownership(
        9_000.0, power_w=300.0, pue=1.5, electricity_usd_kwh=0.1, staff_usd_year=876.0
    )
    assert server.running_usd_h == pytest.approx(0.045 + 0.1)
    usd_h = server.usd_h(years=3, discount_rate=0.08)
    rent = net_present_cost(years=3, discount_rate=0.08, usd_h=usd_h)
    assert rent == pytest.approx(server.net_present_cost(years=3, discount_rate=0.08))
    share = server.break_even_utilization(2.0, years=3, discount_rate=0.08)
    hours = 100
    options = pd.DataFrame(
        {"name": ["m"], "cost_usd_h": [2.0], "owned_usd_h": [usd_h], "capacity": [1.0]}
    )
    for busy, owned in ((share - 0.02, False), (share + 0.02, True)):
        demand = np.arange(hours) < round(busy * hours)
        fleet = optimize(options, demand, purchases=("on_demand", "owned"))
        assert (fleet.counts["purchase"] == "owned").all() == owned
    with pytest.raises(ValueError, match="share between 0 and 1"):
        Ownership(1.0, depreciation=1.2)
    with pytest.raises(ValueError, match="costs nothing"):
        server.break_even_utilization(0.0, years=3, discount_rate=0.08)


@pytest.mark.parametrize(
    ("change", "terms", "message"),
    [
        ({"reserved_3y_usd_h": [300.0, 700.0]}, {"purchases": ["on_demand", "reserved_3y"]}, "month or a year"),
        ({}, {"demand": 1e8}, "are both in the same unit"),
        ({}, {"carried": {"tiny": [1]}}, r"names \['tiny'\], which options does not list"),
        ({}, {"carried": {"small": [2, 1]}}, "never falling"),
        ({}, {"carried": {"small": [1]}, "spare_machines": 1}, "redundancy"),
        ({}, {"apart": [("a", "b")]}, "name the tenants by a mapping"),
        ({}, {"demand": {"a": {"capacity": [1, 2, 3]}, "b": {"capacity": [1, 2]}}}, "tenant 'b' has 2 periods"),
        ({}, {"caps": {"power_w": -1}}, "finite and not negative"),
        ({}, {"caps": {"rack_units": 1}}, r"lacks the columns \['rack_units'\]"),
        ({}, {"zones": 2, "zone_share": 0.4}, "between 1 / zones and 1"),
        ({"spot_interruption": [1.0, 0.0]}, {}, "below 1"),
        ({"startup_usd": [-1.0, 0.0]}, {}, r"startup_usd is negative for \['small'\]"),
        ({}, {"minimum_run": 0}, "minimum_run must be at least 1"),
        ({}, {"without": [("small", "lease")]}, "purchases must name some of"),
    ],
)  # fmt: skip
def test_bad_steps_are_refused_by_name(change, terms, message):
    terms = dict(terms)
    demand = terms.pop("demand", 5)
    with pytest.raises(ValueError, match=message):
        optimize(OPTIONS.assign(**change), demand, **terms)
