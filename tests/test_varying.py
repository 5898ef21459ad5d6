"""Waits under a rate that changes with time, against the fluid, the steady state and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit.queueing import (
    MGc,
    pointwise_wait,
)
from capkit.simulation import modulated_poisson, replicate, simulate_fcfs


@given(
    servers=st.integers(1, 64),
    load=st.floats(0.05, 0.8),
    cv2=st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.5, 16.0]),
)
@settings(max_examples=60)
def test_a_constant_rate_is_the_steady_state(servers, load, cv2):
    steady = MGc(load * servers, 1.0, servers, cv2).mean_wait
    assert pointwise_wait([load * servers] * 3, 1e9, 1.0, servers, cv2) == pytest.approx(steady)


def test_a_long_overload_is_the_fluid():
    # 2 c mu for T, then nothing: the backlog grows to c mu T, and the last wait T, the mean T / 2.
    assert pointwise_wait([32.0, 0.0], 1e6, 1.0, 16) == pytest.approx(5e5, rel=1e-3)
    with_tail = pointwise_wait([32.0, 8.0, 8.0], 1e6, 1.0, 16)  # paid back at half speed, for 2 T
    assert with_tail == pytest.approx(5e5, rel=1e-3)


def test_a_backlog_that_empties_within_a_step_delays_that_part_alone():
    # 1.5 c mu for T, then c mu / 4: T / 4 on average while it grows and while it is paid back, in 2/3 of a step.
    wait = pointwise_wait([24.0, 4.0], 1e6, 1.0, 16)
    assert wait == pytest.approx(2.5e5 * (24 + 4 * 2 / 3) / 28, rel=1e-3)
    finer = pointwise_wait(np.repeat([24.0, 4.0], 3), 1e6 / 3, 1.0, 16)
    assert wait == pytest.approx(finer, rel=1e-3)


@pytest.mark.parametrize("servers", [1, 4, 16])
def test_a_tide_against_a_simulation(servers):
    rates = servers * np.array([0.5, 0.8, 1.2, 0.8, 0.5, 0.5])

    def run(rng):
        arrivals = modulated_poisson(rates, 600.0, rng)
        return [simulate_fcfs(arrivals, rng.exponential(1.0, arrivals.size), servers).mean()]

    simulated = replicate(run, np.random.default_rng(4), 200)[0, 0]
    assert pointwise_wait(rates, 600.0, 1.0, servers) == pytest.approx(simulated, rel=0.15)


@pytest.mark.parametrize("rates", [[], [0.0], [-1.0], 3.0])
def test_rates_that_say_nothing_are_refused(rates):
    with pytest.raises(ValueError, match="rates"):
        pointwise_wait(rates, 60.0, 1.0, 4)
