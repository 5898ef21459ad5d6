"""Logs too large for memory, the power of the test, silences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from capkit import workload

RNG = np.random.default_rng


# --- streams


@settings(max_examples=40)
@given(
    st.lists(st.floats(0.0, 30.0), min_size=30, max_size=200),
    st.lists(st.integers(1, 29), max_size=4),
    st.floats(0.0, 1e9),
)
def test_chunks_of_any_size_give_what_the_whole_log_gives(gaps, cuts, origin):
    times = np.round(origin) + np.cumsum([0.0, 1.0, *gaps])
    whole = workload.characterize(times)
    streamed = workload.characterize_stream(np.split(times, sorted(cuts)))
    assert streamed.requests == whole.requests
    assert streamed.rate == pytest.approx(whole.rate)
    assert streamed.interarrival_cv2 == pytest.approx(whole.interarrival_cv2, rel=1e-6, abs=1e-9)
    counts = streamed.counts(0.1)
    assert (counts == whole.counts(0.1)[: counts.size]).all()


def test_a_long_stream_takes_longer_steps_and_keeps_its_counts():
    times = np.sort(RNG(1).uniform(0.0, 5000.0, 20_000))
    whole = workload.characterize(times)
    for max_steps, step_s in ((100_000, 0.1), (6000, 1.0), (600, 10.0), (100, 60.0)):
        log = workload.characterize_stream(np.array_split(times, 7), max_steps=max_steps)
        assert log.step_s == step_s
        assert log.dispersion(60.0) == pytest.approx(whole.dispersion(60.0))
        assert log.peak_rate == pytest.approx(whole.peak_rate)
    with pytest.raises(ValueError, match="raise max_steps"):
        workload.characterize_stream([times], max_steps=1)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "two arrivals"),
        ([[1.0]], "two arrivals"),
        ([[1.0], [1.0, 1.0]], "one instant"),
        ([[0.0, 5.0], [4.0]], r"not sorted.*row 2"),
        ([[0.0, 1.0], [2.0, np.nan]], r"NaN.*row 3"),
        ([[0.0, 0.01]], "less than one step"),
    ],
)
def test_a_bad_stream_is_refused_with_its_row(chunks, message):
    with pytest.raises(ValueError, match=message):
        workload.characterize_stream(chunks)


# --- what the test of Poisson would have noticed


@pytest.mark.parametrize("windows", [20, 200])
def test_the_detectable_dispersion_is_noticed_as_often_as_it_says(windows):
    quiet = workload.from_counts(RNG(2).poisson(30.0, 10 * windows), 1.0)
    excess = quiet.detectable_dispersion(10.0, power=0.8)
    # counts of mean 30 and variance 30 excess: a Poisson rate drawn anew in each second
    noticed = 0
    for seed in range(200):
        rng = RNG(seed)
        rates = rng.gamma(30 / (excess - 1), excess - 1, 10 * windows)
        noticed += not workload.from_counts(rng.poisson(rates), 1.0).is_poisson(10.0)
    assert stats.binomtest(noticed, 200, 0.8).pvalue > 0.001


def test_a_question_of_power_out_of_range_is_refused():
    log = workload.from_counts([3, 1, 2, 2], 1.0)
    with pytest.raises(ValueError, match="level and power"):
        log.detectable_dispersion(4.0, power=1.0)
    with pytest.raises(ValueError, match="take a longer window"):
        workload.from_counts([1, 0, 0, 0], 1.0).detectable_dispersion(2.0)


def test_the_curve_holds_the_windows_that_the_log_fills():
    curve = workload.from_counts(RNG(3).poisson(5.0, 6000), 0.1).dispersion_curve()
    assert curve.index.tolist() == [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0]
    assert np.allclose(curve.iloc[:5], 1.0, atol=0.15)


# --- silences


def test_silences_are_found_and_cut():
    busy = np.cumsum(RNG(4).exponential(0.1, 2000))
    times = np.r_[busy, busy[-1] + 60.0 + busy]
    found = workload.silences(times)
    assert len(found) == 1
    assert found["length_s"].iloc[0] == pytest.approx(60.0 + busy[0])
    cut = workload.cut_silences(times, 1.0)
    assert cut.size == times.size
    assert np.diff(cut).max() <= 1.0 + 1e-9
    assert workload.characterize(cut).rate == pytest.approx(10.0, rel=0.1)
    with pytest.raises(ValueError, match="positive"):
        workload.cut_silences(times, 0.0)
    with pytest.raises(ValueError, match="level"):
        workload.silences(times, level=0.0)


def test_poisson_logs_have_silences_as_rarely_as_stated():
    logs = (np.cumsum(RNG(seed).exponential(1.0, 300)) for seed in range(1000))
    with_any = sum(len(workload.silences(times, level=0.05)) > 0 for times in logs)
    assert stats.binomtest(with_any, 1000, 0.05).pvalue > 0.001
