"""Queueing formulas against published values, exact arithmetic, the generator matrix and each other."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import gamma

from capkit.queueing import (
    USL,
    GGc,
    MGc,
    MMc,
    MMcK,
    erlang_b,
    erlang_c,
    fit_usl,
    mva,
)

SETTINGS = settings(max_examples=60)
UTILIZATION = st.floats(0.01, 0.999)
SERVERS = st.integers(1, 3000)
CV2 = st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.5, 16.0])


# Known answers -----------------------------------------------------------------------------------


def test_eye_clinic_of_gross_and_harris():
    queue = MMc(6.0, 3.0, 3)
    assert queue.p0 == pytest.approx(1 / 9, rel=1e-12)
    assert queue.p_wait == pytest.approx(4 / 9, rel=1e-12)
    assert queue.mean_queue_length == pytest.approx(8 / 9, rel=1e-12)
    assert queue.mean_in_system == pytest.approx(26 / 9, rel=1e-12)
    assert 60 * queue.mean_wait == pytest.approx(80 / 9, rel=1e-12)
    assert 60 * queue.mean_response == pytest.approx(260 / 9, rel=1e-12)


def test_county_hospital_of_hillier_and_lieberman():
    one, two = MMc(2.0, 3.0, 1), MMc(2.0, 3.0, 2)
    assert (
        one.p0,
        one.mean_queue_length,
        one.mean_in_system,
        one.mean_wait,
        one.mean_response,
    ) == (pytest.approx((1 / 3, 4 / 3, 2, 2 / 3, 1), rel=1e-12))
    assert one.p_wait_exceeds([0.5, 1.0]) == pytest.approx([0.404, 0.245], abs=5e-4)
    assert (
        two.p0,
        two.mean_queue_length,
        two.mean_in_system,
        two.mean_wait,
        two.mean_response,
    ) == (pytest.approx((1 / 2, 1 / 12, 3 / 4, 1 / 24, 3 / 8), rel=1e-12))
    assert two.p_wait == pytest.approx(1 / 6, rel=1e-12)
    assert two.p_wait_exceeds(0.5) == pytest.approx(0.0226, abs=5e-5)


def test_finite_room_of_the_r_package_queueing():
    queue = MMcK(8.0, 4.0, 5, 12)
    assert queue.p0 == pytest.approx(0.134334, abs=5e-7)
    assert queue.p_block == pytest.approx(5.869e-5, abs=5e-9)
    assert queue.mean_in_system == pytest.approx(2.039346, abs=5e-7)
    assert queue.mean_queue_length == pytest.approx(0.0394634, abs=5e-8)
    assert queue.mean_response == pytest.approx(0.254933, abs=5e-7)


def test_closed_network_of_lazowska():
    demands = [0.605, 2.1, 1.35]
    result = mva(demands, 20, think_time=15.0)
    assert result.throughput[[0, 2, 19]] == pytest.approx([0.05248, 0.151516, 0.474516], abs=5e-7)
    assert result.response_time[[0, 2]] == pytest.approx([4.055, 4.799825], abs=5e-7)
    assert (15.0 + sum(demands)) / max(demands) == pytest.approx(9.074, abs=5e-4)
    cycle = 15.0 + result.response_time
    assert result.throughput * cycle == pytest.approx(result.customers)  # Little's law
    assert np.all(result.throughput <= np.minimum(1 / 2.1, result.customers / 19.055) + 1e-12)
    assert result.queue_lengths.sum(axis=1) == pytest.approx(
        result.throughput * result.response_time
    )


def test_closed_network_of_one_station_is_the_machine_repairman():
    demand, think, customers = 0.7, 3.0, 6
    ratio = Fraction(7, 30)  # demand / think
    weights, term = [Fraction(1)], Fraction(1)
    for n in range(1, customers + 1):
        term *= (customers - n + 1) * ratio
        weights.append(term)
    busy = float(1 - weights[0] / sum(weights))
    assert mva([demand], customers, think).throughput[-1] == pytest.approx(busy / demand, rel=1e-12)


def test_scalability_law_of_gunther():
    users = [1, 18, 36, 72, 108, 144, 216]
    fit = fit_usl(users, [64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2])
    assert fit.alpha == pytest.approx(0.0277285, abs=5e-8)
    assert fit.beta == pytest.approx(0.00010436, abs=1e-8)
    assert fit.gamma == pytest.approx(89.995233, abs=5e-6)
    assert fit.peak_concurrency == pytest.approx(96.52, abs=5e-3)


# The generator matrix --------------------------------------------------------------------------------


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (3, 2.0), (8, 6.8), (40, 36.0)])
def test_mmc_against_the_generator_matrix(servers, load):
    capacity = servers + 40
    rates_up = np.full(capacity, load)
    rates_down = np.minimum(np.arange(1, capacity + 1), servers).astype(float)
    generator = np.diag(rates_up, 1) + np.diag(rates_down, -1)
    generator -= np.diag(generator.sum(axis=1))
    system = np.vstack([generator.T, np.ones(capacity + 1)])
    stationary = np.linalg.lstsq(system, np.r_[np.zeros(capacity + 1), 1.0], rcond=None)[0]
    finite = MMcK(load, 1.0, servers, capacity)
    waiting = np.maximum(np.arange(capacity + 1) - servers, 0)
    assert finite.p0 == pytest.approx(stationary[0], rel=1e-8)
    assert finite.p_block == pytest.approx(stationary[-1], rel=1e-6, abs=1e-14)
    assert finite.mean_queue_length == pytest.approx(stationary @ waiting, rel=1e-8)
    assert finite.mean_in_system == pytest.approx(stationary @ np.arange(capacity + 1), rel=1e-8)
    endless = MMc(load, 1.0, servers)
    wide = MMcK(load, 1.0, servers, servers + 3000)
    assert (wide.p0, wide.p_wait, wide.mean_wait, wide.response_quantile(0.99)) == pytest.approx(
        (endless.p0, endless.p_wait, endless.mean_wait, endless.response_quantile(0.99)), rel=1e-9
    )


# Distributions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("service_cv2", [0.04, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("servers", [1, 4, 32])
def test_response_is_the_convolution_of_wait_and_service(servers, service_cv2):
    queue = GGc(0.8 * servers, 1.0, servers, arrival_cv2=1.7, service_cv2=service_cv2)
    law = gamma(1 / service_cv2, scale=service_cv2)
    for time in (0.3, 1.0, 4.0):
        # by the service time's quantiles: no singularity at 0 for a law with cv2 > 1
        share = law.cdf(time)
        late = quad(
            lambda u, t=time: queue.p_wait_exceeds(max(t - law.ppf(u), 0.0)),
            0.0,
            share,
            epsabs=1e-9,
        )[0]
        assert queue.p_response_exceeds(time) == pytest.approx(1 - share + late, abs=1e-7)


def test_mmc_is_ggc_with_both_coefficients_one():
    for servers, rate in (
        (1, 0.5),
        (2, 1.0),
        (3, 2.0),
        (64, 60.0),
    ):  # rate 1 of 2: both exponentials equal
        exact, general = MMc(rate, 1.0, servers), GGc(rate, 1.0, servers)
        times = np.array([0.0, 0.1, 1.0, 5.0, 30.0])
        assert exact.p_response_exceeds(times) == pytest.approx(
            general.p_response_exceeds(times), rel=1e-9
        )


def test_response_of_mm1_is_exponential():
    queue = MMc(0.85, 1.0, 1)
    assert queue.response_quantile([0.5, 0.99]) == pytest.approx(
        -np.log([0.5, 0.01]) / 0.15, rel=1e-12
    )


def test_constant_service_shifts_the_wait():
    queue = MGc(3.0, 1.0, 4, service_cv2=0.0)
    assert queue.response_quantile(0.99) == pytest.approx(1.0 + queue.wait_quantile(0.99), rel=1e-9)
    assert queue.p_response_exceeds(0.999) == 1.0


def test_finite_room_response_against_integration():
    for servers in (1, 3):
        queue = MMcK(2.0, 1.0, servers, servers + 4)
        for time in (0.2, 1.0, 3.0):
            late = quad(lambda s, t=time, q=queue: np.exp(-s) * q.p_wait_exceeds(t - s), 0.0, time)[
                0
            ]
            assert queue.p_response_exceeds(time) == pytest.approx(np.exp(-time) + late, rel=1e-7)
        area = quad(queue.p_wait_exceeds, 0.0, 60.0, limit=200)[0]
        assert area == pytest.approx(queue.mean_wait, rel=1e-6)


@SETTINGS
@given(SERVERS, UTILIZATION, CV2, st.floats(0.5, 0.9999))
def test_quantiles_invert_the_tails(servers, utilization, service_cv2, share):
    queue = MGc(servers * utilization * 3.0, 3.0, servers, service_cv2)
    response, wait = queue.response_quantile(share), queue.wait_quantile(share)
    assert wait <= response
    if service_cv2 > 0:
        assert queue.p_response_exceeds(response) == pytest.approx(1 - share, rel=1e-6)
    if wait > 0:
        assert queue.p_wait_exceeds(wait) == pytest.approx(1 - share, rel=1e-9)
    else:
        assert queue.p_wait <= 1 - share + 1e-12


@SETTINGS
@given(SERVERS, UTILIZATION)
def test_little_and_utilisation_laws(servers, utilization):
    rate, service = servers * utilization * 50.0, 50.0
    queue = MMc(rate, service, servers)
    assert queue.utilization == pytest.approx(utilization)
    assert queue.mean_in_system == pytest.approx(queue.mean_queue_length + queue.offered_load)
    assert queue.mean_in_system == pytest.approx(rate * queue.mean_response)
    assert queue.mean_queue_length == pytest.approx(queue.p_wait * utilization / (1 - utilization))
    assert 0 <= queue.p0 < 1 and 0 <= queue.p_wait < 1


@SETTINGS
@given(SERVERS, UTILIZATION, CV2, CV2)
def test_more_servers_or_less_variation_never_wait_longer(
    servers, utilization, arrival_cv2, service_cv2
):
    rate = servers * utilization
    queue = GGc(rate, 1.0, servers, arrival_cv2 + 0.1, service_cv2)
    assert GGc(rate, 1.0, servers + 1, arrival_cv2 + 0.1, service_cv2).mean_wait <= queue.mean_wait
    assert GGc(rate, 1.0, servers, arrival_cv2 + 0.6, service_cv2).mean_wait >= queue.mean_wait
    assert GGc(0.99 * rate, 1.0, servers, arrival_cv2 + 0.1, service_cv2).p_wait <= queue.p_wait
    assert erlang_b(servers, rate) <= erlang_c(servers, rate) <= 1
    assert erlang_b(servers + 1, rate) <= erlang_b(servers, rate)


def test_percentile_of_a_sum_is_not_the_sum_of_percentiles():
    queue = MMc(6.8, 1.0, 8)
    of_sum = queue.response_quantile(0.99)
    summed = queue.wait_quantile(0.99) - np.log(0.01)
    assert of_sum < summed
    assert of_sum > max(queue.wait_quantile(0.99), -np.log(0.01))


def test_one_pool_beats_eight():
    assert MMc(51.2, 1.0, 64).mean_wait < MMc(6.4, 1.0, 8).mean_wait / 20


@SETTINGS
@given(st.integers(1, 60), st.floats(0.05, 3.0), st.integers(0, 200))
def test_finite_room_properties(servers, utilization, room):
    queue = MMcK(servers * utilization, 1.0, servers, servers + room)
    assert 0 <= queue.p_block < 1
    assert queue.throughput <= min(queue.arrival_rate, servers) * (1 + 1e-12)
    assert MMcK(
        servers * utilization, 1.0, servers, servers + room + 1
    ).p_block <= queue.p_block * (1 + 1e-12)
    assert queue.p_wait_exceeds(0.0) == pytest.approx(queue.p_wait, abs=1e-12)
    assert queue.p_response_exceeds(0.0) == pytest.approx(1.0)


def test_scalability_law_recovers_what_made_the_data():
    truth = USL(0.08, 0.0007, 120.0)
    users = np.array([1, 2, 4, 8, 16, 32, 64])
    fit = fit_usl(users, truth.throughput(users))
    assert dataclasses.astuple(fit) == pytest.approx(dataclasses.astuple(truth), rel=1e-6)
    assert fit_usl(users, 10.0 * users).peak_concurrency > 1e3


def test_finite_room_takes_arrays():
    rates, servers, capacity = (
        np.array([2.0, 4.4, 9.0]),
        np.array([[1], [4]]),
        np.array([[6], [30]]),
    )
    table = MMcK(rates, 1.0, servers, capacity)
    for i, j in np.ndindex(2, 3):
        one = MMcK(rates[j], 1.0, int(servers[i, 0]), int(capacity[i, 0]))
        for name in ("p0", "p_block", "throughput", "p_wait", "mean_wait", "utilization"):
            assert getattr(table, name)[i, j] == pytest.approx(getattr(one, name), rel=1e-12)
        assert table.p_response_exceeds(1.3)[i, j] == pytest.approx(one.p_response_exceeds(1.3))
        assert table.wait_quantile(0.9)[i, j] == pytest.approx(one.wait_quantile(0.9))


def test_arrays_broadcast():
    curve = MMc(np.array([10.0, 20.0, 30.0]), 10.0, np.array([[4], [5]]))
    assert curve.mean_wait.shape == (2, 3)
    assert curve.response_quantile(0.99)[1, 2] == pytest.approx(
        MMc(30.0, 10.0, 5).response_quantile(0.99)
    )
    assert isinstance(MMc(1.0, 2.0, 1).mean_wait, float)
    idle = MMc(0.0, 1.0, 3)
    assert (idle.p0, idle.mean_wait, idle.mean_response) == (1.0, 0.0, 1.0)


# Bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MMc(400.0, 100.0, 4), "at least 5 servers"),
        (lambda: MMc(399.0, 100.0, 3), "at least 4 servers"),
        (lambda: GGc([100.0, 730.0], 100.0, 2), "at least 8 servers"),
        (lambda: MMc(1.0, 0.0, 2), "service_rate"),
        (lambda: MMc(float("nan"), 1.0, 2), "arrival_rate"),
        (lambda: MMc(1.0, 1.0, 2.5), "whole numbers"),
        (lambda: GGc(1.0, 1.0, 2, 0.0, 0.0), "nobody waits"),
        (lambda: MMcK(1.0, 1.0, 4, 3), "capacity"),
        (lambda: MMc(1.0, 1.0, 2).response_quantile(99), "0.99"),
        (lambda: MMc(1.0, 1.0, 2).p_wait_exceeds(-1.0), "time"),
        (lambda: MMcK(1.0, 1.0, 4, 5.5), "capacity"),
        (lambda: mva([], 3), "station"),
        (lambda: mva([1.0], 0), "customers"),
        (lambda: fit_usl([1, 2], [3.0, 4.0]), "three"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
