"""Dispatch rules against a slow reference, exact results within intervals, and what must hold on every path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from capkit.queueing import MMc
from capkit.simulation import mean_interval, simulate_dispatch, simulate_fcfs
from capkit.simulation.dispatch import DISPATCH

SETTINGS = settings(max_examples=100)
GAPS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]), min_size=1, max_size=60)
RULES = [rule for rule in DISPATCH if rule != "pinned"]


class Looks:
    """A generator whose draws are written down."""

    def __init__(self, seed):
        self.rng, self.drawn = np.random.default_rng(seed), []

    def integers(self, *bounds, size):
        self.drawn.append(self.rng.integers(*bounds, size=size))
        return self.drawn[-1]


def slow_shortest(arrivals, services, servers, looks, firsts, strides):
    """Join the shortest queue, counting the requests anew at every arrival."""
    waits, ends = [], [[] for _ in range(servers)]
    for i, now in enumerate(arrivals):
        seen = [(firsts[i] + k * strides[i]) % servers for k in range(looks)]
        lengths = [sum(end > now for end in ends[s]) for s in seen]
        queue = ends[seen[int(np.argmin(lengths))]]
        start = max([now, *queue[-1:]])
        waits.append(start - now)
        queue.append(start + services[i])
    return waits


@SETTINGS
@given(
    GAPS, st.integers(2, 6), st.integers(0, 9), st.sampled_from(["shortest_queue", "two_choices"])
)
def test_shortest_queue_against_counting(gaps, servers, seed, rule):
    arrivals, looks = np.cumsum(gaps), Looks(seed)
    services = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 3.0, 4.25], arrivals.size)
    waits = simulate_dispatch(arrivals, services, servers, rule, looks)
    firsts, strides = (
        looks.drawn[0],
        looks.drawn[1] if rule == "two_choices" else np.ones(len(gaps), int),
    )
    number = 2 if rule == "two_choices" else servers
    expected = slow_shortest(arrivals, services, servers, number, firsts, strides)
    assert waits.tolist() == expected


@SETTINGS
@given(GAPS, st.integers(1, 5), st.sampled_from(RULES), st.integers(0, 9))
def test_one_queue_leaves_no_more_work_than_any_rule(gaps, servers, rule, seed):
    rng, arrivals = np.random.default_rng(seed), np.cumsum(gaps)
    services = rng.choice([0.5, 1.0, 3.0], arrivals.size)
    waits = simulate_dispatch(arrivals, np.full(arrivals.size, 1.5), servers, rule, rng)
    assert np.all(waits >= 0)
    assert simulate_fcfs(arrivals, 1.5, servers).sum() <= waits.sum() + 1e-9
    if servers == 1 or rule == "central":
        alone = simulate_dispatch(arrivals, services, servers, rule, rng)
        assert alone.tolist() == simulate_fcfs(arrivals, services, servers).tolist()


def response_figures(rule, servers, load, runs=12, requests=150_000, **more):
    """Mean and p99 of the response in M/M, one row a run."""
    rng, rows = np.random.default_rng([17, servers]), []
    for _ in range(runs):
        arrivals = np.cumsum(rng.exponential(1 / load, requests))
        services = rng.exponential(1.0, requests)
        stays = (simulate_dispatch(arrivals, services, servers, rule, rng, **more) + services)[
            20_000:
        ]
        rows.append((stays.mean(), np.quantile(stays, 0.99)))
    return np.array(rows)


def shortest_of_two(load, most=60):
    """Mean response of M/M with two servers and the shortest queue, from the stationary vector."""
    place = {(i, j): i * most + j for i in range(most) for j in range(most)}
    flow = np.zeros((most * most, most * most))
    for (i, j), k in place.items():
        joins = [(i + 1, j)] if i < j else [(i, j + 1)] if j < i else [(i + 1, j), (i, j + 1)]
        moves = [(to, load / len(joins)) for to in joins]
        moves += [((i - 1, j), 1.0)] * (i > 0) + [((i, j - 1), 1.0)] * (j > 0)
        for to, rate in moves:
            if to in place:
                flow[k, place[to]] += rate
                flow[k, k] -= rate
    flow[:, 0] = 1.0
    share = np.linalg.solve(flow.T, np.eye(most * most)[0])
    return sum(p * sum(divmod(k, most)) for k, p in enumerate(share)) / load


def test_shortest_of_two_queues_against_the_generator_matrix():
    exact = shortest_of_two(1.6, most=40)
    for rule in ("shortest_queue", "two_choices"):  # the same with two servers
        _, low, high = mean_interval(response_figures(rule, 2, 1.6)[:, 0], batches=12, level=0.999)
        assert low <= exact <= high


def test_random_and_round_robin_against_exact_results():
    # Round robin leaves each server Erlang-8 gaps: E8/M/1, whose response is exponential.
    root = brentq(lambda x: x - (8 * 0.85 / (8 * 0.85 + 1.0 - x)) ** 8, 0.0, 0.99)
    rates = {"random": 0.15, "round_robin": 1.0 - root, "central": None}
    for rule, rate in rates.items():
        queue = MMc(6.8, 1.0, 8)
        exact = (
            (queue.mean_response, queue.response_quantile(0.99))
            if rate is None
            else (1 / rate, -np.log(0.01) / rate)
        )
        for values, truth in zip(response_figures(rule, 8, 6.8).T, exact, strict=True):
            _, low, high = mean_interval(values, batches=12, level=0.999)
            assert low <= truth <= high


def test_the_known_order_of_the_rules():
    # 8 servers, rho = .85: mean and p99 response in service times
    known = {"central": (1.5, 5.7), "shortest_queue": (1.7, 7.1), "two_choices": (2.5, 9.2),
             "round_robin": (4.0, 18.0), "random": (6.7, 30.0)}  # fmt: skip
    for rule, (mean, tail) in known.items():
        found = response_figures(rule, 8, 6.8).mean(axis=0)
        assert found == pytest.approx((mean, tail), rel=0.07)


def test_pinned_connections():
    rng = np.random.default_rng(3)
    arrivals = np.cumsum(rng.exponential(1 / 3.0, 40_000))
    services = rng.exponential(1.0, arrivals.size)
    one = simulate_dispatch(arrivals, services, 4, "pinned", rng, connections=1)
    assert one.tolist() == simulate_fcfs(arrivals, services, 1).tolist()
    means = {
        k: np.median(
            [
                simulate_dispatch(arrivals, services, 4, "pinned", rng, connections=k).mean()
                for _ in range(9)
            ]
        )
        for k in (8, 100_000)
    }
    at_random = simulate_dispatch(arrivals, services, 4, "random", rng).mean()
    assert means[100_000] == pytest.approx(at_random, rel=0.3)
    assert means[8] > 3 * at_random  # few connections leave some server with more than it can do


@pytest.mark.parametrize(
    ("rule", "more", "message"),
    [
        ("fastest", {}, "dispatch must be one of"),
        ("pinned", {}, "connections belong"),
        ("random", {"connections": 3}, "connections belong"),
        ("pinned", {"connections": 0}, "connections must be"),
    ],
)
def test_bad_input_says_what_is_wrong(rule, more, message):
    with pytest.raises(ValueError, match=message):
        simulate_dispatch([0.0], [1.0], 2, rule, np.random.default_rng(1), **more)
