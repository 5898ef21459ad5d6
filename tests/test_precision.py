"""Long runs in bounded memory, runs to a precision, common random numbers, servers that fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit.queueing import MMc
from capkit.simulation import (
    LogHistogram,
    compare,
    failing_servers,
    replicate,
    replicate_until,
    simulate_fcfs,
    simulate_varying,
    stream_fcfs,
)

SETTINGS = settings(max_examples=100)
TIMES = st.lists(st.floats(1e-8, 1e6), min_size=1, max_size=200)


def markovian(rng, size):
    """Gaps and services of M/M at 6.8 erlang."""
    return rng.exponential(1 / 6.8, size), rng.exponential(1.0, size)


@SETTINGS
@given(TIMES, TIMES, st.floats(0.0, 1.0))
def test_histogram_quantiles_are_within_a_thousandth_and_merge(first, second, share):
    one, two, both = LogHistogram(), LogHistogram(), LogHistogram()
    one.add(first)
    two.add(second)
    both.add(first + second)
    exact = np.quantile(first + second, share, method="inverted_cdf")
    assert both.quantile(share) == pytest.approx(exact, rel=1.001e-3)
    merged = one + two
    assert merged.counts.tolist() == both.counts.tolist()
    assert merged.mean == pytest.approx(np.mean(first + second))
    assert merged.size == len(first + second)


def test_histogram_of_zeros_and_shares():
    histogram = LogHistogram()
    histogram.add([0.0, 0.0, 0.0, 2.0])
    assert [histogram.quantile(p) for p in (0.0, 0.75)] == [0.0, 0.0]
    assert histogram.quantile(0.76) == pytest.approx(2.0, rel=1e-3)
    assert [histogram.share_above(t) for t in (0.0, 1.99, 2.01)] == [0.25, 0.25, 0.0]


def test_a_stream_in_chunks_is_one_long_run():
    chunked, _ = stream_fcfs(markovian, 8, 5_000, np.random.default_rng(1), chunk=1)
    rng, gaps, services = np.random.default_rng(1), [], []
    for _ in range(5_000):
        gap, service = markovian(rng, 1)
        gaps.append(gap[0])
        services.append(service[0])
    waits = simulate_fcfs(np.cumsum(gaps), services, 8)
    assert chunked.mean == pytest.approx(waits.mean(), rel=1e-9)
    assert chunked.quantile(0.99) == pytest.approx(np.quantile(waits, 0.99), rel=5e-3)


def test_a_long_stream_meets_the_formula():
    queue = MMc(6.8, 1.0, 8)

    def run(rng):
        waits, stays = stream_fcfs(markovian, 8, 300_000, rng, warmup=10_000)
        assert waits.size == stays.size == 290_000
        return waits.mean, stays.quantile(0.99), waits.share_above(0.0), stays.share_above(3.0)

    exact = (
        queue.mean_wait,
        queue.response_quantile(0.99),
        queue.p_wait,
        queue.p_response_exceeds(3.0),
    )
    for (_, low, high), truth in zip(
        replicate(run, np.random.default_rng(2), 12, 0.999), exact, strict=True
    ):
        assert low * (1 - 1e-3) <= truth <= high * (1 + 1e-3)


def test_replications_until_precise():
    def run(rng):
        return [rng.normal(10.0, 2.0), rng.normal(3.0, 0.3)]

    found, inside = [], 0
    for seed in range(200):
        figures, runs = replicate_until(run, np.random.default_rng(seed), precision=0.05, least=20)
        assert np.all(figures[:, 2] - figures[:, 0] <= 0.05 * figures[:, 0])
        inside += figures[0, 1] <= 10.0 <= figures[0, 2]
        found.append(runs)
    assert np.mean(found) == pytest.approx((1.98 * 0.2 / 0.05) ** 2, rel=0.15)
    assert inside / 200 > 0.9


def test_replications_that_are_not_enough_say_how_many_are():
    with pytest.raises(ValueError, match="needs about"):
        replicate_until(
            lambda rng: [rng.normal(1.0, 1.0)], np.random.default_rng(1), precision=0.01, most=50
        )
    with pytest.raises(ValueError, match="precision is a share"):
        replicate_until(lambda rng: [1.0], np.random.default_rng(1), precision=0.0)


def mean_wait(servers):
    def run(rng):
        gaps, services = markovian(rng, 20_000)
        return [simulate_fcfs(np.cumsum(gaps), services, servers).mean()]

    return run


def test_common_random_numbers_narrow_a_comparison():
    exact = MMc(6.8, 1.0, 9).mean_wait - MMc(6.8, 1.0, 8).mean_wait
    _, low, high = compare(mean_wait(8), mean_wait(9), np.random.default_rng(3), 20, 0.999)[0]
    assert low <= exact <= high
    apart = replicate(
        lambda rng: [mean_wait(9)(rng)[0] - mean_wait(8)(rng)[0]],
        np.random.default_rng(3),
        20,
        0.999,
    )
    assert high - low < 0.85 * (apart[0, 2] - apart[0, 1])
    assert compare(mean_wait(8), mean_wait(8), np.random.default_rng(3))[0].tolist() == [
        0.0,
        0.0,
        0.0,
    ]


def test_failing_servers_are_up_as_often_as_they_should():
    rng = np.random.default_rng(4)
    times = {"mean_up_s": 600.0, "mean_down_s": 60.0, "startup_s": 40.0}
    up = failing_servers(200, 3000, 10.0, rng, **times)
    assert up[0] == 200
    assert up[500:].mean() / 200 == pytest.approx(600 / 700, abs=0.01)
    spread = 200 * 600 / 700 * 100 / 700  # independent servers: binomial
    assert up[500:].var() == pytest.approx(spread, rel=0.25)


def test_waits_under_failures_lie_between_the_extremes():
    rng = np.random.default_rng(5)
    gaps, services = markovian(rng, 60_000)
    arrivals = np.cumsum(gaps)
    up = failing_servers(12, 900, 10.0, rng, mean_up_s=400.0, mean_down_s=80.0)
    waits = simulate_varying(arrivals, services, np.append(up, 12), 10.0).mean()
    assert simulate_fcfs(arrivals, services, 12).mean() < waits
    assert (
        simulate_varying(arrivals, services, np.append(np.minimum(up, 8), 12), 10.0).mean() > waits
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LogHistogram().quantile(99), "0.99"),
        (lambda: LogHistogram().mean, "empty"),
        (lambda: LogHistogram().add([1.0, float("nan")]), "finite"),
        (lambda: stream_fcfs(markovian, 0, 10, np.random.default_rng(1)), "servers"),
        (
            lambda: failing_servers(
                2, 3, 1.0, np.random.default_rng(1), mean_up_s=0.0, mean_down_s=1.0
            ),
            "mean_up_s",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
