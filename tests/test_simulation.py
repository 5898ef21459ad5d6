"""The simulations against an event loop, exact formulas within intervals, and their own laws."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit.queueing import MGc, MMc, MMcK, mdc_mean_wait
from capkit.simulation import (
    draw_gamma,
    mean_interval,
    modulated_poisson,
    percentile_interval,
    poisson_arrivals,
    simulate_fcfs,
    simulate_loss,
    simulate_varying,
)

SETTINGS = settings(max_examples=150)
GAPS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]), min_size=1, max_size=40)


def event_loop(arrivals, services, servers, capacity=10**9, changes=()):
    """The queue as events on a clock: departures before changes before arrivals of the same time.

    ``changes``: (time, servers) pairs. Returns the wait by request; None for one turned away.
    """
    events = [(time, 1, i, number) for i, (time, number) in enumerate(changes)]
    events += [(time, 2, i, 0) for i, time in enumerate(arrivals)]
    heapq.heapify(events)
    waits, queue, finish = [None] * len(arrivals), [], []  # finish: of the servers that will stay

    def start_what_fits(now):
        while queue and len(finish) < servers:
            i = queue.pop(0)
            waits[i] = now - arrivals[i]
            heapq.heappush(finish, now + services[i])
            heapq.heappush(events, (now + services[i], 0, i, 0))

    while events:
        now, kind, i, number = heapq.heappop(events)
        if kind == 0:
            while finish and finish[0] <= now:
                heapq.heappop(finish)
        elif kind == 1:
            servers = number
            while len(finish) > servers:  # those that finish first leave
                heapq.heappop(finish)
        elif len(queue) + len(finish) < capacity:
            queue.append(i)
        start_what_fits(now)
    return waits


@SETTINGS
@given(GAPS, st.integers(1, 6), st.randoms(use_true_random=False))
def test_fcfs_against_the_event_loop(gaps, servers, random):
    arrivals = np.cumsum(gaps)
    services = np.array([random.choice([0.0, 0.5, 1.0, 3.0, 4.25]) for _ in gaps])
    assert simulate_fcfs(arrivals, services, servers).tolist() == event_loop(
        arrivals, services, servers
    )


@SETTINGS
@given(GAPS, st.integers(1, 4), st.integers(0, 5), st.randoms(use_true_random=False))
def test_loss_against_the_event_loop(gaps, servers, room, random):
    arrivals = np.cumsum(gaps)
    services = np.array([random.choice([0.5, 1.0, 3.0, 4.25]) for _ in gaps])
    expected = event_loop(arrivals, services, servers, servers + room)
    waits, accepted = simulate_loss(arrivals, services, servers, servers + room)
    assert accepted.tolist() == [w is not None for w in expected]
    assert waits[accepted].tolist() == [w for w in expected if w is not None]


@SETTINGS
@given(GAPS, st.lists(st.integers(0, 5), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_varying_servers_against_the_event_loop(gaps, schedule, random):
    schedule = [*schedule, 2]
    arrivals = np.cumsum(gaps)
    services = np.array([random.choice([0.7, 1.1, 3.3, 4.9]) for _ in gaps])
    changes = [(1.7 * (k + 1), number) for k, number in enumerate(schedule[1:])]
    expected = event_loop(arrivals, services, schedule[0], changes=changes)
    assert simulate_varying(arrivals, services, schedule, 1.7) == pytest.approx(expected, abs=1e-12)


def test_a_constant_schedule_is_a_plain_queue():
    rng = np.random.default_rng(3)
    arrivals = poisson_arrivals(20.0, 100.0, rng)
    services = draw_gamma(0.2, 0.5, arrivals.size, rng)
    assert np.array_equal(
        simulate_varying(arrivals, services, [5] * 30, 2.0), simulate_fcfs(arrivals, services, 5)
    )
    _, accepted = simulate_loss(arrivals, services, 5, 10**5)
    assert accepted.all()


def test_lindley_recursion():
    rng = np.random.default_rng(4)
    arrivals = np.cumsum(rng.exponential(1.0, 300))
    services = rng.exponential(0.9, 300)
    wait, expected = 0.0, []
    for i in range(300):
        if i:
            wait = max(0.0, wait + services[i - 1] - (arrivals[i] - arrivals[i - 1]))
        expected.append(wait)
    assert simulate_fcfs(arrivals, services, 1) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("servers", "utilization"), [(1, 0.5), (2, 0.8), (8, 0.85), (64, 0.95)])
def test_mmc_within_the_interval(servers, utilization):
    rng = np.random.default_rng([servers, 7])
    queue = MMc(servers * utilization, 1.0, servers)
    means, tails, waiting = [], [], []
    for _ in range(12):
        arrivals = np.cumsum(rng.exponential(1 / queue.arrival_rate, 120_000))
        services = rng.exponential(1.0, arrivals.size)
        waits = simulate_fcfs(arrivals, services, servers)[20_000:]
        means.append(waits.mean())
        tails.append(np.quantile(waits + services[20_000:], 0.99))
        waiting.append(np.mean(waits > 0))
    for found, exact in (
        (means, queue.mean_wait),
        (tails, queue.response_quantile(0.99)),
        (waiting, queue.p_wait),
    ):
        _, low, high = mean_interval(found, batches=12, level=0.999)
        assert low <= exact <= high


def test_general_service_within_the_interval():
    rng = np.random.default_rng(8)
    for servers, cv2, exact in (
        (1, 4.0, MGc(0.7, 1.0, 1, 4.0).mean_wait),
        (4, 0.0, mdc_mean_wait(3.6, 1.0, 4)),
    ):
        rate = 0.7 if servers == 1 else 3.6
        means = []
        for _ in range(12):
            arrivals = np.cumsum(rng.exponential(1 / rate, 150_000))
            services = draw_gamma(1.0, cv2, arrivals.size, rng)
            means.append(simulate_fcfs(arrivals, services, servers)[20_000:].mean())
        _, low, high = mean_interval(means, batches=12, level=0.999)
        assert low <= exact <= high


def test_finite_room_within_the_interval():
    rng, queue = np.random.default_rng(9), MMcK(4.4, 1.0, 4, 9)
    lost, means, tails = [], [], []
    for _ in range(12):
        arrivals = np.cumsum(rng.exponential(1 / 4.4, 100_000))
        services = rng.exponential(1.0, arrivals.size)
        waits, accepted = simulate_loss(arrivals, services, 4, 9)
        lost.append(1 - accepted[1000:].mean())
        kept = accepted & (np.arange(arrivals.size) >= 1000)
        means.append(waits[kept].mean())
        tails.append(np.quantile(waits[kept] + services[kept], 0.95))
    for found, exact in (
        (lost, queue.p_block),
        (means, queue.mean_wait),
        (tails, queue.response_quantile(0.95)),
    ):
        _, low, high = mean_interval(found, batches=12, level=0.999)
        assert low <= exact <= high


@SETTINGS
@given(GAPS, st.integers(1, 5), st.randoms(use_true_random=False))
def test_another_server_never_makes_anyone_wait_longer(gaps, servers, random):
    arrivals = np.cumsum(gaps)
    services = np.array([random.uniform(0.0, 3.0) for _ in gaps])
    fewer = simulate_fcfs(arrivals, services, servers)
    assert np.all(simulate_fcfs(arrivals, services, servers + 1) <= fewer + 1e-12)


def test_arrivals():
    rng = np.random.default_rng(5)
    times = modulated_poisson([100.0, 0.0, 400.0], 50.0, rng)
    counts = np.histogram(times, [0, 50, 100, 150])[0]
    assert np.all(np.diff(times) >= 0)
    assert counts[1] == 0
    assert counts[0] == pytest.approx(5000, abs=4 * 5000**0.5)
    assert counts[2] == pytest.approx(20_000, abs=4 * 20_000**0.5)
    gaps = np.diff(poisson_arrivals(1000.0, 100.0, rng))
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(1.0, abs=0.03)
    assert modulated_poisson([], 1.0, rng).size == 0


@pytest.mark.parametrize("cv2", [0.0, 0.2, 1.0, 3.0])
def test_gamma_draws_have_the_moments(cv2):
    draws = draw_gamma(0.4, cv2, 200_000, np.random.default_rng(6))
    assert draws.mean() == pytest.approx(0.4, rel=0.02)
    assert draws.var() / draws.mean() ** 2 == pytest.approx(cv2, rel=0.05, abs=1e-12)


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(10)
    inside_mean = inside_tail = 0
    for _ in range(400):
        values = rng.exponential(1.0, 1000)
        _, low, high = mean_interval(values)
        inside_mean += low <= 1.0 <= high
        low, high = percentile_interval(values, 0.95)
        inside_tail += low <= -np.log(0.05) <= high
    assert inside_mean / 400 == pytest.approx(0.95, abs=0.03)
    assert 0.94 <= inside_tail / 400 <= 0.99  # at least what it says


def test_percentile_interval_by_hand():
    # Median of 10 values: the 2nd and the 9th bracket it with 97.9 %, the 3rd and the 8th with 89 %.
    assert percentile_interval(np.arange(1.0, 11.0), 0.5) == (2.0, 9.0)
    assert percentile_interval(np.arange(368.0), 0.99)[1] == 367.0  # .99^368 < .025 < .99^367
    with pytest.raises(ValueError, match="needs about 368"):
        percentile_interval(np.arange(367.0), 0.99)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simulate_fcfs([1.0, 0.5], [1.0, 1.0], 1), "sorted"),
        (lambda: simulate_fcfs([1.0, 2.0], [1.0], 1), "one service time a request"),
        (lambda: simulate_fcfs([1.0], [-1.0], 1), ">= 0"),
        (lambda: simulate_fcfs([1.0], [float("nan")], 1), "finite"),
        (lambda: simulate_fcfs([1.0], [1.0], 0), "servers"),
        (lambda: simulate_loss([1.0], [1.0], 3, 2), "capacity"),
        (lambda: simulate_varying([1.0], [1.0], [2, -1], 1.0), "servers_by_period"),
        (lambda: simulate_varying([1.0], [1.0], [0], 1.0), "still waiting"),
        (lambda: simulate_varying([-1.0], [1.0], [1], 1.0), ">= 0"),
        (lambda: simulate_varying([1.0], [1.0], [1], 0.0), "period"),
        (lambda: modulated_poisson([-1.0], 1.0, np.random.default_rng(1)), "rates"),
        (lambda: draw_gamma(0.0, 1.0, 3, np.random.default_rng(1)), "mean"),
        (lambda: mean_interval([1.0, 2.0]), "batch"),
        (lambda: percentile_interval(np.arange(100.0), 99), "0.99"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
