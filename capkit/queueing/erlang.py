"""Erlang's two formulas and their inverses: the probability that all servers are busy, with and without a queue."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from capkit.queueing.kernels import busy, busy_load, busy_servers

Values: TypeAlias = Any
"""A number where all inputs are numbers, an array (by broadcasting) where one of them is an array."""


def as_values(result: Any) -> Values:
    """A Python number for a zero-dimensional result, else the array."""
    return np.asarray(result).item() if np.ndim(result) == 0 else result


def check_servers(servers: ArrayLike, *, least: int = 1, name: str = "servers") -> Any:
    """The number of servers (or of what ``name`` says) as int64, or a ValueError."""
    given = np.asarray(servers)
    whole = given.dtype.kind in "iu" or (given.dtype.kind == "f" and np.all(given % 1 == 0))
    if not whole or np.any(given < least):
        raise ValueError(f"{name} must be whole numbers >= {least}, got {servers!r}")
    return given.astype(np.int64)


def check_positive(name: str, value: ArrayLike, *, zero: bool = False) -> Any:
    """``value`` as float64, finite and positive (or zero, where that is allowed), or a ValueError."""
    given = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(given) & ((given >= 0) if zero else (given > 0))):
        raise ValueError(f"{name} must be finite and {'>=' if zero else '>'} 0, got {value!r}")
    return given


def check_share(name: str, value: ArrayLike) -> Any:
    """``value`` as float64, between 0 and 1 with both left out, or a ValueError."""
    given = np.asarray(value, dtype=float)
    if not np.all((given > 0) & (given < 1)):
        raise ValueError(f"{name} is a share between 0 and 1, such as 0.99; got {value!r}")
    return given


def servers_for_stability(offered_load: ArrayLike) -> int:
    """The smallest number of servers that is more than the offered load (erlang).

    >>> servers_for_stability(4.0)
    5
    """
    return math.floor(float(np.max(check_positive("offered_load", offered_load, zero=True)))) + 1


def check_stable(offered_load: ArrayLike, servers: ArrayLike) -> None:
    """A ValueError that names the servers needed where the load is not below the servers."""
    if np.any(np.asarray(offered_load) >= np.asarray(servers)):
        raise ValueError(
            f"unstable: an offered load of {np.max(offered_load):.6g} erlang on {np.min(servers)} servers makes "
            f"the queue grow without end; it needs at least {servers_for_stability(offered_load)} servers"
        )


def erlang_b(servers: ArrayLike, offered_load: ArrayLike) -> Values:
    """Blocking probability of M/M/c/c: all servers busy and no queue (Erlang 1917).

    B = (a^c / c!) / sum_{n=0..c} a^n / n! for c = ``servers`` >= 0 and any ``offered_load`` a >= 0 in erlang
    (lambda / mu); numbers or arrays. ValueError for other values.

    >>> round(erlang_b(10, 10.0), 6)
    0.214582
    >>> erlang_b([1, 2, 3], 1.0).round(4).tolist()
    [0.5, 0.2, 0.0625]
    """
    load = check_positive("offered_load", offered_load, zero=True)
    with np.errstate(all="ignore"):
        return as_values(busy(check_servers(servers, least=0), load, False))


def erlang_c(servers: ArrayLike, offered_load: ArrayLike) -> Values:
    """Probability that a request waits in M/M/c (Erlang 1917), C = c B / (c - a (1 - B)).

    c = ``servers`` >= 1, ``offered_load`` a in erlang, 0 <= a < c; numbers or arrays. ValueError for other
    values, with the number of servers that would be enough.

    >>> round(erlang_c(3, 2.0), 6)
    0.444444
    """
    count, load = check_servers(servers), check_positive("offered_load", offered_load, zero=True)
    check_stable(load, count)
    with np.errstate(all="ignore"):
        return as_values(busy(count, load, True))


def erlang_b_servers(offered_load: ArrayLike, probability: ArrayLike) -> Values:
    """Smallest number of servers whose blocking probability is at most ``probability``; numbers or arrays.

    >>> erlang_b_servers(4.461, 0.01)
    10
    """
    return _servers(offered_load, probability, False)


def erlang_c_servers(offered_load: ArrayLike, probability: ArrayLike) -> Values:
    """Smallest number of servers at which a request waits with at most ``probability``; numbers or arrays.

    >>> erlang_c_servers([2.0, 200.0], 0.5).tolist()
    [3, 208]
    """
    return _servers(offered_load, probability, True)


def erlang_b_load(servers: ArrayLike, probability: ArrayLike) -> Values:
    """Offered load (erlang) that ``servers`` >= 1 servers block with ``probability``; numbers or arrays.

    >>> round(erlang_b_load(10, 0.01), 3)
    4.461
    """
    return _load(servers, probability, False)


def erlang_c_load(servers: ArrayLike, probability: ArrayLike) -> Values:
    """Offered load (erlang) at which a request waits with ``probability``; numbers or arrays.

    >>> round(erlang_c_load(3, 4 / 9), 6)
    2.0
    """
    return _load(servers, probability, True)


def _servers(offered_load: ArrayLike, probability: ArrayLike, waiting: bool) -> Values:
    load = check_positive("offered_load", offered_load, zero=True)
    with np.errstate(all="ignore"):
        return as_values(busy_servers(load, check_share("probability", probability), waiting))


def _load(servers: ArrayLike, probability: ArrayLike, waiting: bool) -> Values:
    share = check_share("probability", probability)
    with np.errstate(all="ignore"):
        return as_values(busy_load(check_servers(servers), share, waiting))


def first_true(condition: Callable[[Any], Any], start: int) -> int:
    """Smallest integer >= ``start`` at which a monotone ``condition`` on an array of integers holds.

    A grid that doubles, then grids of 64 steps: three or four calls up to a million.

    >>> first_true(lambda n: n > 7.5, 0)
    8
    """
    numbers = start + np.concatenate([[0], 2 ** np.arange(40)])
    while True:
        found = np.asarray(condition(numbers))
        if not found[-1]:
            raise ValueError(f"no number up to {numbers[-1]} is enough: relax the target")
        place = int(np.argmax(found))
        if place == 0 or numbers[place] - numbers[place - 1] == 1:
            return int(numbers[place])
        low, high = numbers[place - 1 : place + 1]
        numbers = np.unique(np.linspace(low + 1, high, 64).astype(np.int64))
