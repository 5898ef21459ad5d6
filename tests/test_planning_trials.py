"""Late starts, a failing zone, servers with many places: what a schedule is tried with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_case import GOAL, LOG, exponential, forecast, make_plan

from capkit import planning
from capkit.planning import SLO
from capkit.planning.trials import rising_hours, start_cost_usd
from capkit.queueing import MMc


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.floats(0, 4000), st.floats(0, 4000))
def test_ready_servers_never_exceed_the_schedule_and_ordering_ahead_gives_it(
    hourly: list[int], startup_s: float, ahead_s: float
) -> None:
    schedule = np.repeat(hourly, 60)
    ready = planning.ready_servers(hourly, startup_s, ahead_s=ahead_s)
    assert (ready <= schedule).all() and (ready >= 1).all()
    assert (planning.ready_servers(hourly, startup_s, ahead_s=startup_s) == schedule).all()
    late = set(np.flatnonzero(ready < schedule) // 60)
    assert late <= set(rising_hours(hourly).tolist())


def test_ready_servers_refuse_negative_seconds() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        planning.ready_servers([1, 2], -1.0)


def test_machines_are_ordered_ahead_only_where_late_ones_hurt() -> None:
    slow, instant = make_plan(startup_s=600.0), make_plan(startup_s=0.0)
    assert slow.ahead_s == 600.0 and slow.late_start_hours > 0
    assert instant.ahead_s == 0.0 and instant.late_start_hours == 0
    assert slow.cost_usd_week - instant.cost_usd_week == pytest.approx(slow.start_cost_usd_week)
    starts = planning.starts(slow.fleet)
    assert (starts["purchase"] == "on_demand").all() and starts["starts"].sum() > 0
    by_hand = (starts["starts"] * starts["usd_h"]).sum() * 600.0 / 3600.0
    assert start_cost_usd(slow.fleet, 600.0) == pytest.approx(by_hand)
    assert slow.start_cost_usd_week == pytest.approx(7 * by_hand)
    row = planning.purchase_table(slow).iloc[-1]
    assert row["USD a week"] == pytest.approx(slow.start_cost_usd_week, abs=0.01)


def test_every_zone_fails_once_and_its_lost_requests_count() -> None:
    plan = make_plan(detection_s=30.0)
    table = plan.failures
    assert table["zone"].tolist() == [1, 2] and table["met"].all()
    assert table["lost_percent"].to_numpy() == pytest.approx(100 * 0.5 * 30 / 3600)
    assert (table["late_percent"] >= table["lost_percent"]).all()
    assert (table["left"] < table["servers"]).all()
    assert make_plan(zones=1).failures.empty


def test_a_zone_that_is_noticed_too_late_is_no_plan() -> None:
    with pytest.raises(ValueError, match=r"no plan: when zone 1 fails .* detect it sooner"):
        make_plan(detection_s=90.0)


def test_servers_by_zone_add_up() -> None:
    plan = make_plan()
    capacity = plan.problem.options.set_index("name")["capacity"]
    table = planning.servers_by_zone(plan.fleet, capacity)
    assert (table.sum(axis=1).to_numpy() == plan.hours["servers"].to_numpy()).all()


@pytest.mark.parametrize("dispatch", ["random", "central"])
def test_servers_with_places_are_queues_with_as_many_servers(dispatch: str) -> None:
    places, servers, mean_s, goal = 8, 3, 0.1, SLO(0.99, 0.6)
    rate = 0.85 * places * servers / mean_s
    replayed = planning.replay(
        np.full((6, 60), rate),
        np.full(60, servers),
        exponential(mean_s),
        goal,
        np.random.default_rng(2),
        dispatch=dispatch,
        places=places,
    )
    queues = servers if dispatch == "random" else 1
    exact = MMc(rate / queues, 1 / mean_s, places * servers // queues)
    found = replayed.runs["percentile_ms"].mean() / 1000.0
    assert found == pytest.approx(exact.response_quantile(0.99), rel=0.04)


def test_until_the_first_token_only_the_wait_counts() -> None:
    goal = SLO(0.95, 0.3, until="first_token")
    rate, places = 60.0, 8
    replayed = planning.replay(
        np.full((40, 60), rate),
        np.full(60, 1),
        exponential(0.1),
        goal,
        np.random.default_rng(2),
        overhead_s=0.05,
        places=places,
    )
    wait = MMc(rate, 10.0, places).wait_quantile(0.95)
    found = replayed.runs["percentile_ms"].mean() / 1000.0
    assert found == pytest.approx(wait + 0.05, rel=0.05)
    with pytest.raises(ValueError, match="until must be"):
        SLO(0.99, 0.3, until="start")


@settings(max_examples=15)
@given(st.floats(10.0, 5000.0), st.sampled_from(["random", "central"]))
def test_needed_and_carried_are_inverse_with_places(rate: float, dispatch: str) -> None:
    service = SimpleNamespace(service_time_s=0.1, service_cv2=0.5, overhead_s=0.0)
    terms = {"dispatch": dispatch, "places": 16}
    goal = SLO(0.95, 0.5)
    needed = planning.needed_servers([rate], service, goal, **terms)  # type: ignore[arg-type]
    carried = planning.carried_rates([needed[0], max(needed[0] - 1, 1)], service, goal, **terms)  # type: ignore[arg-type]
    assert carried[0] >= rate * (1 - 1e-9)
    assert needed[0] == 1 or carried[1] < rate


def test_round_robin_is_for_one_place() -> None:
    with pytest.raises(ValueError, match="one place"):
        make_plan(dispatch="round_robin", places=2)


def test_hours_hold_a_percentile_with_its_interval() -> None:
    hours = make_plan(repetitions=4).hours
    assert (hours["percentile_low_ms"] <= hours["percentile_ms"]).all()
    assert (hours["percentile_ms"] <= hours["percentile_high_ms"]).all()
    assert (hours["percentile_ms"] < 1000 * GOAL.latency_s).all()
    assert len(hours) == len(forecast()) and LOG.rate > 0
