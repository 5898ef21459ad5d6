"""Generators of arrivals: known processes in, the same figures out, and the real traces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit import datasets, workload
from capkit.workload import BlockBootstrap, MarkovModulated, MovingRate

RNG = np.random.default_rng


def trace_log(trace: str) -> workload.Workload:
    return workload.from_counts(datasets.load_arrivals(trace)["requests"], 1.0)


@pytest.mark.parametrize("trace, step_s, cv2", [("chat", 60.0, 1.1), ("code", 1.0, 1.2)])
def test_each_generator_keeps_the_dispersion_of_the_traces(trace, step_s, cv2):
    log = trace_log(trace)
    times = datasets.arrival_times(trace, RNG(1))
    for generator in (
        MovingRate.of(log, step_s),
        MovingRate.of(log, step_s, cv2=cv2),
        MarkovModulated.of(log),
        BlockBootstrap(times, log.duration_s, 300.0),
    ):
        table = workload.check_generator(log, generator.draw, RNG(2), replicas=60)
        assert (table["error"].abs() < 0.15).all(), (generator, table)


def test_a_constant_rate_loses_the_bursts_of_the_code_trace():
    log = trace_log("code")
    constant = MovingRate(np.array([log.rate]), log.duration_s)
    table = workload.check_generator(log, constant.draw, RNG(3), replicas=10)
    assert (table.loc["IDC at 1 s":, "high"] < table.loc["IDC at 1 s":, "original"] / 5).all()
    assert abs(table.loc["rate (1/s)", "error"]) < 0.02


@pytest.mark.parametrize("cv2", [0.25, 1.0, 4.0])
def test_a_constant_rate_with_gamma_gaps_is_a_renewal_process(cv2):
    times = MovingRate(np.array([5.0]), 1.0, cv2).draw(20_000.0, RNG(4))
    log = workload.characterize(times)
    assert log.rate == pytest.approx(5.0, rel=0.02)
    assert log.interarrival_cv2 == pytest.approx(cv2, rel=0.05)
    # the IDC of a renewal process tends to the CV2 of its gaps: Cox and Lewis (1966)
    assert log.dispersion(20.0) == pytest.approx(cv2, rel=0.12)


def test_a_renewal_process_starts_in_equilibrium():
    # the expected count of a stationary process is rate times time, however short the time
    generator = MovingRate(np.array([1.0]), 1.0, 8.0)
    counts = [generator.draw(2.0, RNG(seed)).size for seed in range(4000)]
    assert np.mean(counts) == pytest.approx(2.0, abs=4 * np.std(counts) / np.sqrt(4000))


def test_the_noise_of_the_counts_does_not_come_twice():
    rates = RNG(5).gamma(4.0, 2.0, 4000)
    log = workload.from_counts(RNG(6).poisson(rates), 1.0)
    generator = MovingRate.of(log, 1.0)
    steps = [generator.draw(4000.0, RNG(k)).astype(int) for k in range(20)]
    drawn = [workload.from_counts(np.bincount(step), 1.0).dispersion(1.0) for step in steps]
    assert np.mean(drawn) == pytest.approx(log.dispersion(1.0), rel=0.03)
    constant = workload.from_counts([4, 5, 6, 5, 4, 6], 1.0)
    assert np.ptp(MovingRate.of(constant, 1.0).rates) == 0


def test_the_path_of_rates_starts_again():
    times = MovingRate(np.array([100.0, 0.0]), 1.0).draw(6.0, RNG(7))
    assert set(np.floor(times).astype(int)) == {0, 2, 4}


def test_a_markov_modulated_log_gives_its_own_parameters_back():
    # one source of rate 20/s, on for 2 s and off for 6 s on average
    truth = MarkovModulated(2.0, np.array([20.0]), np.array([2.0]), np.array([6.0]))
    known = truth.dispersion(10.0)
    # Fischer and Meier-Hellstern (1993): 2 var c / rate, c = 1/(1/2 + 1/6) = 1.5 s
    assert known == pytest.approx(1 + 2 * 75 * 1.5 / 7 * (1 - (1 - np.exp(-10 / 1.5)) * 0.15))
    log = workload.characterize(truth.draw(40_000.0, RNG(8)))
    fitted = MarkovModulated.of(log)
    for window_s in (0.5, 2.0, 10.0, 60.0):
        assert fitted.dispersion(window_s) == pytest.approx(truth.dispersion(window_s), rel=0.1)
    assert fitted.steady_rate + fitted.on_rates @ (
        fitted.on_s / (fitted.on_s + fitted.off_s)
    ) == pytest.approx(log.rate)


def test_a_poisson_log_needs_no_markov_chain():
    with pytest.raises(ValueError, match="take a Poisson process"):
        MarkovModulated.of(workload.characterize(np.arange(1000.0)))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(1.0, 50.0))
def test_blocks_hold_arrivals_of_the_log_and_end_in_time(seed, block_s):
    times = np.sort(RNG(seed).uniform(0.0, 50.0, 200))
    drawn = BlockBootstrap(times, 50.0, block_s).draw(70.0, RNG(seed))
    assert (np.diff(drawn) >= 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < 70.0
    # one block of the whole log is the log, turned
    turned = BlockBootstrap(times, 50.0, 50.0).draw(50.0, RNG(seed))
    assert turned.size == times.size
    gaps = np.sort(np.r_[np.diff(times), times[0] + 50.0 - times[-1]])
    missing = 50.0 - turned[-1] + turned[0]
    assert np.allclose(np.sort(np.r_[np.diff(turned), missing]), gaps)


def test_a_block_longer_than_the_log_is_refused():
    with pytest.raises(ValueError, match="must fit into the log"):
        BlockBootstrap(np.array([0.0, 1.0]), 1.0, 2.0)


@pytest.mark.parametrize(
    ("rates", "step_s", "cv2"),
    [
        ([-1.0], 1.0, 1.0),
        ([0.0], 1.0, 1.0),
        ([np.nan], 1.0, 1.0),
        ([1.0], 0.0, 1.0),
        ([1.0], 1.0, 0.0),
    ],
)
def test_a_rate_that_cannot_be_is_refused(rates, step_s, cv2):
    with pytest.raises(ValueError, match="rates must be 1-D, finite"):
        MovingRate(np.array(rates), step_s, cv2)


def test_a_log_of_no_length_is_refused():
    for generator in (
        MovingRate(np.array([1.0]), 1.0),
        BlockBootstrap(np.array([0.0, 1.0]), 2.0, 1.0),
        MarkovModulated(1.0, np.array([1.0]), np.array([1.0]), np.array([1.0])),
    ):
        with pytest.raises(ValueError, match=r"positive|duration"):
            generator.draw(0.0, RNG(1))
