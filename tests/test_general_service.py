"""M/G/1, M/D/c and the approximations of M/G/c and G/G/c: published values, phase-type laws, simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.linalg import expm
from scipy.stats import gamma

from capkit.queueing import MG1, GGc, MDc, MGc, MMc, mdc_mean_wait
from capkit.queueing.base import discounted_service
from capkit.simulation import draw_gamma, mean_interval, simulate_fcfs

SETTINGS = settings(max_examples=40)
TIMES = np.array([0.001, 0.1, 0.5, 0.95, 1.0, 1.05, 2.0, 5.0, 20.0, 60.0])


@pytest.mark.parametrize(
    ("servers", "utilization", "wait"),
    [
        (2, 0.8, 0.903284),
        (4, 0.5, 0.049652),
        (4, 0.9, 0.999966),
        (8, 0.8, 0.151954),
        (16, 0.95, 0.496693),
        (1, 0.5, 0.5),
        (1, 0.8, 2.0),
        (1, 0.9, 4.5),
    ],
)
def test_constant_service_exact_mean_wait(servers, utilization, wait):
    assert mdc_mean_wait(servers * utilization, 1.0, servers) == pytest.approx(wait, abs=5e-7)


def test_mdc_mean_wait_in_fifty_digits():
    # Crommelin's series in mpmath: a million servers, where double precision loses the series itself
    assert mdc_mean_wait(0.995e6, 1.0, 10**6) == pytest.approx(5.1288197441028133403e-11, rel=1e-11)


def test_constant_service_on_one_server_by_erlangs_alternating_series():
    queue, rate = MDc(0.6, 1.0, 1), 0.6
    for time in (0.0, 0.4, 1.0, 3.7, 6.2):
        terms = [
            (rate * (k - time)) ** k / math.factorial(k) * math.exp(-rate * (k - time))
            for k in range(int(time) + 1)
        ]
        assert queue.p_wait_exceeds(time) == pytest.approx(1 - (1 - rate) * sum(terms), abs=1e-13)


@pytest.mark.parametrize(("servers", "load"), [(2, 1.6), (4, 2.0), (8, 7.2), (40, 38.0)])
def test_mdc_against_the_embedded_chain(servers, load):
    # The number in the system from one service time to the next: (n - c)+ plus Poisson arrivals.
    size = 900
    steps = np.exp(
        -load + np.arange(size) * np.log(load) - np.array([math.lgamma(k + 1) for k in range(size)])
    )
    present = np.zeros(size)
    present[0], last = 1.0, np.zeros(size)
    while np.abs(present - last).max() > 1e-15:
        last = present
        left = np.r_[present[: servers + 1].sum(), present[servers + 1 :]]
        present = np.convolve(left, steps)[:size]
    waiting = np.maximum(np.arange(size) - servers, 0) @ present
    queue = MDc(load, 1.0, servers)
    assert queue.mean_queue_length == pytest.approx(waiting, rel=1e-9)
    assert queue.p_wait == pytest.approx(1 - present[:servers].sum(), rel=1e-9)


@SETTINGS
@given(st.integers(1, 200), st.floats(0.05, 0.98))
def test_mdc_wait_has_the_mean(servers, utilization):
    queue = MDc(servers * utilization, 1.0, servers)
    grid = np.linspace(0.0, queue.wait_quantile(1 - 1e-13), 3000)
    tails = queue.p_wait_exceeds(grid)
    assert np.all(np.diff(tails) <= 1e-14)
    area = np.sum(tails[1:] + tails[:-1]) * grid[1] / 2
    assert area == pytest.approx(queue.mean_wait, rel=5e-3, abs=1e-11)


def phase_type_wait(rate, start, phases, times):
    """P(wait > t) of M/PH/1 by matrix exponentials (Neuts 1981)."""
    leave = -phases.sum(axis=1)
    entry = rate * np.linalg.solve(-phases.T, start)
    walk = phases + np.outer(leave, entry)
    return np.array([entry @ expm(walk * t) @ np.ones(len(start)) for t in times])


@pytest.mark.parametrize(("stages", "error"), [(1, 1e-10), (2, 1e-10), (10, 1e-10), (100, 1e-9)])
def test_erlang_service_on_one_server(stages, error):
    phases = stages * (np.diag(np.ones(stages - 1), 1) - np.eye(stages))
    exact = phase_type_wait(0.8, np.eye(stages)[0], phases, TIMES)
    assert MG1(0.8, 1.0, 1 / stages).p_wait_exceeds(TIMES) == pytest.approx(exact, abs=error)


@pytest.mark.parametrize("cv2", [1e-32, 1e-14, 1e-8])
def test_nearly_constant_service_is_constant_service(cv2):
    constant = MG1(0.8, 1.0, 0.0).response_quantile(0.99)
    assert MG1(0.8, 1.0, cv2).response_quantile(0.99) == pytest.approx(constant, rel=1e-3)


def test_hyperexponential_service_on_one_server():
    share = 0.5 * (1 + math.sqrt(0.6))  # cv2 = 4
    phases = np.diag([-2 * share, -2 * (1 - share)])
    exact = phase_type_wait(0.7, np.array([share, 1 - share]), phases, TIMES)
    queue = MG1(0.7, 1.0, 4.0, "hyperexponential")
    assert queue.p_wait_exceeds(TIMES) == pytest.approx(exact, abs=1e-10)


def test_mg1_meets_mm1_and_md1():
    assert MG1(0.9, 1.0).p_response_exceeds(TIMES) == pytest.approx(
        MMc(0.9, 1.0, 1).p_response_exceeds(TIMES), abs=1e-10
    )
    constant = MG1(0.9, 1.0, 0.0)
    assert (
        constant.p_response_exceeds(TIMES).tolist()
        == MDc(0.9, 1.0, 1).p_response_exceeds(TIMES).tolist()
    )
    nearly = MG1(0.9, 1.0, 1e-3).p_wait_exceeds(TIMES)
    assert nearly == pytest.approx(constant.p_wait_exceeds(TIMES), abs=2e-3)


@SETTINGS
@given(st.floats(0.05, 0.97), st.sampled_from([0.02, 0.25, 0.5, 1.0, 3.0, 10.0]))
def test_mg1_laws_have_the_mean_and_invert(utilization, cv2):
    queue = MG1(2 * utilization, 2.0, cv2)
    assert queue.mean_wait == pytest.approx(MGc(2 * utilization, 2.0, 1, cv2).mean_wait, rel=1e-12)
    end = 60 * (queue.mean_response + cv2)
    area = quad(queue.p_wait_exceeds, 0.0, end, limit=300, points=[0.01 * end, 0.1 * end])[0]
    assert area == pytest.approx(queue.mean_wait, rel=1e-5)
    for share in (0.5, 0.99, 0.9999):
        assert queue.p_response_exceeds(queue.response_quantile(share)) == pytest.approx(
            1 - share, abs=1e-8
        )
        assert queue.wait_quantile(share) <= queue.response_quantile(share)


@pytest.mark.parametrize(
    ("queue", "service_cv2"),
    [
        (MG1(0.8, 1.0, 0.3), 0.3),
        (MG1(0.7, 1.0, 6.0), 6.0),
        (MDc(3.4, 1.0, 4), 0.0),
        (MDc(18.4, 1.0, 20), 0.0),
    ],
)
def test_exact_laws_within_the_interval(queue, service_cv2):
    rng = np.random.default_rng([7, queue.servers])
    found = []
    for _ in range(12):
        arrivals = np.cumsum(rng.exponential(1 / queue.arrival_rate, 120_000))
        services = draw_gamma(1.0, service_cv2, arrivals.size, rng)
        waits = simulate_fcfs(arrivals, services, queue.servers)[20_000:]
        stays = waits + services[20_000:]
        found.append(
            [waits.mean(), *(np.mean(waits > t) for t in (0.0, 0.5, 2.0)), np.mean(stays > 3.0)]
        )
    exact = [queue.mean_wait, *queue.p_wait_exceeds([0.0, 0.5, 2.0]), queue.p_response_exceeds(3.0)]
    for values, truth in zip(np.transpose(found), exact, strict=True):
        _, low, high = mean_interval(values, batches=12, level=0.999)
        assert low <= truth <= high


# The approximations, with the errors that their docstring states -----------------------------------


def test_allen_cunneen_error_for_constant_service():
    for servers, utilization, error in (
        (4, 0.5, -0.124),
        (8, 0.95, -0.012),
        (8, 0.8, -0.059),
        (8, 0.5, -0.208),
        (1, 0.7, 0.0),
    ):
        rate = servers * utilization
        approximate = MGc(rate, 1.0, servers, service_cv2=0.0).mean_wait
        assert approximate / mdc_mean_wait(rate, 1.0, servers) - 1 == pytest.approx(error, abs=5e-4)


@pytest.mark.parametrize("method", ["cosmetatos", "kimura"])
def test_cosmetatos_error_for_constant_service(method):
    for servers in (1, 2, 3, 4, 8, 16, 32, 64, 128, 256):
        for utilization in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99):
            rate = servers * utilization
            queue = MGc(rate, 1.0, servers, 0.0, method)
            error = queue.mean_wait / mdc_mean_wait(rate, 1.0, servers) - 1
            assert abs(error) < (0.025 if queue.p_wait >= 0.05 else 0.18)


def simulated_wait(servers, utilization, arrival_cv2, service_cv2):
    """Mean wait in service times and its standard error; 12 runs."""
    rng, means = np.random.default_rng(5), []
    for _ in range(12):
        arrivals = np.cumsum(draw_gamma(1 / (servers * utilization), arrival_cv2, 150_000, rng))
        services = draw_gamma(1.0, service_cv2, arrivals.size, rng)
        means.append(simulate_fcfs(arrivals, services, servers)[20_000:].mean())
    return np.mean(means), np.std(means) / math.sqrt(12)


@pytest.mark.parametrize(
    ("method", "arrival_cv2", "service_cv2", "least", "most"),
    [
        ("allen-cunneen", 0.0, 1.0, 0.30, 0.38),
        ("allen-cunneen", 4.0, 1.0, -0.25, -0.17),
        ("kimura", 0.0, 1.0, -0.10, 0.10),
        ("kimura", 0.25, 0.25, -0.10, 0.10),
        ("kimura", 0.5, 0.0, -0.10, 0.10),
        ("kimura", 1.0, 0.25, -0.10, 0.10),
        ("kimura", 1.0, 4.0, -0.15, -0.05),
        ("cosmetatos", 1.0, 0.25, -0.025, 0.025),
        ("cosmetatos", 1.0, 4.0, -0.055, 0.055),
    ],
)
def test_error_at_eight_servers_and_85_percent(method, arrival_cv2, service_cv2, least, most):
    wait, noise = simulated_wait(8, 0.85, arrival_cv2, service_cv2)
    error = GGc(6.8, 1.0, 8, arrival_cv2, service_cv2, method).mean_wait / wait - 1
    assert least - 2 * noise / wait < error < most + 2 * noise / wait


@pytest.mark.parametrize("method", ["allen-cunneen", "cosmetatos", "kimura"])
def test_methods_are_exact_for_mmc_and_on_one_server(method):
    load = np.array([0.3, 0.9])
    assert GGc(8 * load, 1.0, 8, method=method).mean_wait == pytest.approx(
        MMc(8 * load, 1.0, 8).mean_wait, rel=1e-12
    )
    assert MGc(load, 1.0, 1, 0.0, method).mean_wait == pytest.approx(
        load / (1 - load) / 2, rel=1e-12
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mdc_mean_wait(2.0, 1.0, 2), "at least 3 servers"),
        (lambda: mdc_mean_wait(1.0, 0.0, 2), "service_time"),
        (lambda: MDc(1.99999, 1.0, 2), "too near 1"),
        (lambda: MG1(1.0, 1.0), "at least 2 servers"),
        (lambda: MG1(0.5, 1.0, 0.5, "hyperexponential"), "gamma law"),
        (lambda: MG1(0.5, 1.0, 0.5, "pareto"), "service_law"),
        (lambda: GGc(0.5, 1.0, 1, method="guess"), "method"),
        (lambda: GGc(0.5, 1.0, 1, 2.0, method="kimura"), "allen-cunneen"),
        (lambda: GGc(0.5, 1.0, 1, 0.5, method="cosmetatos"), "allen-cunneen"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("decay", [1e5, 1e8, 1e12])
def test_a_wait_that_decays_at_once_leaves_the_density_of_the_service_over_its_decay(decay):
    time, rate, cv2 = 1.1, 1.0, 0.05
    density = gamma.pdf(time, 1.0 / cv2, scale=cv2 / rate)
    late = discounted_service(time, rate, cv2, decay)
    assert float(late) * decay == pytest.approx(density, rel=100.0 / decay)
