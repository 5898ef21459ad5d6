"""Batch service against a clock, an exact mean, and its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit.queueing import MDc
from capkit.simulation import mean_interval, poisson_arrivals, simulate_batches, simulate_fcfs

SETTINGS = settings(max_examples=200)
GAPS = st.lists(st.sampled_from([0, 1, 2, 4]), min_size=1, max_size=50)


def by_the_clock(arrivals, servers, fixed, each, most, timeout):
    """The rule applied at every whole time, as a scheduler that wakes up and looks; times are integers."""
    starts, sizes, waiting, busy, arrived, now = {}, {}, [], [], 0, 0
    while len(starts) < len(arrivals):
        busy = [end for end in busy if end > now]
        while arrived < len(arrivals) and arrivals[arrived] <= now:
            waiting.append(arrived)
            arrived += 1
        while waiting and len(busy) < servers:
            full = len(waiting) >= most
            if not full and now < arrivals[waiting[0]] + timeout:
                break
            batch, waiting = waiting[:most], waiting[most:]
            busy.append(now + fixed + each * len(batch))
            for i in batch:
                starts[i], sizes[i] = now, len(batch)
        now += 1
    n = range(len(arrivals))
    return [starts[i] - arrivals[i] for i in n], [fixed + each * sizes[i] for i in n]


@SETTINGS
@given(
    GAPS,
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(0, 2),
    st.integers(1, 7),
    st.integers(0, 9),
)
def test_batches_against_the_clock(gaps, servers, fixed, each, most, timeout):
    arrivals = np.cumsum(gaps)
    waits, services = simulate_batches(
        arrivals,
        fixed_s=fixed,
        per_request_s=each,
        max_batch=most,
        timeout_s=timeout,
        servers=servers,
    )
    assert (waits.tolist(), services.tolist()) == by_the_clock(
        arrivals, servers, fixed, each, most, timeout
    )


def test_a_batch_of_one_is_a_plain_queue():
    arrivals = poisson_arrivals(15.0, 200.0, np.random.default_rng(1))
    waits, services = simulate_batches(
        arrivals, fixed_s=0.1, per_request_s=0.02, max_batch=1, timeout_s=5.0, servers=2
    )
    assert waits.tolist() == simulate_fcfs(arrivals, 0.1 + 0.02, 2).tolist()
    assert set(services.tolist()) == {0.1 + 0.02}
    assert waits.mean() == pytest.approx(MDc(15.0, 1 / 0.12, 2).mean_wait, rel=0.3)


def test_unlimited_batches_of_constant_time_within_the_interval():
    # A service finds Poisson(a) requests at its end, or the next one starts alone: a request that arrives
    # during a service waits half of it, and a / (a + exp(-a)) of them do.
    rng, load = np.random.default_rng(2), 1.7
    means = []
    for _ in range(12):
        arrivals = np.cumsum(rng.exponential(1 / load, 60_000))
        waits, _ = simulate_batches(arrivals, fixed_s=1.0, per_request_s=0.0, max_batch=10**6)
        means.append(waits.mean())
    _, low, high = mean_interval(means, batches=12, level=0.999)
    assert low <= 0.5 * load / (load + math.exp(-load)) <= high


def test_throughput_at_saturation():
    waits, services = simulate_batches(
        np.zeros(64_000), fixed_s=0.3, per_request_s=0.01, max_batch=32, servers=4
    )
    assert 64_000 / (waits + services).max() == pytest.approx(4 * 32 / (0.3 + 0.32), rel=1e-9)


def test_a_timeout_costs_latency_at_low_load_and_fills_batches():
    arrivals = poisson_arrivals(20.0, 500.0, np.random.default_rng(4))
    rule = {"fixed_s": 0.02, "per_request_s": 0.001, "max_batch": 16}
    at_once = simulate_batches(arrivals, **rule)
    patient = simulate_batches(arrivals, timeout_s=0.1, **rule)
    assert sum(patient).mean() > sum(at_once).mean() + 0.03
    assert patient[1].mean() > at_once[1].mean()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_batch": 0}, "max_batch"),
        ({"timeout_s": -1.0}, "timeout_s"),
        ({"fixed_s": float("inf")}, "finite"),
        ({"servers": 0}, "servers"),
    ],
)
def test_bad_input_says_what_is_wrong(change, message):
    rule = {"fixed_s": 1.0, "per_request_s": 0.1, "max_batch": 4} | change
    with pytest.raises(ValueError, match=message):
        simulate_batches([0.0, 1.0], **rule)
