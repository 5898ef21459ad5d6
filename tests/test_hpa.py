"""The autoscaler's arithmetic on the cases that Kubernetes' own tests and documentation fix.

Facts of ``pkg/controller/podautoscaler`` (``replica_calculator_test.go``, ``horizontal_test.go``) and of the
documentation's "Horizontal Pod Autoscaling" and its walkthrough.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkit.autoscaling import (
    DOWN,
    HPA,
    UP,
    Pod,
    Policy,
    QueueLength,
    Rules,
    State,
    combined,
    external_replicas,
    group_pods,
    hpa_replicas,
    limited,
    stabilized,
)


@pytest.mark.parametrize(
    ("usage", "target", "unready", "missing", "replicas"),
    [
        pytest.param([0.3, 0.5, 0.7], 0.3, 0, 0, 5, id="ScaleUp"),
        pytest.param([0.5, 0.7], 0.3, 1, 0, 4, id="ScaleUpUnreadyLessScale"),
        pytest.param([0.4], 0.3, 2, 0, 3, id="ScaleUpUnreadyNoScale"),
        pytest.param([0.5, 0.7], 0.3, 0, 0, 4, id="ScaleUpIgnoresFailedPods"),
        pytest.param([0.1, 0.3, 0.5, 0.25, 0.25], 0.5, 0, 0, 3, id="ScaleDown"),
        pytest.param([0.1, 0.3, 0.5], 0.5, 2, 0, 2, id="ScaleDownIncludeUnreadyPods"),
        pytest.param([0.1], 0.5, 4, 0, 1, id="ScaleDownExcludeUnscheduledPods"),
        pytest.param([1.01, 1.03, 1.02], 1.0, 0, 0, 3, id="Tolerance"),
        pytest.param([4.0, 9.5, 3.0, 7.0], 1.0, 0, 0, 24, id="SuperfluousMetrics"),
        pytest.param([0.4, 0.095], 1.0, 0, 2, 3, id="MissingMetrics"),
        pytest.param([1.0], 1.0, 0, 1, 2, id="MissingMetricsNoChangeEq"),
        pytest.param([1.9], 1.0, 0, 1, 2, id="MissingMetricsNoChangeGt"),
        pytest.param([0.6], 1.0, 0, 1, 2, id="MissingMetricsNoChangeLt"),
        pytest.param([0.45], 0.5, 1, 1, 3, id="MissingMetricsUnreadyChange"),
        pytest.param([2.0], 0.5, 1, 1, 4, id="MissingMetricsUnreadyScaleUp"),
        pytest.param([0.1, 0.1], 0.5, 1, 1, 3, id="MissingMetricsUnreadyScaleDown"),
        pytest.param([3.05], 0.5, 0, 0, 7, id="walkthrough: 305 % against 50 %"),
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
    assert hpa_replicas([1.0] * 4, 2.0, missing=1) == 3  # a target above 100 %: (4+2)/5 = 120 %


def test_nothing_happens_within_the_tolerance() -> None:
    assert hpa_replicas([0.55] * 10, 0.5) == 10
    assert hpa_replicas([0.45] * 10, 0.5) == 10
    assert hpa_replicas([0.56] * 10, 0.5) == 12
    assert hpa_replicas([0.56] * 10, 0.5, tolerance=0.2) == 10


def test_use_and_target_are_needed() -> None:
    with pytest.raises(ValueError, match="ready pod with a metric"):
        hpa_replicas([], 0.5)
    with pytest.raises(ValueError, match="per_pod must be positive"):
        external_replicas(1.0, 0.0, 1)


@given(st.integers(1, 20), st.integers(0, 100), st.integers(10, 90), st.integers(0, 5))
def test_unready_pods_only_dampen(ready: int, percent: int, target: int, unready: int) -> None:
    usage = [percent / 100.0] * ready
    alone = hpa_replicas(usage, target / 100.0)
    wanted = hpa_replicas(usage, target / 100.0, unready=unready)
    if alone > ready:
        assert ready < wanted <= max(alone, ready + unready)
    elif alone < ready:
        assert wanted == alone


MINUTE = 60.0


# The controller's tests of grouping take 2 min of initialization and 10 s until readiness is first reported.
@pytest.mark.parametrize(
    ("pod", "groups"),
    [
        pytest.param(
            Pod(1.0, age_s=MINUTE, unchanged_s=30.0, window_s=30.0), (1, 0, 0), id="fresh metrics"
        ),
        pytest.param(
            Pod(1.0, age_s=MINUTE, unchanged_s=30.0, window_s=MINUTE),
            (0, 1, 0),
            id="no whole window",
        ),
        pytest.param(
            Pod(1.0, ready=False, age_s=10 * MINUTE, unchanged_s=10 * MINUTE - 6.0),
            (0, 1, 0),
            id="never ready",
        ),
        pytest.param(
            Pod(1.0, age_s=3 * MINUTE, unchanged_s=3 * MINUTE, sample_age_s=2 * MINUTE),
            (1, 0, 0),
            id="old metrics after initialization",
        ),
        pytest.param(
            Pod(1.0, ready=False, age_s=10 * MINUTE, unchanged_s=9 * MINUTE),
            (1, 0, 0),
            id="unready, but was ready",
        ),
        pytest.param(Pod(None, age_s=3 * MINUTE), (0, 0, 1), id="missing"),
        pytest.param(Pod(None, pending=True), (0, 1, 0), id="pending"),
    ],
)
def test_pods_are_grouped_as_kubernetes_groups_them(pod: Pod, groups: tuple[int, ...]) -> None:
    usage, unready, missing = group_pods([pod], initialization_s=2 * MINUTE, initial_delay_s=10.0)
    assert (len(usage), unready, missing) == groups


@pytest.mark.parametrize(
    ("value", "per_pod", "current", "replicas"),
    [
        pytest.param(20_000, 5_000, 3, 4, id="ScaleUpCMPerPodObject"),
        pytest.param(8_600, 2_150, 3, 4, id="ScaleUpPerPodCMExternal"),
        pytest.param(6_000, 2_000, 5, 3, id="ScaleDownPerPodCMObject"),
        pytest.param(8_600, 2_867, 5, 3, id="ScaleDownPerPodCMExternal"),
        pytest.param(20_166, 5_000, 4, 4, id="TolerancePerPodCMObject"),
        pytest.param(8_600, 2_900, 3, 3, id="TolerancePerPodCMExternal"),
    ],
)
def test_external_metrics(value: float, per_pod: float, current: int, replicas: int) -> None:
    assert external_replicas(value, per_pod, current) == replicas


def test_the_largest_of_several_metrics_wins_and_a_missing_one_stops_scaling_down() -> None:
    assert combined([4, 2], 3) == 4
    assert combined([4, None], 3) == 4  # TestScaleUpOneMetricEmpty
    assert combined([3, None], 5) == 5  # TestNoScaleDownOneMetricInvalid
    busy = State(0.0, 4, 0, 0.9, rate=100.0)
    assert HPA(0.5, rate_per_server=100.0).recommend(busy) == 8
    with_nobody_ready = State(0.0, 0, 3, 0.0, rate=1000.0)
    assert HPA(0.5).recommend(with_nobody_ready) == 3
    assert HPA(0.5, rate_per_server=100.0).recommend(with_nobody_ready) == 10


def rules(pods: int, pods_s: float, percent: int, percent_s: float) -> Rules:
    given = [Policy("Pods", pods, pods_s)] * (pods > 0)
    return Rules((*given, *[Policy("Percent", percent, percent_s)] * (percent > 0)))


def spread(changes: list[int], seconds: float = 120.0) -> list[tuple[float, int]]:
    """Events in the middle of equal parts of the last ``seconds``."""
    part = seconds / len(changes)
    return [(seconds - part * (i + 0.5), change) for i, change in enumerate(changes)]


# horizontal_test.go, TestScalingWithRules: current, wanted, rules, earlier changes, result
@pytest.mark.parametrize(
    ("current", "wanted", "behaviour", "events", "replicas"),
    [
        (3, 1000, rules(0, 0, 1, 60), [], 4),
        (10, 50, UP, [], 20),
        (10, 500, rules(100, 60, 100, 60), [], 110),
        (10, 500, rules(2, 60, 100, 60), [], 20),
        (10, 50, rules(100, 60, 0, 0), [], 50),
        (10, 50, rules(30, 60, 0, 0), [], 40),
        (10, 50, rules(0, 0, 200, 60), [], 30),
        (100, 500, rules(5, 120, 0, 0), [1, 5, 9], 100),
        (100, 500, rules(150, 120, 0, 0), [1, 5, 9], 235),
        (100, 500, rules(0, 0, 200, 120), [1, 5, 9], 255),
        (100, 200, rules(1000, 30, 100, 60), [8, 12, 9, 11], 200),
        (1000, 3, rules(20, 60, 0, 0), [], 980),
        (100, 2, rules(20, 60, 1, 60), [], 80),
        (100, 2, rules(2, 60, 1, 60), [], 98),
        (10, 2, rules(5, 60, 0, 0), [], 5),
        (10, 5, rules(0, 0, 50, 60), [], 5),
        (10, 5, DOWN, [-1, -5, -9], 5),
        (100, 2, rules(5, 120, 0, 0), [-1, -5, -9], 100),
        (100, 0, rules(0, 0, 50, 120), [-2, -4, -6], 56),
        (100, 0, rules(0, 0, 10, 120), [-10, -10, -10], 100),
        (10, 5, rules(0, 0, 1000, 120), [-10, -10, -10], 5),
    ],
)
def test_scaling_policies_as_kubernetes_applies_them(
    current: int, wanted: int, behaviour: Rules, events: list[int], replicas: int
) -> None:
    changes = spread(events) if events else []
    assert limited(current, wanted, changes, up=behaviour, down=behaviour) == replicas


def test_the_strictest_policy_and_none_at_all() -> None:
    both = (Policy("Pods", 2, 60.0), Policy("Percent", 50, 60.0))
    least = Rules(both, select="Min")
    assert limited(1, 9, up=least) == 2  # TestCalculateScaleUpLimitWithScalingRules
    assert limited(5, 0, down=least) == 3  # TestCalculateScaleDownLimitWithBehaviors
    off = Rules(both, select="Disabled")
    assert (limited(5, 9, up=off), limited(5, 0, down=off)) == (5, 5)
    with pytest.raises(ValueError, match="select"):
        Rules(both, select="Median")
    with pytest.raises(ValueError, match="rules need a policy"):
        Rules(())


# horizontal_test.go, TestNormalizeDesiredReplicasWithBehavior: ages in minutes
@pytest.mark.parametrize(
    ("current", "wanted", "recommended", "up_min", "down_min", "replicas"),
    [
        (100, 5, [], 0, 0, 5),
        (100, 3, [(2, 4), (1, 5)], 0, 3, 5),
        (1, 7, [(2, 4), (1, 5)], 5, 0, 4),
        (100, 3, [(2, 1), (1, 2)], 5, 0, 3),
        (1, 3, [(2, 4), (1, 5)], 0, 5, 3),
        (100, 3, [(10, 10), (9, 9)], 0, 0, 3),
        (1, 100, [(10, 10), (9, 9)], 0, 0, 100),
        (100, 3, [(10, 10), (1, 4), (2, 5), (9, 9)], 0, 3, 5),
        (1, 100, [(100, 10), (1, 6), (2, 5), (3, 9)], 5, 0, 5),
    ],
)
def test_stabilisation_windows_as_kubernetes_keeps_them(
    current: int,
    wanted: int,
    recommended: list[tuple[int, int]],
    up_min: int,
    down_min: int,
    replicas: int,
) -> None:
    aged = [(60.0 * age, count) for age, count in recommended]
    result = stabilized(current, wanted, aged, up_s=60.0 * up_min, down_s=60.0 * down_min)
    assert result == replicas


def test_scale_down_of_five_pods_in_ten_minutes() -> None:
    # KEP-853, "Stabilization before scaling down": ten recommendations, one a minute; the highest holds.
    recommendations = [10, 9, 8, 9, 9, 8, 9, 8, 9]
    aged = [(60.0 * (len(recommendations) - i), r) for i, r in enumerate(recommendations)]
    slow = Rules((Policy("Pods", 5, 600.0),), stabilization_s=600.0)
    assert stabilized(10, 8, aged, down_s=slow.stabilization_s) == 10
    later = [(age + 60.0, r) for age, r in aged] + [(60.0, 8)]
    assert stabilized(10, 7, later[1:], down_s=slow.stabilization_s) == 9
    assert limited(10, 2, [(120.0, -3)], down=slow) == 8  # 13 ten minutes ago, less 5


def test_a_controller_settles_by_windows_and_policies() -> None:
    hpa = HPA(0.5)
    assert hpa.settle(State(0.0, 1, 0, 1.0), 50) == 5
    assert hpa.settle(State(0.0, 10, 0, 1.0), 50) == 20
    window = [9] + [3] * 19
    assert hpa.settle(State(300.0, 10, 0, 0.1, recommended=window), 3) == 9
    assert hpa.settle(State(315.0, 10, 0, 0.1, recommended=[*window, 3]), 3) == 3
    slow = HPA(0.5, up=Rules((Policy("Pods", 4, 60.0),)))
    history = [4, 4, 7, 7]  # three added 30 s ago
    assert slow.settle(State(60.0, 7, 0, 1.0, counts=history), 20) == 8


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.lists(st.tuples(st.floats(0, 400), st.integers(1, 60))),
)
def test_windows_never_pass_what_is_wanted(
    current: int, wanted: int, aged: list[tuple[float, int]]
) -> None:
    count = stabilized(current, wanted, aged, up_s=60.0)
    assert min(current, wanted) <= count <= max(current, wanted)


def test_requests_in_flight_have_no_ceiling() -> None:
    full = State(0.0, 4, 0, 1.0, in_flight=400.0)
    assert HPA(0.5).recommend(full) == 8
    assert QueueLength(per_server=2.0).recommend(full) == 200
    assert math.isclose(QueueLength().per_server, 2.0)
