"""Storage, network and training from their formulas, each able to bind; packing against brute force."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_case import OPTIONS, SERVICE, make_plan

from capkit import planning
from capkit.course import reference
from capkit.training import TrainingProfile

TRAINING = TrainingProfile.from_dict(reference("04_training_benchmark").data)
WORK = {"examples": 60_000, "epochs": 100, "deadline_h": 0.2}


def test_estimates_multiply_what_they_say() -> None:
    assert planning.storage_bytes(784, 60_000, copies=2) == 94_080_000
    assert planning.network_bits_s(1000.0, 1000.0) == pytest.approx(8.4e6)
    assert planning.transfer_s(1e6, planning.network_bits_s(125.0, 1000.0, framing=1.0)) == 8.0
    assert planning.round_trip_s(100.0, 0.0, 1e9) == pytest.approx(0.001)
    for call in (
        lambda: planning.storage_bytes(-1, 1),
        lambda: planning.transfer_s(1, 0),
        lambda: planning.round_trip_s(-1.0, 1.0, 1.0),
        lambda: planning.all_reduce_s(1.0, 0, 1.0),
    ):
        with pytest.raises(ValueError):
            call()


@pytest.mark.parametrize(
    ("per_request", "binds"),
    [
        ({"network_in_mbit_s": 0.001, "disk_gb": 0.0001}, "demand for capacity"),
        ({"network_in_mbit_s": 0.9, "disk_gb": 0.0001}, "demand for network_in_mbit_s"),
        ({"network_in_mbit_s": 0.001, "disk_gb": 0.1}, "demand for disk_gb"),
    ],
)
def test_each_resource_can_be_the_one_that_binds(per_request: dict[str, float], binds: str) -> None:
    offered = OPTIONS.assign(
        network_in_mbit_s=375.0 * OPTIONS["capacity"], disk_gb=20.0 * OPTIONS["capacity"]
    )
    result = make_plan(options=offered, per_request=per_request)
    assert result.binding.set_index("constraint")["periods"].idxmax() == binds
    assert result.zone_loss.met
    left = result.fleet.periods[[f"{name}_after_loss" for name in per_request]].to_numpy()
    peak = result.hours["planned_rps"].to_numpy() * result.peak_factor
    assert (left >= np.outer(peak, list(per_request.values())) - 1e-6).all()


def test_a_resource_that_no_machine_offers_is_refused() -> None:
    with pytest.raises(ValueError, match="per_request names disk_gb, and options has no such"):
        make_plan(per_request={"disk_gb": 1.0})


def test_request_needs_come_from_the_messages() -> None:
    needs = planning.request_needs(SERVICE, log_bytes=100.0, log_kept_s=10.0)
    assert needs["network_in_mbit_s"] == pytest.approx(8 * 3185 * 1.05 / 1e6)
    assert needs["disk_gb"] == pytest.approx(1e-6)


# --- training ---------------------------------------------------------------------------------------


def test_one_accelerator_takes_what_the_profile_says() -> None:
    plan = planning.plan_training(TRAINING, **{**WORK, "deadline_h": 10.0}, bits_s=1e9)
    hours = TRAINING.accelerator_hours(WORK["examples"], WORK["epochs"])
    assert (plan.accelerators, plan.efficiency) == (1, 1.0)
    assert plan.hours == pytest.approx(hours, rel=1e-3)


@pytest.mark.parametrize(
    ("terms", "binds"),
    [
        ({"bits_s": 100e9}, "compute"),
        ({"bits_s": 1e9}, "exchange"),
        ({"bits_s": 100e9, "example_bytes": 784, "input_bits_s": 55e6}, "input"),
    ],
)
def test_compute_exchange_and_input_can_each_bind(terms: dict[str, float], binds: str) -> None:
    plan = planning.plan_training(TRAINING, **WORK, **terms)
    assert plan.binds == binds
    fewer = plan.table[plan.table["accelerators"] < plan.accelerators]
    assert plan.hours <= WORK["deadline_h"] < fewer["hours"].min()


def test_a_measured_efficiency_is_reproduced_and_bounds_the_speed() -> None:
    plan = planning.plan_training(
        TRAINING, **WORK, bits_s=1e9, efficiency={2: 0.9, 4: 1 / (1 + 3 / 9)}
    )
    by_count = plan.table.set_index("accelerators")["efficiency"]
    assert by_count[2] == pytest.approx(0.9) and by_count[10] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="bound by exchange"):
        planning.plan_training(TRAINING, **{**WORK, "deadline_h": 0.01}, bits_s=1e9)
    with pytest.raises(ValueError, match="2 or more accelerators"):
        planning.plan_training(TRAINING, **WORK, bits_s=1e9, efficiency={1: 0.9})
    with pytest.raises(ValueError, match="deadline_h"):
        planning.plan_training(TRAINING, **{**WORK, "deadline_h": 0.0}, bits_s=1e9)


@given(st.integers(2, 64), st.floats(1e3, 1e9), st.floats(1e6, 1e11))
def test_a_ring_moves_less_than_twice_the_bytes_over_a_link(
    members: int, size: float, bits_s: float
) -> None:
    seconds = planning.all_reduce_s(size, members, bits_s)
    assert seconds == pytest.approx(2 * (members - 1) / members * 8 * size / bits_s)


# --- packing ----------------------------------------------------------------------------------------


def fewest_by_brute_force(sizes: np.ndarray) -> int:
    for hosts in range(1, len(sizes) + 1):
        for chosen in itertools.product(range(hosts), repeat=len(sizes)):
            loads = np.zeros((hosts, sizes.shape[1]))
            np.add.at(loads, list(chosen), sizes)
            if (loads <= 1.0 + 1e-9).all():
                return hosts
    raise AssertionError


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 10)), min_size=1, max_size=6))
def test_the_packing_is_the_fewest_hosts_by_brute_force(sizes: list[tuple[int, int]]) -> None:
    items = pd.DataFrame(sizes, columns=["vcpus", "gib"], dtype=float)
    host = pd.Series({"vcpus": 10.0, "gib": 10.0})
    exact, thumb = planning.pack(items, host), planning.first_fit_decreasing(items, host)
    assert exact.proven
    assert exact.hosts == fewest_by_brute_force(items.to_numpy() / 10.0)
    assert planning.least_hosts(items, host) <= exact.hosts <= thumb.hosts
    for packing in (exact, thumb):
        assert (packing.load(items) <= host + 1e-9).all(axis=None)


def test_the_rule_of_thumb_keeps_its_bound_and_can_be_beaten() -> None:
    sizes = [4.0, 4, 4, 3, 3, 2, 2, 2]
    items, host = pd.DataFrame({"gib": sizes}), pd.Series({"gib": 8.0})
    thumb, exact = planning.first_fit_decreasing(items, host), planning.pack(items, host)
    assert (thumb.hosts, exact.hosts, planning.least_hosts(items, host)) == (4, 3, 3)
    assert thumb.hosts <= math.floor(11 / 9 * exact.hosts + 6 / 9)


def test_what_cannot_be_packed_is_refused() -> None:
    host = pd.Series({"gib": 8.0})
    with pytest.raises(ValueError, match="needs 9 gib, and a host has 8"):
        planning.pack(pd.DataFrame({"gib": [9.0]}), host)
    with pytest.raises(ValueError, match="same resources"):
        planning.pack(pd.DataFrame({"vcpus": [9.0]}), host)
    with pytest.raises(ValueError, match="at least 0"):
        planning.pack(pd.DataFrame({"gib": [-1.0]}), host)
    with pytest.raises(ValueError, match="each name once"):
        planning.pack(pd.DataFrame({"gib": [1.0, 1.0]}, index=["a", "a"]), host)


def test_a_far_client_needs_more_servers_or_none_is_enough() -> None:
    goal = planning.SLO(0.99, 0.012)
    far = replace(SERVICE, overhead_s=SERVICE.overhead_s + planning.round_trip_s(500.0, 3287, 1e9))
    near, distant = (planning.needed_servers([5000.0], s, goal)[0] for s in (SERVICE, far))
    assert distant > near
    with pytest.raises(ValueError, match="no number of servers"):
        planning.needed_servers([5000.0], replace(SERVICE, overhead_s=0.012), goal)
