"""The autoscaler's arithmetic on Kubernetes' own cases; controllers; manifests."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capkit.autoscaling import (
    HPA,
    Scheduled,
    State,
    Static,
    compare,
    hpa_replicas,
    manifests,
    simulate,
)
from capkit.planning import SLO

SERVICE = np.full(3, 0.01)
GOAL = SLO(0.99, 0.05)


# Cases of Kubernetes' pkg/controller/podautoscaler/replica_calculator_test.go (CPU, requests of one core).
@pytest.mark.parametrize(
    ("usage", "target", "unready", "missing", "replicas"),
    [
        pytest.param([0.3, 0.5, 0.7], 0.3, 0, 0, 5, id="ScaleUp"),
        pytest.param([0.5, 0.7], 0.3, 1, 0, 4, id="ScaleUpUnreadyLessScale"),
        pytest.param([0.4], 0.3, 2, 0, 3, id="ScaleUpUnreadyNoScale"),
        pytest.param([0.1, 0.3, 0.5, 0.25, 0.25], 0.5, 0, 0, 3, id="ScaleDown"),
        pytest.param([0.1, 0.3, 0.5], 0.5, 2, 0, 2, id="ScaleDownIncludeUnreadyPods"),
    ],
)
def test_replicas_as_kubernetes_computes_them(
    usage: list[float], target: float, unready: int, missing: int, replicas: int
) -> None:
    assert hpa_replicas(usage, target, unready=unready, missing=missing) == replicas


def test_replicas_with_missing_metrics_are_cautious() -> None:
    # Documentation: missing metrics count as 100 % when scaling down, as 0 % when scaling up.
    assert (
        hpa_replicas([0.2, 0.2], 0.5, missing=2) == 4
    )  # (.2+.2+1+1)/4 = 60 %: would turn, so nothing
    assert hpa_replicas([0.1, 0.1, 0.1], 0.5, missing=1) == 3  # (.3+1)/4 = 32 %: ceil(.64 * 4)
    assert hpa_replicas([0.9, 0.9], 0.5, missing=1) == 4  # 1.8/3 = 60 %: ceil(1.2 * 3)


def test_nothing_happens_within_the_tolerance() -> None:
    assert hpa_replicas([0.55] * 10, 0.5) == 10
    assert hpa_replicas([0.45] * 10, 0.5) == 10
    assert hpa_replicas([0.56] * 10, 0.5) == 12


@given(st.integers(1, 20), st.integers(0, 100), st.integers(10, 90), st.integers(0, 5))
def test_unready_pods_only_dampen(ready: int, percent: int, target: int, unready: int) -> None:
    usage = [percent / 100.0] * ready
    alone = hpa_replicas(usage, target / 100.0)
    wanted = hpa_replicas(usage, target / 100.0, unready=unready)
    if alone > ready:
        assert ready < wanted <= max(alone, ready + unready)
    elif alone < ready:
        assert wanted == alone


def test_scale_up_is_limited_and_scale_down_waits_for_its_window() -> None:
    hpa = HPA(0.5)
    assert hpa.settle(State(0.0, 1, 0, 1.0), 50) == 5
    assert hpa.settle(State(0.0, 10, 0, 1.0), 50) == 20
    window = [9] + [3] * 19
    assert hpa.settle(State(300.0, 10, 0, 0.1, recommended=window), 3) == 9
    assert hpa.settle(State(315.0, 10, 0, 0.1, recommended=[*window, 3]), 3) == 3


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
    with pytest.raises(ValueError, match="zones"):
        manifests("m", minimum=1, maximum=5, memory_mib=100, zones=2)


def test_manifests_are_yaml_that_fits_together() -> None:
    files = {
        file: yaml.safe_load(text)
        for file, text in manifests("digits", minimum=4, maximum=20, memory_mib=700).items()
    }
    deployment, service, hpa = (files[f"{n}.yaml"] for n in ("deployment", "service", "hpa"))
    pod = deployment["spec"]["template"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"] == {"app": "digits"}
    assert deployment["spec"]["selector"]["matchLabels"] == {"app": "digits"}
    assert hpa["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (4, 20)
    container = pod["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "700Mi"}
    assert {port["name"] for port in container["ports"]} == {"grpc", "rest"}
