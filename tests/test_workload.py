"""capkit.workload: known processes, known traces, bad logs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from capkit import workload


def poisson_log(rate: float, duration_s: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0.0, duration_s, rng.poisson(rate * duration_s)))


def gamma_log(rate: float, cv2: float, requests: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.gamma(1 / cv2, cv2 / rate, requests))


def mmpp_log(
    rates: tuple[float, float], leave: tuple[float, float], duration_s: float, seed: int
) -> np.ndarray:
    """Poisson arrivals whose rate switches between two values after exponential times."""
    rng = np.random.default_rng(seed)
    pieces, now, state = [], 0.0, 0
    while now < duration_s:
        stay = rng.exponential(1 / leave[state])
        pieces.append(now + np.sort(rng.uniform(0.0, stay, rng.poisson(rates[state] * stay))))
        now, state = now + stay, 1 - state
    return np.concatenate(pieces)


def mmpp_dispersion(
    rates: tuple[float, float], leave: tuple[float, float], window_s: float
) -> float:
    """IDC of the two-state MMPP: Fischer and Meier-Hellstern, Performance Evaluation 18 (1993)."""
    total = leave[0] + leave[1]
    mean = (rates[0] * leave[1] + rates[1] * leave[0]) / total
    factor = 2 * (rates[0] - rates[1]) ** 2 * leave[0] * leave[1] / (total**3 * mean)
    return 1 + factor * (1 - (1 - np.exp(-total * window_s)) / (total * window_s))


# --- known processes


def test_poisson_has_dispersion_and_cv2_of_one() -> None:
    loads = [workload.characterize(poisson_log(5.0, 2000.0, seed)) for seed in range(20)]
    for values in (
        [load.interarrival_cv2 for load in loads],
        [load.dispersion(1.0) for load in loads],
        [load.dispersion(10.0) for load in loads],
    ):
        low, high = stats.t.interval(0.999, 19, np.mean(values), stats.sem(values))
        assert low < 1 < high


@pytest.mark.parametrize("rate, window_s", [(5.0, 10.0), (5.0, 60.0), (0.5, 10.0), (40.0, 10.0)])
def test_false_alarms_are_about_as_rare_as_stated(rate: float, window_s: float) -> None:
    pvalues = np.array(
        [
            workload.characterize(poisson_log(rate, 600.0, seed)).poisson_pvalue(window_s)
            for seed in range(250)
        ]
    )
    for level in (0.01, 0.05):
        refused = int((pvalues < level).sum())
        # Bonferroni may refuse less often than stated, never more
        assert stats.binom.sf(refused - 1, 250, level) > 0.001
        assert refused >= stats.binom.ppf(0.001, 250, level / 3)


def test_counts_alone_keep_the_false_alarm_rate() -> None:
    rng = np.random.default_rng(2)
    pvalues = [
        workload.from_counts(rng.poisson(3.0, 600), 1.0).poisson_pvalue(60.0) for _ in range(500)
    ]
    assert stats.kstest(pvalues, "uniform").pvalue > 0.01


@pytest.mark.parametrize("cv2", [0.25, 0.5, 2.0, 4.0])
def test_gamma_renewal_cv2_dispersion_and_refusal(cv2: float) -> None:
    load = workload.characterize(gamma_log(5.0, cv2, 40_000, 3))
    assert load.interarrival_cv2 == pytest.approx(cv2, rel=0.05)
    # the IDC of a renewal process tends to the CV2 of its gaps: Cox and Lewis (1966)
    assert load.dispersion(20.0) == pytest.approx(cv2, rel=0.25)
    assert not load.is_poisson(60.0)


def test_even_spacing_is_not_poisson() -> None:
    assert not workload.characterize(np.arange(3000) * 0.25).is_poisson(60.0)


def test_mmpp_dispersion_follows_the_known_curve() -> None:
    rates, leave = (2.0, 20.0), (0.2, 0.5)
    load = workload.characterize(mmpp_log(rates, leave, 200_000.0, 4))
    assert load.rate == pytest.approx((2 * 0.5 + 20 * 0.2) / 0.7, rel=0.03)
    for window_s in (0.1, 1.0, 10.0, 60.0):
        known = mmpp_dispersion(rates, leave, window_s)
        assert load.dispersion(window_s) == pytest.approx(known, rel=0.1)
    assert not load.is_poisson(60.0)
    assert load.autocorrelation(1.0) > 0.3


def test_slow_drift_passes_in_short_windows_only() -> None:
    rng = np.random.default_rng(5)
    candidates = np.sort(rng.uniform(0.0, 86_400.0, rng.poisson(8.0 * 86_400)))
    keep = rng.random(candidates.size) < 0.5 + 0.45 * np.sin(2 * np.pi * candidates / 86_400)
    load = workload.characterize(candidates[keep])
    assert load.is_poisson(60.0)
    assert not load.is_poisson(21_600.0)
    assert load.dispersion(600.0) > 50


def test_drift_is_the_scatter_of_the_rate_without_that_of_the_arrivals() -> None:
    rng = np.random.default_rng(11)
    rates = rng.gamma(25.0, 2.0 / 25.0, 2000)  # mean 2/s, coefficient of variation 0.2
    counts = rng.poisson(60 * rates)
    assert workload.from_counts(counts, 60.0).drift(60.0) == pytest.approx(0.2, rel=0.05)
    assert workload.from_counts([5] * 20, 1.0).drift(1.0) == 0.0


def test_stamps_rounded_to_seconds_are_judged_by_their_counts() -> None:
    rounded = np.floor(poisson_log(5.0, 3600.0, 6))
    assert workload.characterize(rounded).is_poisson(60.0)


# --- the two real traces: figures of data/real/README.md


TRACES = {
    "conv": ("chat", 19_366, 5.53, 1.20, (1.39, 3.87, 16.4)),
    "code": ("code", 8_819, 2.57, 173.0, (13.2, 71.9, 166.9)),
}


@pytest.mark.parametrize("name", TRACES)
def test_shipped_counts_reproduce_the_dispersion_of_the_traces(name: str) -> None:
    from capkit.datasets import load_arrivals

    trace, requests, rate, _, dispersions = TRACES[name]
    load = workload.from_counts(load_arrivals(trace)["requests"], 1.0)
    assert load.requests == requests
    assert load.rate == pytest.approx(rate, rel=0.002)
    for window_s, known in zip((1.0, 10.0, 60.0), dispersions, strict=True):
        assert load.dispersion(window_s) == pytest.approx(known, rel=0.004)
    assert load.poisson_pvalue(60.0) < (1e-12 if trace == "code" else 0.01)


@pytest.mark.parametrize("name", TRACES)
def test_original_stamps_give_the_same_and_the_cv2(name: str) -> None:
    folder = Path(os.environ.get("CAPKIT_DATA", ""))
    path = folder / f"azure_llm_2023_{name}.csv.gz"
    if not os.environ.get("CAPKIT_DATA") or not path.is_file():
        pytest.skip("set CAPKIT_DATA to the folder of the original files")
    _, _, _, cv2, dispersions = TRACES[name]
    stamps = pd.to_datetime(pd.read_csv(path)["TIMESTAMP"])
    load = workload.characterize((stamps - stamps[0]).dt.total_seconds().to_numpy())
    assert load.interarrival_cv2 == pytest.approx(cv2, rel=0.004)
    for window_s, known in zip((1.0, 10.0, 60.0), dispersions, strict=True):
        assert load.dispersion(window_s) == pytest.approx(known, rel=0.004)


def test_the_application_server_has_the_known_cycles() -> None:
    from capkit.datasets import load_demand

    hourly = load_demand()
    assert workload.cycle_strength(hourly, 24) == pytest.approx(0.93, abs=0.006)
    assert workload.cycle_strength(hourly, 168) == pytest.approx(0.94, abs=0.006)


# --- properties


@settings(max_examples=40)
@given(st.lists(st.floats(0.001, 100.0), min_size=5, max_size=60), st.floats(0.0, 1e9))
def test_origin_and_unit_of_time_do_not_matter(gaps: list[float], origin: float) -> None:
    times = np.cumsum(gaps)
    load, later = workload.characterize(times), workload.characterize(times + np.round(origin))
    assert later.rate == pytest.approx(load.rate, rel=1e-5)
    assert later.interarrival_cv2 == pytest.approx(load.interarrival_cv2, rel=1e-3, abs=1e-4)
    slower = workload.characterize(times * 4)
    assert slower.interarrival_cv2 == pytest.approx(load.interarrival_cv2, abs=1e-9)
    assert slower.dispersion(load.duration_s) == load.dispersion(load.duration_s / 4)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 30), min_size=4, max_size=80).filter(any))
def test_counts_and_their_stamps_agree(counts: list[int]) -> None:
    by_counts = workload.from_counts([1, *counts], 1.0)
    times = np.repeat(np.arange(len(counts) + 1), [1, *counts]) + 0.0
    by_stamps = workload.characterize(np.r_[times, len(counts) + 1.0])
    assert by_stamps.dispersion(2.0) == pytest.approx(by_counts.dispersion(2.0))
    assert by_counts.peak_to_mean(1.0) >= 1
    assert by_counts.counts(1.0).sum() == by_counts.requests


def test_minute_factors_have_mean_one_and_follow_the_rate() -> None:
    factors = workload.minute_factors(np.r_[poisson_log(10, 600, 7), 600 + poisson_log(20, 600, 8)])
    assert factors.mean() == pytest.approx(1.0)
    assert factors[10:].mean() / factors[:10].mean() == pytest.approx(2.0, rel=0.1)


def test_cycle_strength_of_a_cycle_noise_and_a_trend() -> None:
    hours = np.arange(24 * 60)
    noise = np.random.default_rng(9).normal(size=hours.size)
    wave = np.sin(2 * np.pi * hours / 24)
    assert workload.cycle_strength(wave + 0.01 * hours, 24) == pytest.approx(1.0)
    assert workload.cycle_strength(noise, 24) < 0.05
    assert workload.cycle_strength(wave + noise / np.sqrt(2), 24) == pytest.approx(0.5, abs=0.05)


def test_summary_survives_the_round_trip() -> None:
    load = workload.characterize(poisson_log(5.0, 3600.0, 10))
    summary = load.to_dict()
    kept = workload.Workload.from_dict(summary)
    assert kept.rate == pytest.approx(load.rate, rel=1e-5)
    assert kept.dispersion(60.0) == pytest.approx(load.dispersion(60.0), rel=1e-5)
    assert kept.is_poisson(60.0) == load.is_poisson(60.0)
    assert kept.dispersion_curve().index.tolist() == [0.1, 1.0, 10.0, 60.0]
    assert set(summary["dispersion"]) == {"0.1", "1", "10", "60"}
    with pytest.raises(ValueError, match="only the summary"):
        kept.dispersion(7.0)
    with pytest.raises(ValueError, match="rate_rps missing"):
        workload.Workload.from_dict({k: v for k, v in summary.items() if k != "rate_rps"})


# --- bad logs


@pytest.mark.parametrize(
    "times, message",
    [
        ([], "two arrivals"),
        ([3.0], "two arrivals"),
        ([0.0, 2.0, 1.0], "not sorted.*row 2.*sort"),
        ([0.0, np.nan, 1.0], "NaN.*row 1"),
        ([0.0, 1.0, np.inf], "infinity.*row 2"),
        ([-1.0, 0.0], "negative"),
        ([5.0, 5.0, 5.0], "one instant"),
        ([[0.0, 1.0]], "1-D"),
        (["a", "b"], "numbers in seconds"),
        (pd.date_range("2024-01-01", periods=3), "numbers in seconds"),
    ],
)
def test_bad_logs_are_refused_with_the_reason(times: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        workload.characterize(times)


@pytest.mark.parametrize(
    "counts, step_s, message",
    [
        ([], 1.0, "non-empty"),
        ([0, 0], 1.0, "no request"),
        ([1, -1], 1.0, "0 or more"),
        ([1.0, np.nan], 1.0, "whole numbers"),
        ([1.5], 1.0, "whole numbers"),
        ([1, 2], 0.0, "step_s must be positive"),
    ],
)
def test_bad_counts_are_refused_with_the_reason(
    counts: list[float], step_s: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        workload.from_counts(counts, step_s)


def test_impossible_questions_are_refused_with_the_reason() -> None:
    load = workload.from_counts([3, 1, 0, 2], 1.0)
    for window_s, message in ((0.5, "multiple"), (9.0, "longer than the log"), (0.0, "positive")):
        with pytest.raises(ValueError, match=message):
            load.dispersion(window_s)
    with pytest.raises(ValueError, match="two windows"):
        load.dispersion(4.0)
    with pytest.raises(ValueError, match="inside of windows"):
        load.poisson_pvalue(1.0)
    with pytest.raises(ValueError, match="two requests"):
        workload.characterize([0.0, 100.0, 200.0]).poisson_pvalue(50.0)
    with pytest.raises(ValueError, match="lag"):
        load.autocorrelation(1.0, 4)
    with pytest.raises(ValueError, match="no correlation"):
        workload.from_counts([2, 2, 2], 1.0).autocorrelation(1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        load.rate_percentile(99, 1.0)
    with pytest.raises(ValueError, match="three times"):
        workload.cycle_strength([1.0, 2.0, 3.0], 2)
    with pytest.raises(ValueError, match="gaps"):
        workload.cycle_strength([1.0, np.nan] * 10, 2)
