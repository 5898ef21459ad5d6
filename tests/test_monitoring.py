"""Detectors on known answers and on the labelled series; metrics page; alert rules."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capkit.datasets import load_asg_cpu
from capkit.monitoring import (
    alarms,
    alert_rules,
    bucket_percentile,
    cusum,
    judge,
    read_metrics,
    robust_z,
)
from capkit.planning import SLO

# Montgomery, Introduction to Statistical Quality Control, table 9.1: mean 10 until sample 20, then 11.
MONTGOMERY = np.array(
    [
        [9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34],
        [9.03, 11.47, 10.51, 9.40, 10.08, 9.37, 10.62, 10.31, 8.52, 10.84],
        [10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52],
    ]
).ravel()


def test_cusum_of_montgomery_signals_at_sample_29() -> None:
    total = cusum(MONTGOMERY - 10.0, allowance=0.5)
    assert total[28] == pytest.approx(5.28)
    assert total[29] == pytest.approx(5.30)
    assert int(np.flatnonzero(total > 5.0)[0]) == 28


def test_cusum_sees_both_directions_and_stops_at_its_ceiling() -> None:
    shift = np.full(50, 1.0)
    assert cusum(shift).tolist() == cusum(-shift).tolist()
    assert cusum(shift, ceiling=3.0).max() == 3.0
    assert cusum(np.array([100.0]), limit=4.0)[0] == 3.5


def test_robust_z_of_white_noise_is_nearly_standard() -> None:
    values = 50.0 + 3.0 * np.random.default_rng(1).standard_normal(20_000)
    score = robust_z(values, history=100)
    assert not score[:100].any()
    assert abs(score[100:].mean()) < 0.05
    assert score[100:].std() == pytest.approx(1.0, abs=0.05)


def test_robust_z_knows_the_season_and_uses_the_past_only() -> None:
    season = np.tile([10.0, 90.0, 10.0, 10.0], 50) + np.random.default_rng(2).normal(0, 1, 200)
    assert np.abs(robust_z(season, season=4, history=20, floor=0.5)).max() < 7.0
    changed = season.copy()
    changed[150:] += 40.0
    before = robust_z(season, season=4, history=20)[:150]
    assert np.array_equal(robust_z(changed, season=4, history=20)[:150], before)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 5))
def test_persistent_alarms_are_among_the_alarms(above: list[bool], steps: int) -> None:
    single, lasting = alarms(above, 0.5), alarms(above, 0.5, persistence=steps)
    assert not (lasting & ~single).any()
    assert np.array_equal(alarms(above, 0.5, persistence=1), single)


def test_the_mean_of_a_group_hides_from_a_threshold_and_not_from_its_season() -> None:
    frame = load_asg_cpu()
    cpu, label = frame["cpu_percent"].to_numpy(), frame["anomaly"].to_numpy()
    plain = judge(alarms(cpu, 80.0), label, step_s=300.0)
    score = robust_z(cpu, season=12, history=168, floor=1.0)
    lasting = judge(alarms(np.abs(score), 4.0, persistence=6), label, step_s=300.0)
    assert lasting.precision > 0.9 > 0.2 > plain.precision
    assert lasting.recall > 3 * plain.recall
    assert lasting.false_episodes * 50 < plain.false_episodes


def test_judge_refuses_labels_without_an_anomaly() -> None:
    with pytest.raises(ValueError, match="something labelled"):
        judge([True, False], [False, False], step_s=1.0)
    silent = judge([0, 0, 0], [0, 1, 1], step_s=1.0)
    assert (silent.precision, silent.recall, silent.delay_h) == (0.0, 0.0, None)


PAGE = """\
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC",le="10"} 0
:tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC",le="18"} 50
:tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC",le="32.4"} 99
:tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC",le="+Inf"} 100
:tensorflow:serving:request_latency_sum{model_name="m",API="Predict",entrypoint="GRPC"} 2000
:tensorflow:serving:request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} 100
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="m",status="OK"} 100
"""


def test_metrics_page_and_the_bucket_of_a_percentile() -> None:
    samples = read_metrics(PAGE)
    assert len(samples) == 7
    assert samples.iloc[-1].to_dict() == {
        "name": ":tensorflow:serving:request_count",
        "labels": {"model_name": "m", "status": "OK"},
        "value": 100.0,
    }
    name = ":tensorflow:serving:request_latency"
    assert bucket_percentile(samples, name, 0.5) == (10.0, 18.0)
    assert bucket_percentile(samples, name, 0.99) == (18.0, 32.4)
    assert bucket_percentile(samples, name, 0.999) == (32.4, np.inf)
    with pytest.raises(ValueError, match="request_latency"):
        bucket_percentile(samples, "other", 0.5)


def test_alert_rules_err_on_the_safe_side_of_the_target() -> None:
    rules = yaml.safe_load(alert_rules(SLO(0.99, 0.05), name="digits", planned_rate=20_000.0))
    fast, slow, _, demand, hot = rules["groups"][0]["rules"]
    assert 'le="37481.3"' in fast["expr"]  # 10 us x 1.8^14, the last limit below 50 ms
    assert "> 0.144" in fast["expr"] and "> 0.06" in slow["expr"]
    assert demand["expr"].endswith("> 20000")
    assert hot["alert"] == "HotReplica"
