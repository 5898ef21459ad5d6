"""Erlang's two formulas: the probability that all servers are busy, with and without a queue.

Everything is a ratio of Poisson probabilities. The probability itself comes from Loader's saddle-point
form, the cumulated ones from series of positive terms, so nothing overflows and nothing cancels
between one and a million servers: the relative error stays below 1e-11.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numba import float64, int64, njit, vectorize
from numpy.typing import ArrayLike
from scipy.optimize import brentq

Values: TypeAlias = Any
"""A float where all inputs are numbers, an array (by broadcasting) where one of them is an array."""

_SIGNATURE = float64(int64, float64)
_STIRLING = np.array(
    [0.0]
    + [math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi) for n in range(1, 16)]
)  # fmt: skip


@njit(_SIGNATURE, cache=True)
def _log_poisson(count: int, mean: float) -> float:
    """Logarithm of the Poisson probability of ``count`` at ``mean`` > 0 (Loader 2000)."""
    if count == 0:
        return -mean
    n = float(count)
    if count < 16:
        error = _STIRLING[count]
    else:
        square = n * n
        error = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680) / square) / square) / square) / n
    ratio = (n - mean) / (n + mean)
    if abs(ratio) < 0.1:
        deviance, added, term, j = 0.0, (n - mean) * ratio, 2 * n * ratio, 1
        while added != deviance:
            deviance = added
            term *= ratio * ratio
            added += term / (2 * j + 1)
            j += 1
    else:
        deviance = n * math.log(n / mean) + mean - n
    return float(-error - deviance - 0.5 * math.log(2 * math.pi * n))


log_poisson = vectorize([_SIGNATURE], cache=True)(_log_poisson.py_func)  # type: ignore[no-untyped-call]


@vectorize([_SIGNATURE], cache=True)  # type: ignore[no-untyped-call,untyped-decorator]
def _erlang_b(servers: int, load: float) -> float:
    if load == 0.0:
        return 1.0 if servers == 0 else 0.0
    total, term = 0.0, 1.0
    if load > servers:  # 1/B = sum over k of servers! / (servers - k)! / load^k
        k = servers
        while term > 1e-17 * total:
            total += term
            term *= k / load
            k -= 1
        return 1.0 / total
    k = servers + 1  # P(N > servers) / P(N = servers)
    while term > 1e-17 * total:
        term *= load / k
        total += term
        k += 1
    point = math.exp(_log_poisson(servers, load))
    return point / (1.0 - point * total)


def as_values(result: Any) -> Values:
    """A Python float for a zero-dimensional result, else the array."""
    return float(result) if np.ndim(result) == 0 else result


def check_servers(servers: ArrayLike, *, least: int = 1) -> Any:
    """The number of servers as int64, or a ValueError."""
    given = np.asarray(servers)
    if given.dtype.kind not in "iuf" or np.any(given != np.floor(given)) or np.any(given < least):
        raise ValueError(f"servers must be whole numbers >= {least}, got {servers!r}")
    return given.astype(np.int64)


def check_positive(name: str, value: ArrayLike, *, zero: bool = False) -> Any:
    """``value`` as float64, finite and positive (or zero, where that is allowed), or a ValueError."""
    given = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(given)) or np.any(given < 0) or (not zero and np.any(given == 0)):
        raise ValueError(f"{name} must be finite and {'>=' if zero else '>'} 0, got {value!r}")
    return given


def check_share(name: str, value: float) -> None:
    """A ValueError unless ``value`` lies between 0 and 1, both left out."""
    if not 0 < value < 1:
        raise ValueError(f"{name} is a share between 0 and 1, such as 0.99; got {value!r}")


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
    return as_values(_erlang_b(check_servers(servers, least=0), load))


def erlang_c(servers: ArrayLike, offered_load: ArrayLike) -> Values:
    """Probability that a request waits in M/M/c (Erlang 1917), C = c B / (c - a (1 - B)).

    c = ``servers`` >= 1, ``offered_load`` a in erlang, 0 <= a < c; numbers or arrays. ValueError for other
    values, with the number of servers that would be enough.

    >>> round(erlang_c(3, 2.0), 6)
    0.444444
    """
    count, load = check_servers(servers), check_positive("offered_load", offered_load, zero=True)
    check_stable(load, count)
    blocked = _erlang_b(count, load)
    return as_values(count * blocked / ((count - load) + load * blocked))


def erlang_b_servers(offered_load: float, probability: float) -> int:
    """Smallest number of servers whose blocking probability is at most ``probability``.

    >>> erlang_b_servers(4.461, 0.01)
    10
    """
    check_share("probability", probability)
    return first_true(lambda c: erlang_b(c, offered_load) <= probability, 0)


def erlang_c_servers(offered_load: float, probability: float) -> int:
    """Smallest number of servers at which a request waits with at most ``probability``.

    >>> erlang_c_servers(2.0, 0.5)
    3
    """
    check_share("probability", probability)
    start = servers_for_stability(offered_load)
    return first_true(lambda c: erlang_c(c, offered_load) <= probability, start)


def erlang_b_load(servers: int, probability: float) -> float:
    """Offered load (erlang) that ``servers`` servers block with ``probability``.

    >>> round(erlang_b_load(10, 0.01), 3)
    4.461
    """
    check_share("probability", probability)
    return _load_at(erlang_b, servers, probability, int(servers) / (1 - probability) + 1.0)


def erlang_c_load(servers: int, probability: float) -> float:
    """Offered load (erlang) at which a request waits with ``probability``.

    >>> round(erlang_c_load(3, 4 / 9), 6)
    2.0
    """
    check_share("probability", probability)
    return _load_at(erlang_c, servers, probability, int(servers) * (1 - 1e-12))


def _load_at(formula: Any, servers: int, probability: float, highest: float) -> float:
    count = int(check_servers(servers))
    found = brentq(lambda a: formula(count, a) - probability, 0.0, highest, xtol=1e-13 * highest)
    return float(found)


def first_true(condition: Callable[[int], Any], start: int) -> int:
    """Smallest integer >= ``start`` at which a monotone ``condition`` holds: doubling, then bisection.

    >>> first_true(lambda n: n * n >= 50, 0)
    8
    """
    step, low = 1, start - 1
    while not condition(low + step):
        low, step = low + step, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if condition(middle) else (middle, high)
    return high
