"""A fleet explains itself: every statement is checked by solving again beyond it."""

import json
import math

import pandas as pd
import pytest

from capkit import tco

OPTIONS = pd.DataFrame(
    {
        "name": ["small", "medium", "large", "old", "unsold", "scarce"],
        "cost_usd_h": [1.0, 1.9, 4.4, 2.5, math.nan, 0.1],
        "capacity": [2.0, 4.0, 9.0, 4.0, 9.0, 9.0],
        "reserved_1y_usd_h": [0.7, 1.5, 3.3, 2.0, math.nan, 0.1],
        "power_w": [10.0, 20.0, 30.0, 40.0, 1.0, 1.0],
        "limit": [math.nan, 9, math.nan, math.nan, math.nan, 0],
    }
).drop(index=4)
DEMAND = [7, 12, 4]


@pytest.fixture(scope="module")
def fleet():
    return tco.optimize(OPTIONS, DEMAND, purchases=("on_demand", "reserved_1y"), gap=0.0)


def repriced(fleet, name, factor):
    rows = OPTIONS["name"] == name
    changed = OPTIONS.copy()
    changed.loc[rows, ["cost_usd_h", "reserved_1y_usd_h"]] *= factor
    same = sum(
        row.instance_hours * changed.set_index("name").at[row.name_, column]
        for row in fleet.counts.rename(columns={"name": "name_"}).itertuples()
        for column in [tco.PURCHASES[row.purchase]]
    )
    return fleet.again(options=changed).total_cost_usd, same


def test_prices_beyond_the_range_change_the_answer_and_prices_inside_do_not(fleet):
    for name, (low, high) in tco.price_ranges(fleet).iterrows():
        assert 0.0 <= low <= 1.0 + 1e-9 and high >= 1.0 - 1e-9
        for factor, changes in (
            (low - 0.01, True),
            (low + 0.01, False),
            (high - 0.01, False),
            (high + 0.01, True),
        ):
            if 0.0 < factor < math.inf and low + 0.02 < high:
                best, same = repriced(fleet, name, factor)
                assert (best < same - 1e-7) == changes, (name, factor)


def test_alternatives_cost_what_is_left_costs(fleet):
    table = tco.alternatives(fleet)
    assert (table["cost_usd"] >= fleet.total_cost_usd - 1e-9).all()
    assert table["cost_usd"].is_monotonic_increasing
    name, purchase = table["without"][0].split()
    assert fleet.again(without=[(name, purchase)]).total_cost_usd == table["cost_usd"][0]


def test_demand_range_ends_where_the_cost_changes(fleet):
    low, high = tco.demand_range(fleet)
    cost = fleet.total_cost_usd
    for factor, same in ((low - 2e-3, False), (low, True), (high, True), (high + 2e-3, False)):
        again = fleet.again(demand=[factor * d for d in DEMAND]).total_cost_usd
        assert (again == pytest.approx(cost)) == same


def test_each_type_left_out_has_its_reason(fleet):
    table = tco.left_out(fleet)
    assert set(table.index) == set(OPTIONS["name"]) - set(fleet.counts["name"])
    assert "1 x medium does the same for 1.9 instead of 2.5 USD/h" in table.at["old", "why"]
    assert table.at["scarce", "why"] == "its limit is below one machine"
    unsold = fleet.again(
        options=OPTIONS.assign(spot_usd_h=[1.0, *[math.nan] * 4]),
        purchases=["spot"],
        spot_share=1.0,
    )
    assert tco.left_out(unsold).at["large", "why"].startswith("not sold")


@pytest.mark.parametrize(
    ("demand", "terms", "constraint"),
    [
        (DEMAND, {}, "demand for capacity"),
        (
            DEMAND,
            {"purchases": ("reserved_1y",), "budgets": {"power_w": 165.0}},
            "budget of power_w",
        ),
        (11, {"caps": {"power_w": 45.0}}, "cap on power_w"),
        (DEMAND, {"spare_machines": 1}, "1 spare machines for capacity"),
        (DEMAND, {"minimum_each": 1}, "minimum of each option"),
        ([9, 0, 9, 0], {"minimum_run": 2}, "minimum run"),
        ({"a": 3, "b": 3}, {"apart": [("a", "b")]}, "a and b apart"),
        ([9, 5], {"zones": 3, "zone_share": 0.34, "lost_zones": 0}, "zone share"),
    ],
)
def test_easing_a_binding_constraint_never_costs_more(demand, terms, constraint):
    options = OPTIONS[OPTIONS["limit"] != 0]
    fleet = tco.optimize(options, demand, gap=0.0, **terms)
    table = tco.shadow_prices(fleet).set_index("constraint")
    assert constraint in table.index
    assert (table["saved_usd"] >= -1e-9).all()


def test_a_fractional_fleet_has_its_linear_price(fleet):
    relaxed = tco.optimize(OPTIONS, 10, relaxed=True)
    table = tco.shadow_prices(relaxed).set_index("constraint")
    assert table.at["demand for capacity", "usd_a_unit"] == pytest.approx(1.9 / 4)


def test_explanation_prints_and_fleet_exports(fleet, tmp_path):
    text = repr(fleet.explain())
    assert "next-best" in text and "times the demand" in text and "does the same" in text
    fleet.to_csv(tmp_path / "fleet.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "fleet.csv"), fleet.counts)
    fleet.to_json(tmp_path / "fleet.json")
    data = json.loads((tmp_path / "fleet.json").read_text())
    assert data["total_cost_usd"] == fleet.total_cost_usd
    assert data["counts"] == fleet.counts.to_dict("records")
