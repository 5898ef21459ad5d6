"""Erlang's formulas and their inverses: published tables, 50-digit arithmetic, properties."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit.queueing import (
    MMcK,
    erlang_b,
    erlang_b_load,
    erlang_b_servers,
    erlang_c,
    erlang_c_load,
    erlang_c_servers,
)

SETTINGS = settings(max_examples=100)
SERVERS = st.integers(1, 10**6)
SHARE = st.floats(1e-6, 0.999)


# From 50-digit arithmetic (mpmath 1.4): servers, offered load, Erlang B, Erlang C.
FIFTY_DIGITS = [
    (1, 0.5, 0.33333333333333333333, 0.5),
    (16, 10.0, 0.022301872040363656265, 0.057340330903371257443),
    (63, 64.0, 0.10303137626546208953, None),
    (64, 40.0, 0.00011395102928579715654, 0.00030381171199997328888),
    (64, 64.0, 0.093407475510167125019, None),
    (64, 120.0, 0.47555478423927955401, None),
    (64, 150.0, 0.57810749091525480454, None),
    (100, 99.9, 0.075127952737684922668, 0.98783908355965078462),
    (1000, 400.0, 5.4645492509431891033e-140, 9.1075820849053151722e-140),
    (1000, 990.0, 0.018965776430814612032, 0.65908042188085443953),
    (100_000, 99_500.0, 0.00038144239405902955216, 0.070906199355113304433),
    (1_000_000, 998_000.0, 0.000055094424859434571139, 0.026810144766080868253),
    (1_000_000, 999_999.0, 0.000796824472342922859, 0.99874758896459378204),
    (1_000_000, 1_000_000.0, 0.00079746030685556101375, None),
    (1_000_000, 1_020_000.0, 0.019656615849761643079, None),
    (1_000_000, 2_500_000.0, 0.60000026666607407658, None),
]


def exact_erlang_b(servers: int, load: float) -> Decimal:
    """Erlang's recursion in 50 digits."""
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 50, 10**12, -(10**12)
        inverse, step = Decimal(1), Decimal(load)
        for k in range(1, servers + 1):
            inverse = 1 + inverse * k / step
        return 1 / inverse


def exact_erlang_c(servers: int, load: float) -> float:
    with localcontext() as context:
        context.prec = 50
        blocked, a = exact_erlang_b(servers, load), Decimal(load)
        return float(servers * blocked / (servers - a + a * blocked))


@pytest.mark.parametrize(
    ("servers", "load", "value", "digits"),
    [
        (2, 1, 0.2, 15),
        (3, 1, 0.0625, 15),
        (5, 3, 0.110054, 6),
        (10, 5, 0.018385, 6),
        (10, 10, 0.214582, 6),
        (15, 12, 0.0857292, 7),
    ],
)
def test_erlang_b_tables(servers, load, value, digits):
    assert erlang_b(servers, load) == pytest.approx(value, abs=0.51 * 10.0**-digits)
    assert MMcK(float(load), 1.0, servers, servers).p_block == pytest.approx(
        erlang_b(servers, load), rel=1e-12
    )


def test_erlang_b_inverse_at_one_percent():
    servers = [5, 10, 20, 50, 100]
    loads = [erlang_b_load(c, 0.01) for c in servers]
    assert loads == pytest.approx([1.361, 4.461, 12.031, 37.901, 84.064], abs=5.1e-4)
    assert [erlang_b_servers(a - 1e-9, 0.01) for a in loads] == servers
    assert [erlang_b_servers(a + 1e-6, 0.01) for a in loads] == [c + 1 for c in servers]


@pytest.mark.parametrize(
    ("servers", "load", "value"),
    [
        (2, 1, 1 / 3),
        (3, 2, 4 / 9),
        (5, 4, 0.554113),
        (10, 8, 0.409180),
        (50, 45, 0.363864),
        (100, 95, 0.506457),
    ],
)
def test_erlang_c_tables(servers, load, value):
    assert erlang_c(servers, load) == pytest.approx(value, abs=5e-7)
    assert erlang_c_load(servers, erlang_c(servers, load)) == pytest.approx(load, rel=1e-9)
    assert erlang_c_servers(load, erlang_c(servers, load)) == servers


@pytest.mark.parametrize("servers", [1, 2, 15, 16, 17, 100, 1_000, 20_000])
def test_erlang_b_and_c_against_fifty_digits(servers):
    for factor in (0.05, 0.3, 0.8, 0.95, 0.999, 1.0, 1.001, 1.2, 10.0):
        load, exact = servers * factor, exact_erlang_b(servers, servers * factor)
        if exact > Decimal("1e-300"):
            assert erlang_b(servers, load) == pytest.approx(float(exact), rel=1e-11)
        if factor < 1 and exact > Decimal("1e-300"):
            assert erlang_c(servers, load) == pytest.approx(
                exact_erlang_c(servers, load), rel=1e-11
            )


@pytest.mark.parametrize(("servers", "load", "blocked", "waiting"), FIFTY_DIGITS)
def test_every_regime_against_mpmath(servers, load, blocked, waiting):
    assert erlang_b(servers, load) == pytest.approx(blocked, rel=2e-12)
    if waiting is not None:
        assert erlang_c(servers, load) == pytest.approx(waiting, rel=2e-12)


@SETTINGS
@given(SERVERS, st.floats(0.3, 3.0))
def test_one_more_server_by_erlangs_recursion(servers, factor):
    load = servers * factor
    blocked = erlang_b(servers, load)
    if blocked > 1e-250:
        expected = load * blocked / (servers + 1 + load * blocked)
        assert erlang_b(servers + 1, load) == pytest.approx(expected, rel=1e-11)


@SETTINGS
@given(SERVERS, SHARE)
def test_loads_and_servers_invert_each_other(servers, share):
    for probability, load_at, servers_at in (
        (erlang_b, erlang_b_load, erlang_b_servers),
        (erlang_c, erlang_c_load, erlang_c_servers),
    ):
        load = load_at(servers, share)
        assert probability(servers, load) == pytest.approx(share, rel=1e-6)
        assert (
            servers_at(load * (1 - 1e-9), share) <= servers <= servers_at(load * (1 + 1e-9), share)
        )


def test_nearly_full():
    for servers in (1, 1000, 10**6):
        assert 0.9999 < erlang_c(servers, servers * (1 - 1e-9)) < 1


def test_arrays_and_extremes():
    assert erlang_b(np.array([[1], [2]]), np.array([0.0, 1.0])).tolist() == [[0.0, 0.5], [0.0, 0.2]]
    assert erlang_b(0, 3.0) == erlang_b(0, 0.0) == 1.0
    assert erlang_b(10**6, 1e-3) == erlang_c(10**6, 1e-3) == 0.0
    assert isinstance(erlang_b_servers(3.0, 0.1), int)
    assert erlang_c_load(np.array([3, 3]), [4 / 9, 0.2]).shape == (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: erlang_c(3, 3.5), "at least 4 servers"),
        (lambda: erlang_b(-1, 1.0), "whole numbers"),
        (lambda: erlang_b(2, -1.0), "offered_load"),
        (lambda: erlang_c_servers(2.0, [0.5, 50]), "0.99"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
