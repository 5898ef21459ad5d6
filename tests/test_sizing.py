"""Sizing: published cases, the smallest number by trial, redundancy, dispatch, loss."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gamma

from capkit.queueing import (
    GGc,
    MGc,
    MMc,
    MMcK,
    erlang_b_load,
    erlang_b_servers,
    erlang_c,
    halfin_whitt,
    max_rate,
    min_servers,
    square_root_servers,
)

SETTINGS = settings(max_examples=40)
CV2 = st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.5, 16.0])


def test_call_centre_of_pyworkforce():
    needed = min_servers(100 / 1800, 1 / 180, percentile=0.8, max_wait=20.0)
    queue, fewer = MMc(100 / 1800, 1 / 180, 14), MMc(100 / 1800, 1 / 180, 13)
    assert needed == 14
    assert 1 - queue.p_wait_exceeds(20.0) == pytest.approx(0.8883500191794669, rel=1e-12)
    assert queue.p_wait == pytest.approx(0.1741319335950498, rel=1e-12)
    assert 1 - fewer.p_wait_exceeds(20.0) == pytest.approx(0.795595, abs=5e-7)


def test_halfin_whitt_limits():
    assert [halfin_whitt(b) for b in (0.5061, 1.0, 1.42, 2.375)] == pytest.approx(
        [0.5, 0.2234, 0.1, 0.01], abs=5e-5
    )
    for load in (100.0, 10_000.0, 1_000_000.0):
        assert erlang_c(square_root_servers(load, 0.2), load) == pytest.approx(0.2, abs=0.015)


def test_a_million_servers():
    needed = min_servers(1e6, 1.0, percentile=0.99, max_wait=0.001)
    assert (
        MMc(1e6, 1.0, needed).wait_quantile(0.99)
        <= 0.001
        < MMc(1e6, 1.0, needed - 1).wait_quantile(0.99)
    )


@SETTINGS
@given(st.floats(0.1, 5000.0), CV2, st.sampled_from([0.5, 0.9, 0.99]), st.floats(1.01, 5.0))
def test_min_servers_is_the_smallest_that_meets_the_target(load, service_cv2, share, slack):
    target = (
        slack * max(float(gamma.ppf(share, 1 / service_cv2, scale=service_cv2)), 0.05)
        if service_cv2
        else slack
    )
    needed = min_servers(load, 1.0, percentile=share, max_response=target, service_cv2=service_cv2)
    assert MGc(load, 1.0, needed, service_cv2).p_response_exceeds(target) <= 1 - share
    if needed - 1 > load:
        assert MGc(load, 1.0, needed - 1, service_cv2).p_response_exceeds(target) > 1 - share
    rate = max_rate(needed, 1.0, percentile=share, max_response=target, service_cv2=service_cv2)
    assert rate >= load * (1 - 1e-9)
    assert (
        min_servers(rate, 1.0, percentile=share, max_response=target, service_cv2=service_cv2)
        == needed
    )


@SETTINGS
@given(
    st.floats(0.1, 3000.0),
    st.sampled_from(["central", "random", "round_robin"]),
    st.floats(0.05, 3.0),
)
def test_target_on_the_mean(load, dispatch, wait):
    needed = min_servers(load, 1.0, max_wait=wait, dispatch=dispatch)

    def mean_wait(servers):
        if dispatch == "central":
            return MMc(load, 1.0, servers).mean_wait
        gaps = 1.0 if dispatch == "random" else 1.0 / servers
        return GGc(load / servers, 1.0, 1, gaps, 1.0).mean_wait

    assert mean_wait(needed) <= wait
    assert needed - 1 <= load or mean_wait(needed - 1) > wait
    assert min_servers(load, 1.0, max_response=1.0 + wait, dispatch=dispatch) in (
        needed,
        needed + 1,
    )
    assert max_rate(needed, 1.0, max_wait=wait, dispatch=dispatch) >= load * (1 - 1e-9)


@SETTINGS
@given(st.floats(0.1, 3000.0), st.integers(0, 30), st.sampled_from([0.3, 0.01, 1e-5]))
def test_target_on_the_loss(load, room, share):
    needed = min_servers(load, 1.0, max_loss=share, room=room)
    assert MMcK(load, 1.0, needed, needed + room).p_block <= share
    if needed > 1:
        assert MMcK(load, 1.0, needed - 1, needed - 1 + room).p_block > share
    rate = max_rate(needed, 1.0, max_loss=share, room=room)
    assert rate >= load * (1 - 1e-9)
    if room == 0:
        assert needed == max(erlang_b_servers(load, share), 1)
        assert rate == pytest.approx(erlang_b_load(needed, share), rel=1e-9)


def test_the_price_of_a_queue_for_each_server():
    # M/M at 8 servers and rho = .85, in service times: mean and p99 of the response
    one_queue, round_robin, random = MMc(6.8, 1.0, 8), GGc(0.85, 1.0, 1, 1 / 8), MMc(0.85, 1.0, 1)
    figures = [
        (q.mean_response, q.response_quantile(0.99)) for q in (one_queue, round_robin, random)
    ]
    assert figures[0] == pytest.approx((1.477, 5.685), abs=1e-3)
    assert figures[1] == pytest.approx((4.0, 18.0), rel=0.05)
    assert figures[2] == pytest.approx((20 / 3, 30.70), abs=5e-3)
    target = {"percentile": 0.99, "max_response": 6.0}
    by_rule = [
        min_servers(6.8, 1.0, dispatch=d, **target) for d in ("central", "round_robin", "random")
    ]
    assert by_rule == [8, 15, 30]
    assert min_servers(6.8, 1.0, **target) == by_rule[0]


def test_random_dispatch_thins_bursts():
    many = min_servers(400.0, 1.0, percentile=0.9, max_wait=1.0, arrival_cv2=5.0, dispatch="random")
    assert many == pytest.approx(
        min_servers(400.0, 1.0, percentile=0.9, max_wait=1.0, dispatch="random"), rel=0.01
    )


def test_redundancy_adds_servers_and_takes_rate():
    target = {"percentile": 0.99, "max_response": 6.0}
    for spare in (0, 1, 3):
        assert (
            min_servers(50.0, 1.0, redundancy=spare, **target)
            == min_servers(50.0, 1.0, **target) + spare
        )
        assert max_rate(60 + spare, 1.0, redundancy=spare, **target) == max_rate(60, 1.0, **target)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: min_servers(1.0, 1.0, percentile=0.99, max_response=1.0), "service time alone"),
        (lambda: min_servers(1.0, 1.0, max_response=1.0), "service time alone"),
        (lambda: min_servers(1.0, 1.0, percentile=0.99), "either"),
        (lambda: min_servers(1.0, 1.0, max_wait=1.0, max_loss=0.1), "either"),
        (lambda: min_servers(1.0, 1.0, max_loss=2.0), "max_loss is a share"),
        (lambda: min_servers(1.0, 1.0, max_loss=0.1, service_cv2=0.5), "M/M/c/K"),
        (lambda: min_servers(1.0, 1.0, max_wait=0.1, room=5), "room belongs"),
        (
            lambda: min_servers(1.0, 1.0, max_wait=0.1, dispatch="shortest_queue"),
            "simulate_dispatch",
        ),
        (lambda: min_servers(1.0, 1.0, max_wait=0.1, redundancy=-1), "redundancy"),
        (lambda: min_servers(1.0, 1.0, max_wait=0.0, dispatch="random"), "no number up to"),
        (lambda: max_rate(2, 1.0, percentile=99, max_wait=1.0), "0.99"),
        (
            lambda: max_rate(2, 1.0, max_wait=1.0, redundancy=2),
            "servers must be whole numbers >= 3",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
