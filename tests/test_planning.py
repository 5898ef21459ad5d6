"""The replay against exact queues and a full simulation; the plan's promises; the veto; the report."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_case import GOAL, OPTIONS, SERVICE, exponential, forecast, make_plan

from capkit import planning
from capkit.course import reference as reference_product
from capkit.planning import SLO, Candidate, CapacityPlan
from capkit.queueing import MMc
from capkit.simulation import (
    modulated_poisson,
    percentile_interval,
    simulate_dispatch,
    simulate_varying,
)
from capkit.tco import optimize


@pytest.fixture(scope="module")
def reference() -> CapacityPlan:
    return make_plan()


# --- the replay -------------------------------------------------------------------------------------


@pytest.mark.parametrize("utilization", [0.3, 0.8, 0.95])
def test_replay_of_a_calm_hour_is_the_exact_mmc_percentile(utilization: float) -> None:
    rate, count = utilization * 10 / 0.001, 10
    goal = SLO(0.99, 0.005)
    result = planning.replay(
        np.full((10, 60), rate),
        np.full(60, count),
        exponential(0.001),
        goal,
        np.random.default_rng(3),
        dispatch="central",
    )
    queue = MMc(rate, 1000.0, count)
    assert result.runs["percentile_ms"].mean() == pytest.approx(
        1000.0 * queue.response_quantile(0.99), rel=0.04
    )


def test_replay_with_a_queue_each_is_mm1_and_the_full_simulation() -> None:
    rate, count, law = 0.7 * 8 / 0.001, 8, exponential(0.001)
    hours, goal = np.full((6, 60), rate), SLO(0.99, 0.02)
    random, in_turn = (
        planning.replay(
            hours, np.full(60, count), law, goal, np.random.default_rng(4), dispatch=rule
        ).runs["percentile_ms"]
        for rule in ("random", "round_robin")
    )
    exact = MMc(rate / count, 1000.0, 1).response_quantile(0.99)
    assert random.mean() == pytest.approx(1000.0 * exact, rel=0.03)
    rng = np.random.default_rng(5)
    arrivals = np.cumsum(rng.exponential(1.0 / rate, 1_000_000))
    services = rng.exponential(0.001, arrivals.size)
    stays = services + simulate_dispatch(arrivals, services, count, "round_robin", rng)
    assert in_turn.mean() == pytest.approx(1000.0 * np.quantile(stays, 0.99), rel=0.03)


def test_replay_of_an_overloaded_hour_with_a_queue_each_agrees_with_every_request() -> None:
    rng = np.random.default_rng(8)
    rates, goal = 100.0 * np.tile([0.6, 0.95, 1.3, 0.4, 1.02, 0.5], 10), SLO(0.99, 0.2)
    full = []
    for _ in range(12):
        arrivals = modulated_poisson(rates, 60.0, rng)
        service = rng.exponential(0.02, arrivals.size)
        stays = service + simulate_dispatch(arrivals, service, 2, "random", rng)
        full.append(float((stays > goal.latency_s).mean()))
    quick = planning.replay(
        np.tile(rates, (12, 1)), np.full(60, 2), exponential(0.02), goal, rng, dispatch="random"
    )
    spread = 3.0 * np.hypot(np.std(full), quick.runs["late_share"].std()) / np.sqrt(12)
    assert quick.late_share == pytest.approx(np.mean(full), abs=spread + 0.005)


def test_replay_of_an_overloaded_hour_agrees_with_every_request_simulated() -> None:
    rng = np.random.default_rng(5)
    rates = 100.0 * np.tile([0.6, 0.95, 1.3, 0.4, 1.02, 0.5], 10)
    servers = np.repeat([2, 3, 2], 20)
    goal, mean_s = SLO(0.99, 0.2), 0.02
    full = []
    for _ in range(12):
        arrivals = modulated_poisson(rates, 60.0, rng)
        service = rng.exponential(mean_s, arrivals.size)
        waits = simulate_varying(arrivals, service, servers, 60.0)
        full.append(float(((waits + service) > goal.latency_s).mean()))
    quick = planning.replay(
        np.tile(rates, (12, 1)),
        servers,
        exponential(mean_s),
        goal,
        np.random.default_rng(6),
        dispatch="central",
    )
    spread = 3.0 * np.hypot(np.std(full), quick.runs["late_share"].std()) / np.sqrt(12)
    assert 0.2 < np.mean(full) < 0.6
    assert quick.late_share == pytest.approx(np.mean(full), abs=spread + 0.002)


def test_replay_percentile_lies_in_the_interval_of_a_full_simulation() -> None:
    rng = np.random.default_rng(7)
    rates = np.tile([300.0, 420.0], 30)
    arrivals = modulated_poisson(rates, 60.0, rng)
    service = rng.exponential(0.005, arrivals.size)
    latency = simulate_varying(arrivals, service, [3], 3600.0) + service
    low, high = percentile_interval(latency, 0.95, level=0.999)
    result = planning.replay(
        np.tile(rates, (5, 1)),
        np.full(60, 3),
        exponential(0.005),
        SLO(0.95, 0.1),
        rng,
        sample_requests=5000,
        dispatch="central",
    )
    assert low * 0.99 < result.runs["percentile_ms"].mean() / 1000.0 < high * 1.01


def test_replay_is_the_same_for_the_same_seed_and_refuses_what_does_not_fit() -> None:
    law, hour = exponential(0.001), np.full(60, 100.0)
    first, second = (
        planning.replay(hour, np.full(60, 1), law, GOAL, np.random.default_rng(1)) for _ in range(2)
    )
    assert first.hours.equals(second.hours)
    with pytest.raises(ValueError, match="one count"):
        planning.replay(hour, np.full(59, 1), law, GOAL, np.random.default_rng(1))
    with pytest.raises(ValueError, match="at least 1"):
        planning.replay(hour, np.zeros(60), law, GOAL, np.random.default_rng(1))
    with pytest.raises(ValueError, match="finite"):
        planning.replay(-hour, np.full(60, 1), law, GOAL, np.random.default_rng(1))
    with pytest.raises(ValueError, match="whole number"):
        planning.replay(hour, np.full(60, 1), law, GOAL, np.random.default_rng(1), period_s=7.0)
    with pytest.raises(ValueError, match="dispatch must be one of"):
        planning.replay(hour, np.full(60, 1), law, GOAL, np.random.default_rng(1), dispatch="x")
    with pytest.raises(ValueError, match="2 repetitions"):
        first.interval()


@given(st.lists(st.floats(0.1, 5.0), min_size=1, max_size=80), st.integers(0, 100))
def test_minute_rates_keep_the_hour(factors: list[float], seed: int) -> None:
    rates = planning.minute_rates([7.0, 70.0], factors, np.random.default_rng(seed))
    assert np.allclose(rates.reshape(2, 60).mean(axis=1), [7.0, 70.0])


def test_service_law_has_the_mean_of_one_vcpu_and_the_measured_shape() -> None:
    assert planning.mean_of(planning.service_law(SERVICE)) == pytest.approx(0.001)
    busy = replace(SERVICE, cpu_s_per_request=0.0015)
    measured = pd.DataFrame({"probability": [0.0, 0.5, 1.0], "service_ms": [0.5, 1.0, 3.0]})
    law = planning.service_law(busy, measured)
    assert planning.mean_of(law) == pytest.approx(0.0015)
    assert law[-1] / law[0] == pytest.approx(6.0)
    with pytest.raises(ValueError, match="rise"):
        planning.service_law(SERVICE, measured.assign(service_ms=[1.0, 0.5, 3.0]))


# --- sizing -----------------------------------------------------------------------------------------


@given(st.floats(0.01, 0.99))
def test_forecast_quantiles_and_probabilities_are_inverse(level: float) -> None:
    table = forecast()
    rates = planning.forecast_rates(table, level)
    positive = rates > 0.0
    assert np.allclose(planning.probability_below(table, rates)[positive], level)


def test_forecast_quantiles_hit_the_given_bounds() -> None:
    table = forecast()
    assert np.allclose(planning.forecast_rates(table, 0.975), table["upper_95_rps"])
    assert np.allclose(planning.forecast_rates(table, 0.1), table["lower_80_rps"])
    with pytest.raises(ValueError, match="upper_80_rps"):
        planning.forecast_rates(table.drop(columns="upper_80_rps"), 0.5)


@settings(max_examples=25)
@given(st.integers(1, 200), st.floats(0.004, 0.2), st.floats(1.0, 3.0))
def test_carried_rates_invert_needed_servers(servers: int, latency_s: float, peak: float) -> None:
    goal = SLO(0.99, latency_s)
    rate = planning.carried_rates([servers], SERVICE, goal, peak_factor=peak)
    assert planning.needed_servers(rate * 0.9999, SERVICE, goal, peak_factor=peak)[0] <= servers
    assert planning.needed_servers(rate * 1.0001, SERVICE, goal, peak_factor=peak)[0] > servers


def test_cpu_options_leave_out_what_cannot_carry_the_server() -> None:
    catalogue = pd.DataFrame(
        {
            "name": ["t3.large", "c5.large", "g5.xlarge", "tiny", "free"],
            "vcpus": [2, 2, 4, 4, 4],
            "memory_gib": [8.0, 4.0, 16.0, 1.0, 16.0],
            "accelerators": [0, 0, 1, 0, 0],
            "on_demand_usd_h": [0.08, 0.085, 1.0, 0.01, 0.0],
            "reserved_1y_usd_h": [0.05, 0.058, 0.7, 0.01, 0.0],
        }
    )
    options = planning.cpu_options(catalogue, SERVICE)
    assert options[["name", "capacity"]].to_numpy().tolist() == [["c5.large", 2], ["tiny", 1]]
    with pytest.raises(ValueError, match="another price table"):
        planning.cpu_options(catalogue.iloc[[0, 2]], SERVICE)


# --- the plan ---------------------------------------------------------------------------------------


def test_plan_carries_its_quantile_with_a_zone_lost(reference: CapacityPlan) -> None:
    hours = reference.hours
    assert (hours["surviving"] >= hours["needed"]).all()
    assert (hours["servers"] == 2 * hours["surviving"]).all()
    assert reference.replay.met and reference.zone_loss.met
    assert reference.headroom > 0.16  # the 95 % quantile of a forecast with 10 % deviation
    assert (hours["probability_met_zone_lost"] >= 0.95 - 1e-9).all()
    assert reference.peak_factor == pytest.approx(1.2)


def test_plan_meets_its_slo_on_fresh_arrivals(reference: CapacityPlan) -> None:
    rng = np.random.default_rng(99)
    paths = [
        planning.minute_rates(reference.hours["planned_rps"], [0.8, 1, 1.2, 1], rng)
        for _ in range(5)
    ]
    fresh = planning.replay(
        np.stack(paths),
        np.repeat(reference.hours["surviving"], 60),
        planning.service_law(SERVICE),
        GOAL,
        rng,
        overhead_s=SERVICE.overhead_s,
    )
    assert fresh.met


def test_plan_is_the_cheapest_by_brute_force_in_one_hour() -> None:
    one = make_plan(forecast=forecast(hours=1), zones=1, purchases=("on_demand",))
    need = int(one.hours["needed"].iloc[0])
    cheapest = min(
        0.1 * small + 0.36 * large
        for small in range(40)
        for large in range(20)
        if 2 * small + 8 * large >= need
    )
    assert one.cost_usd_week == pytest.approx(168.0 * cheapest)
    assert one.zone_loss.hours.equals(one.replay.hours)
    assert "one zone lost" not in one.to_markdown()


def test_cost_never_falls_when_more_is_asked(reference: CapacityPlan) -> None:
    def cost(**change: object) -> float:
        return replace(reference.problem, **change).proposed_cost_usd_week()  # type: ignore[arg-type]

    base = cost()
    assert cost(zones=1) < cost(zones=3) <= base
    assert cost(level=0.5) < base < cost(level=0.999)
    assert cost(slo=SLO(0.999, 0.006)) > base
    assert cost(factors=np.array([0.2, 1.8])) > base
    assert cost(purchases=("on_demand",)) > base


def test_a_plan_that_fails_its_replay_is_mended() -> None:
    heavy = pd.DataFrame(
        {"probability": [0.0, 0.97, 0.98, 1.0], "service_ms": [0.3, 0.31, 20.0, 45.0]}
    )
    mended = make_plan(service_times=heavy, slo=SLO(0.98, 0.03), mends=15, dispatch="central")
    assert mended.rounds > 0
    assert mended.zone_loss.met
    with pytest.raises(ValueError, match=r"no plan: after 0 rounds .* relax the SLO"):
        make_plan(service_times=heavy, slo=SLO(0.98, 0.03), mends=0, dispatch="central")


def test_a_plan_for_random_dispatch_needs_more_and_holds() -> None:
    tight = SLO(0.99, 0.008)
    pooled, each = make_plan(slo=tight, dispatch="central"), make_plan(slo=tight)
    assert (each.hours["needed"] >= pooled.hours["needed"]).all()
    assert each.cost_usd_week > 1.2 * pooled.cost_usd_week
    assert each.replay.met and each.zone_loss.met
    planned = planning.forecast_rates(forecast(), 0.95)
    paths = np.stack([np.repeat(planned, 60)] * 2)
    terms = {"overhead_s": SERVICE.overhead_s, "dispatch": "random"}
    servers = np.repeat(pooled.hours["surviving"].to_numpy(), 60)
    law = planning.service_law(SERVICE)
    refused = planning.replay(paths, servers, law, tight, np.random.default_rng(2), **terms)  # type: ignore[arg-type]
    assert not refused.met


def test_an_slo_that_nothing_meets_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the server"):
        make_plan(slo=SLO(0.99, 0.0005))
    with pytest.raises(ValueError, match="no number of servers"):
        make_plan(slo=SLO(0.99, 0.0015))


def test_a_request_occupies_its_vcpu_for_its_cpu_time() -> None:
    busy = replace(SERVICE, cpu_s_per_request=0.002)
    assert planning.on_one_vcpu(busy).service_time_s == 0.002
    assert planning.on_one_vcpu(busy).overhead_s == 0.0
    assert make_plan(service=busy).cost_usd_week > 1.5 * make_plan().cost_usd_week


def test_means_fail_where_the_plan_holds(reference: CapacityPlan) -> None:
    truth = forecast()["mean_rps"]
    by_mean = optimize(OPTIONS, planning.linear_servers(truth.mean(), 1000.0))
    table = planning.judge_candidates(
        [
            Candidate.from_fleet("document", by_mean, 24),
            Candidate.from_fleet("plan", reference.fleet, 24),
        ],
        truth,
        planning.service_law(SERVICE),
        GOAL,
        minute_factors=[0.8, 1, 1.2, 1],
        seed=1,
        overhead_s=SERVICE.overhead_s,
    ).set_index("plan")
    assert table.loc["document", "cost_usd_week"] < table.loc["plan", "cost_usd_week"]
    assert table.loc["document", "hours_missed"] > 6
    assert table.loc["document", "hours_missed_zone_lost"] == 24
    assert table.loc["plan", "hours_missed"] == table.loc["plan", "hours_missed_zone_lost"] == 0


# --- the report -------------------------------------------------------------------------------------


def test_report_says_the_same_in_every_form(reference: CapacityPlan) -> None:
    facts = json.loads(json.dumps(reference.to_dict(), allow_nan=False))
    markdown, page = reference.to_markdown(), reference.to_html()
    cost = f"{facts['cost_usd_week']:,.2f} USD a week"
    assert cost in markdown and cost in page
    assert planning.purchase_table(reference)["USD a week"].sum() == pytest.approx(
        reference.cost_usd_week, abs=0.05
    )
    assert "http" not in page.replace("http-equiv", "")
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            if tag == "img":
                assert dict(attrs)["alt"] and str(dict(attrs)["src"]).startswith("data:")

    Reader().feed(page)
    assert tags.count("table") == 4 and tags.count("img") == 1


def test_counts_add_up_to_the_servers_of_every_hour(reference: CapacityPlan) -> None:
    capacity = OPTIONS.set_index("name")["capacity"]
    counts = reference.counts
    servers = (counts["count"] * counts["name"].map(capacity)).groupby(counts["time"]).sum()
    assert servers.tolist() == reference.hours["servers"].tolist()


def test_command_line_refuses_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        planning.main(["--out", "plan.pdf"])
    assert "must end in" in capsys.readouterr().err
    assert planning.main(["--slo-percentile", "99"]) == 1
    assert "no plan: percentile" in capsys.readouterr().err


def test_command_line_plans_from_the_reference_products(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "plan.html"
    assert planning.main(["--out", str(page)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Capacity plan")
    facts = reference_product("09_capacity_plan").data
    assert f"{facts['cost_usd_week']:,.2f} USD a week" in printed
    assert f"{facts['cost_usd_week']:,.2f} USD a week" in page.read_text(encoding="utf-8")
