"""Before and after a load test: schedules follow their law, sample sizes, the knee, the bottleneck."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capkit import loadtest
from capkit.queueing import MMc
from capkit.simulation import (
    correlated_percentile_interval,
    gamma_arrivals,
    mmpp_arrivals,
    mser,
    percentile_interval,
    simulate_fcfs,
    trend_pvalue,
)

SEEDS = range(40)


# --- schedules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("law, cv2", [("poisson", 1.0), ("gamma", 4.0), ("mmpp", 4.435)])
def test_schedule_has_the_rate_the_cv2_and_the_law_asked_for(law, cv2):
    drawn = [
        loadtest.draw_schedule(law, 50.0, 200.0, np.random.default_rng(seed), peak=2.5)
        for seed in SEEDS
    ]
    assert drawn[0].cv2_asked == pytest.approx(cv2, abs=1e-3)
    inside = [d.cv2_interval[0] <= cv2 <= d.cv2_interval[1] for d in drawn]
    assert np.mean(inside) >= 0.85
    assert np.mean([d.times_s.size / 200.0 for d in drawn]) == pytest.approx(50.0, rel=0.02)
    assert stats.kstest([d.pvalue for d in drawn], "uniform").pvalue > 0.001
    assert not any(d.doubt for d in drawn)


def test_long_mmpp_reaches_the_cv2_of_the_formula():
    drawn = loadtest.draw_schedule("mmpp", 50.0, 20_000.0, np.random.default_rng(1), peak=2.5)
    assert drawn.cv2 == pytest.approx(drawn.cv2_asked, rel=0.03)


def test_constant_schedule_has_equal_gaps():
    drawn = loadtest.draw_schedule("constant", 20.0, 5.0, np.random.default_rng(1))
    np.testing.assert_allclose(np.diff(drawn.times_s), 0.05)
    assert drawn.cv2 == pytest.approx(0.0, abs=1e-12)


def test_draw_that_does_not_follow_its_law_is_doubted():
    module = loadtest.draw_schedule.__globals__
    times = gamma_arrivals(50.0, 4.0, 200.0, np.random.default_rng(1))
    tested = module["_tested"](times, "poisson", 1.0, 50.0 * np.diff(times), stats.expon())
    assert "do not follow the law poisson" in tested.doubt


@given(st.floats(0.1, 10.0), st.lists(st.floats(0.0, 1e3), min_size=2, max_size=50))
def test_replay_keeps_the_pattern_at_another_speed(speed, times):
    times = np.sort(times)
    replayed = loadtest.replay(times, speed=speed)
    np.testing.assert_allclose(replayed.times_s * speed, times - times[0], atol=1e-9)


def test_thinned_replay_keeps_its_share_and_loses_burstiness():
    times = gamma_arrivals(100.0, 5.0, 400.0, np.random.default_rng(1))
    thinned = loadtest.replay(times, share=0.25, seed=2)
    assert thinned.times_s.size == pytest.approx(0.25 * times.size, rel=0.05)
    assert thinned.cv2 == pytest.approx(thinned.cv2_asked, rel=0.1)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (("normal", 1.0, 1.0), {}, "one of poisson"),
        (("poisson", 0.0, 1.0), {}, "must be positive"),
        (("gamma", 1.0, 1.0), {"cv2": 0.0}, "cv2 must be positive"),
        (("mmpp", 1.0, 1.0), {"peak": 4.0}, "1 < peak <= 3"),
        (("poisson", 0.1, 0.001), {}, "no arrival"),
    ],
)
def test_impossible_schedules_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        loadtest.draw_schedule(*arguments, np.random.default_rng(1), **options)


@pytest.mark.parametrize("times, options", [([1.0], {}), ([2.0, 1.0], {}), ([1, 2], {"speed": 0})])
def test_impossible_replays_are_refused(times, options):
    with pytest.raises(ValueError):
        loadtest.replay(times, **options)


def test_mmpp_refuses_what_it_cannot_draw():
    rng = np.random.default_rng(1)
    for rates, stays, duration in (
        [[1.0], [1.0, 2.0], 1.0],
        [[-1.0], [1.0], 1.0],
        [[1.0], [1.0], 0],
    ):
        with pytest.raises(ValueError):
            mmpp_arrivals(rates, stays, duration, rng)
    with pytest.raises(ValueError):
        gamma_arrivals(0.0, 1.0, 1.0, rng)


# --- how long to measure -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "percentile, sizes",
    [(0.99, [459, 662, 838, 1001, 1157]), (0.90, [44, 64, 81, 97, 113])],
)
def test_sample_sizes_are_loadgens(percentile, sizes):
    """One-sided binomial rule at 99 %: the published table of MLPerf's early stopping."""
    assert [loadtest.sample_size(percentile, late_allowed=late) for late in range(5)] == sizes


def test_pilot_says_how_many_requests_reach_the_precision():
    rng = np.random.default_rng(1)
    needed = loadtest.requests_needed(rng.exponential(size=10_000), 0.95, 0.03)
    widths = []
    for _ in range(20):
        sample = rng.exponential(size=needed)
        low, high = correlated_percentile_interval(sample, 0.95)
        widths.append((high - low) / 2 / np.quantile(sample, 0.95))
    assert np.mean(widths) == pytest.approx(0.03, rel=0.35)


def test_impossible_precisions_are_refused():
    with pytest.raises(ValueError, match="precision"):
        loadtest.requests_needed(np.ones(100), 0.5, 0.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        loadtest.sample_size(1.0)


# --- intervals of correlated latencies ---------------------------------------------------------


def waits(utilization, size, seed):
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1.0 / utilization, size + 5000))
    services = rng.exponential(1.0, arrivals.size)
    return (simulate_fcfs(arrivals, services, 1) + services)[5000:]


def test_interval_of_correlated_latencies_covers_where_the_naive_one_does_not():
    truth = float(MMc(0.7, 1.0, 1).response_quantile(0.95))
    covered = {percentile_interval: 0, correlated_percentile_interval: 0}
    for seed in range(100):
        sample = waits(0.7, 20_000, seed)
        for interval in covered:
            low, high = interval(sample, 0.95)
            covered[interval] += low <= truth <= high
    assert covered[correlated_percentile_interval] >= 87
    assert covered[percentile_interval] <= 50


def test_too_few_excursions_give_no_interval():
    sample = np.r_[np.full(1980, 1.0), np.full(20, 9.0)]
    with pytest.raises(ValueError, match="1 of 20 parts of the run: measure longer"):
        correlated_percentile_interval(sample, 0.99)


def test_mser_cuts_the_warm_up_and_nothing_of_a_steady_run():
    rng = np.random.default_rng(1)
    steady = rng.normal(10.0, 1.0, 2000)
    assert mser(steady) <= 200
    warm = steady + 20.0 * np.exp(-np.arange(2000) / 60.0)
    assert 100 <= mser(warm) <= 400
    with pytest.raises(ValueError, match="ten batches"):
        mser(steady[:20])


def test_trend_is_found_in_overload_and_not_in_steady_state():
    rng = np.random.default_rng(1)
    false_alarms = sum(trend_pvalue(waits(0.5, 4000, seed)) < 0.01 for seed in SEEDS)
    assert false_alarms <= 3
    arrivals = np.cumsum(rng.exponential(1.0 / 1.2, 4000))
    assert trend_pvalue(simulate_fcfs(arrivals, rng.exponential(1.0, 4000), 1)) < 1e-6


# --- what a sweep says -------------------------------------------------------------------------


def mm1_sweep(rates, *, limit=1000.0, noise=0.0, overhead_ms=0.0, seed=1):
    rates = np.asarray(rates, dtype=float)
    mean = 1e3 / (limit - rates) + overhead_ms
    mean = mean * (1 + noise * np.random.default_rng(seed).standard_normal(rates.size))
    half = 2 * max(noise, 0.01) * mean
    columns = {"offered_rps": rates, "throughput_rps": rates, "errors": 0, "trend_pvalue": 0.5}
    columns |= {"mean_ms": mean, "mean_low_ms": mean - half, "mean_high_ms": mean + half}
    return pd.DataFrame(columns)


RATES = [100.0, 250.0, 400.0, 600.0, 750.0, 850.0, 950.0]


def test_knee_of_mm1_is_half_of_its_limit():
    knee = loadtest.find_knee(mm1_sweep(RATES), np.random.default_rng(1))
    assert knee.rate == pytest.approx(500.0, rel=1e-3)
    assert knee.limit == pytest.approx(1000.0, rel=1e-3)
    np.testing.assert_allclose(knee.latency_ms([500.0, 900.0]), [2.0, 10.0], rtol=1e-2)


def test_knee_lies_in_its_interval_most_of_the_time():
    inside = 0
    for seed in SEEDS[:24]:
        sweep, rng = mm1_sweep(RATES, noise=0.05, seed=seed), np.random.default_rng(seed)
        low, high = loadtest.find_knee(sweep, rng, draws=60).interval
        inside += low <= 500.0 <= high
    assert inside >= 20


def test_levels_beyond_the_limit_do_not_bend_the_knee():
    sweep = mm1_sweep(RATES)
    beyond = sweep.tail(1).assign(offered_rps=1300.0, mean_ms=500.0, errors=40)
    drifting = sweep.tail(1).assign(mean_ms=300.0, trend_pvalue=1e-6)
    knee = loadtest.find_knee(pd.concat([sweep, beyond, drifting]), np.random.default_rng(1))
    assert knee.rate == pytest.approx(500.0, rel=1e-3)
    with pytest.raises(ValueError, match="four levels in steady state, got 2 of 2"):
        loadtest.find_knee(sweep.head(2), np.random.default_rng(1))


def test_resource_that_is_full_first_is_on_top_and_noise_is_no_evidence():
    rng = np.random.default_rng(1)
    x = np.array(RATES)
    sweep = pd.DataFrame(
        {
            "throughput_rps": x,
            "cpu_percent": 0.1 * x,
            "utilization": 0.0005 * x,
            "memory_mib": rng.uniform(100, 900, x.size),
            "gpu_percent": np.nan,
        }
    )
    available = {"cpu_percent": 100.0, "utilization": 1.0, "memory_mib": 24e3, "gpu_percent": 100.0}
    ranked = loadtest.rank_resources(sweep, available)
    assert list(ranked.index[:2]) == ["cpu_percent", "utilization"]
    assert ranked["full_at_rps"].iloc[0] == pytest.approx(1000.0)
    assert ranked["full_at_rps"].iloc[1] == pytest.approx(2000.0)
    assert ranked["share"].iloc[0] == pytest.approx(0.95)
    assert ranked["r2"]["cpu_percent"] == pytest.approx(1.0)
    assert ranked["r2"]["memory_mib"] < 0.9
    assert "gpu_percent" not in ranked.index


def test_resources_without_values_or_amounts_are_refused():
    sweep = pd.DataFrame({"throughput_rps": [1.0], "gpu_percent": [np.nan]})
    with pytest.raises(ValueError, match="no values for any of gpu_percent"):
        loadtest.rank_resources(sweep, {"gpu_percent": 100.0})
    with pytest.raises(ValueError, match="some gpu_percent available, got 0"):
        loadtest.rank_resources(sweep, {"gpu_percent": 0.0})
