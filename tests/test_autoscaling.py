"""Controllers at work: start-up, server-hours, missed hours; fluid and every request."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capkit.autoscaling import (
    HPA,
    Hybrid,
    QueueLength,
    Scheduled,
    Static,
    compare,
    pareto,
    simulate,
)
from capkit.planning import SLO
from capkit.queueing import MGc, MMc

SERVICE = np.full(3, 0.01)
GOAL = SLO(0.99, 0.05)


def test_a_server_answers_only_after_its_start_up() -> None:
    rates = np.full(240, 50.0)
    schedule = Scheduled(np.repeat([2, 6], 120), period_s=15.0, lead_s=0.0)
    run = simulate(
        schedule, rates, SERVICE, GOAL, np.random.default_rng(1), startup_s=120.0, initial=2
    )
    first = int(np.flatnonzero(run.ordered == 6)[0])
    assert int(np.flatnonzero(run.ready == 6)[0]) - first == 120 / 15
    assert run.scale_events == 1
    assert run.server_hours == pytest.approx(run.ordered.sum() / 240)
    assert (run.ready <= run.ordered).all()


def test_controllers_on_a_daily_cycle() -> None:
    hours = np.arange(24 * 240) / 240.0
    rates = 500.0 * (1.0 + 0.8 * np.sin(2 * np.pi * (hours - 9.0) / 24.0))
    needed = np.ceil(rates * 0.01 / 0.75).astype(int) + 1
    started = {"startup_s": 120.0, "initial": 13}
    runs = [
        simulate(
            controller,
            rates,
            SERVICE,
            GOAL,
            np.random.default_rng(1),
            dispatch="central",
            **started,
        )
        for controller in (
            Static(int(needed.max())),
            HPA(0.6),
            Scheduled(needed, period_s=15.0, lead_s=120.0, name="oracle"),
        )
    ]
    table = compare(runs, cost_usd_server_h=0.05).set_index("controller")
    assert table.loc["static", "server_hours"] == pytest.approx(24 * needed.max(), rel=1e-3)
    assert table.loc["oracle", "server_hours"] < 0.75 * table.loc["static", "server_hours"]
    assert (table["hours_missed"] == 0).all()
    assert table.loc["HPA", "scale_events"] > table.loc["static", "scale_events"] == 0
    assert np.allclose(table["cost_usd"], 0.05 * table["server_hours"])


def test_a_jump_outruns_a_reactive_controller() -> None:
    rates = np.repeat([200.0, 1500.0], 240)
    slow = simulate(
        HPA(0.6), rates, SERVICE, GOAL, np.random.default_rng(1), startup_s=300.0, initial=4
    )
    fast = simulate(
        HPA(0.6), rates, SERVICE, GOAL, np.random.default_rng(1), startup_s=0.0, initial=4
    )
    assert slow.replay.late_share > fast.replay.late_share > 0.0
    assert slow.replay.hours_missed == 1


def test_bounds_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="minimum"):
        simulate(
            Static(1),
            [1.0] * 240,
            SERVICE,
            GOAL,
            np.random.default_rng(1),
            startup_s=1.0,
            initial=0,
        )
    for rates in ([], [0.0, 0.0], [1.0, -1.0], [np.nan]):
        with pytest.raises(ValueError, match="rates must be finite"):
            run(Static(4), rates)
    with pytest.raises(ValueError, match="dispatch"):
        simulate(
            Static(1),
            [1.0],
            SERVICE,
            GOAL,
            np.random.default_rng(1),
            startup_s=1.0,
            initial=1,
            dispatch="x",
        )


def run(
    controller, rates, *, every_request=True, dispatch="random", seed=1, service=SERVICE, **terms
):
    given = {"startup_s": 60.0, "initial": 4, **terms}
    rng = np.random.default_rng(seed)
    return simulate(
        controller,
        rates,
        service,
        GOAL,
        rng,
        every_request=every_request,
        dispatch=dispatch,
        **given,
    )


@pytest.mark.parametrize("dispatch", ["central", "random"])
def test_every_request_waits_as_the_queueing_model_says(dispatch: str) -> None:
    grid = np.linspace(0.0, 1.0, 2001)
    grid[-1] = 1.0 - 1e-5
    service = -0.01 * np.log1p(-grid)  # exponential
    operation = run(
        Static(4), np.full(960, 280.0), dispatch=dispatch, service=service, overhead_s=0.001
    )
    model = MMc(280.0, 100.0, 4) if dispatch == "central" else MMc(70.0, 100.0, 1)
    percentile_s = operation.replay.runs["percentile_ms"].iloc[0] / 1000.0 - 0.001
    assert operation.utilization.mean() == pytest.approx(0.7, rel=0.01)
    assert percentile_s == pytest.approx(model.response_quantile(0.99), rel=0.03)
    late = 1.0 - operation.replay.late_share
    assert model.response_quantile(late) == pytest.approx(GOAL.latency_s - 0.001, rel=0.03)


def test_the_controller_sees_the_requests_in_flight_of_littles_law() -> None:
    seen = []

    class Watcher(Static):
        def recommend(self, state):
            seen.append(state.in_flight)
            return self.servers

    for every_request in (True, False):
        seen.clear()
        run(Watcher(4), np.full(480, 280.0), every_request=every_request)
        model = MGc(70.0, 100.0, 1, service_cv2=0.0)
        assert np.mean(seen[20:]) == pytest.approx(4 * model.mean_in_system, rel=0.05)


def test_fluid_and_every_request_agree_on_a_rise() -> None:
    rates = np.concatenate(
        [np.full(120, 150.0), np.linspace(150.0, 900.0, 120), np.full(240, 900.0)]
    )
    exact, fluid = (run(HPA(0.6), rates, every_request=e, initial=3) for e in (True, False))
    assert exact.server_hours == pytest.approx(fluid.server_hours, rel=0.05)
    assert exact.replay.late_share == pytest.approx(fluid.replay.late_share, abs=0.02)
    assert exact.replay.hours["requests"].sum() == pytest.approx(rates.sum() * 15.0, rel=0.01)


def test_memory_of_every_request_is_that_of_the_hours() -> None:
    operation = run(Static(2), np.full(480, 20.0))
    assert len(operation.replay.hours) == 2 and len(operation.replay.runs) == 1


@pytest.mark.parametrize("dispatch", ["central", "random", "round_robin"])
def test_work_survives_a_change_of_the_fleet(dispatch: str) -> None:
    # 100 s of overload leave a backlog; with the servers that come it is worked off, and not forgotten.
    rates = np.concatenate([np.full(8, 800.0), np.full(232, 100.0)])
    steps = Scheduled(np.repeat([4, 6], [12, 228]), period_s=15.0, lead_s=0.0)
    operation = run(steps, rates, dispatch=dispatch, startup_s=0.0)
    assert operation.utilization[8:12].mean() > 0.99
    assert operation.replay.late_share > 0.1
    assert operation.utilization[60:].mean() == pytest.approx(100.0 * 0.01 / 6, rel=0.1)


def test_a_hybrid_never_falls_below_its_floor_and_reacts_above_it() -> None:
    rates = np.repeat([100.0, 100.0, 600.0], 240)
    floor = Scheduled([2, 5, 5], period_s=3600.0, lead_s=60.0, name="floor")
    operation = run(Hybrid(floor, HPA(0.6)), rates, every_request=False, initial=2)
    assert operation.ready[:230].max() == 2
    assert operation.ready[240:480].min() == 5
    assert operation.ready[-1] == 10


def test_a_target_above_one_request_a_server_oscillates() -> None:
    rates = np.full(960, 760.0)  # 7.6 servers' worth of work
    steady = run(QueueLength(per_server=0.8), rates, every_request=False, initial=10, maximum=40)
    trapped = run(QueueLength(per_server=2.0), rates, every_request=False, initial=40, maximum=40)
    assert steady.replay.late_share < 0.01
    assert trapped.replay.late_share > 0.1 and trapped.ready.min() < 7.6


def test_pareto_front() -> None:
    table = pd.DataFrame({"server_hours": [4, 3, 3, 1], "late_percent": [0, 1, 2, 9]})
    assert pareto(table).tolist() == [True, True, False, True]
