"""Load that moves: what is ready, what is paid for, and how many servers that takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkit.autoscaling import pool_move, rollout, servers_needed, zone_loss
from capkit.planning import SLO, replay

SERVICE, GOAL = np.full(3, 0.01), SLO(0.99, 0.1)


def test_a_lost_zone_is_replaced_after_notice_and_start_up() -> None:
    lost = zone_loss(9, 3, 40, lost_s=60.0, noticed_s=30.0, startup_s=120.0)
    assert lost.ready.tolist() == [9] * 4 + [6] * 10 + [9] * 26
    assert lost.running.tolist() == [9] * 4 + [6] * 2 + [9] * 34
    with pytest.raises(ValueError, match="zones"):
        zone_loss(1, 2, 10, lost_s=0.0, startup_s=0.0)


@given(
    st.integers(1, 30), st.integers(0, 8), st.integers(0, 8), st.sampled_from([0.0, 45.0, 120.0])
)
def test_a_rollout_keeps_kubernetes_bounds(
    servers: int, surge: int, unavailable: int, startup_s: float
) -> None:
    unavailable = min(unavailable, servers)
    if surge + unavailable == 0:
        with pytest.raises(ValueError, match="above 0"):
            rollout(servers, 10, startup_s=1.0, drain_s=1.0, surge=0, unavailable=0)
        return
    terms = {"startup_s": startup_s, "surge": surge, "unavailable": unavailable}
    moved = rollout(servers, 400, drain_s=0.0, **terms)
    assert moved.ready.min() >= servers - unavailable
    assert moved.running.max() <= servers + surge
    assert moved.ready[-1] == moved.running[-1] == servers
    slow = rollout(servers, 400, drain_s=60.0, **terms)
    assert np.array_equal(slow.ready, moved.ready) and (slow.running >= moved.running).all()


def test_a_rollout_takes_as_many_start_ups_as_it_has_rounds() -> None:
    moved = rollout(8, 100, startup_s=60.0, drain_s=0.0, surge=2, unavailable=0)
    assert int(np.flatnonzero(moved.running > 8)[-1]) + 1 == 4 * 60 / 15
    with pytest.raises(ValueError, match="does not end"):
        rollout(8, 10, startup_s=60.0, drain_s=0.0, surge=2, unavailable=0)


@given(st.integers(1, 40), st.integers(1, 6))
def test_a_move_never_leaves_its_load_without_servers(servers: int, stages: int) -> None:
    source, target, share = pool_move(servers, 200, stages=stages, startup_s=60.0, drain_s=30.0)
    assert (source.ready >= servers * (1.0 - share) - 1e-9).all()
    assert (target.ready >= servers * share - 1e-9).all()
    assert (source.running >= source.ready).all() and (target.running >= target.ready).all()
    assert share[-1] == 1.0 and source.running[-1] == 0 and target.running[-1] == servers
    assert (source.running + target.running).max() <= 2 * servers


def test_the_count_that_is_needed_is_the_smallest() -> None:
    rates = np.full(240, 500.0)

    def lost(servers: int):
        return zone_loss(servers, 2, 240, lost_s=900.0, startup_s=120.0).ready

    needed = servers_needed(lost, rates, SERVICE, GOAL, seed=3, at_least=2)
    for servers, holds in ((needed, True), (needed - 1, False)):
        rng = np.random.default_rng(3)
        outcome = replay(rates, lost(servers), SERVICE, GOAL, rng, period_s=15.0)
        assert outcome.met is holds
    calm = servers_needed(lambda n: np.full(240, n), rates, SERVICE, GOAL, seed=3)
    assert 1.7 < needed / calm <= 2.1
    with pytest.raises(ValueError, match="relax the SLO"):
        servers_needed(
            lambda n: np.full(240, n), rates, SERVICE, SLO(0.99, 0.005), seed=3, at_most=16
        )
