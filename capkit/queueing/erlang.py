"""Erlang's two formulas: the probability that all servers are busy, with and without a queue.

Everything is a ratio of Poisson probabilities. The probability itself comes from Loader's saddle-point
form, the cumulated ones from series of positive terms, so nothing overflows and nothing cancels
between 1 and a million servers.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numba import float64, int64, njit, vectorize
from numpy.typing import ArrayLike
from scipy.optimize import brentq

Values: TypeAlias = Any
"""A float where all inputs are numbers, an array (by broadcasting) where one of them is an array."""

_STIRLING = np.array(
    [
        math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi) if n else 0.0
        for n in range(16)
    ]
)


def as_values(result: Any) -> Values:
    """A Python float for a zero-dimensional result, else the array."""
    return float(result) if np.ndim(result) == 0 else result


@njit(float64(int64, float64), cache=True)
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
    if abs(n - mean) < 0.1 * (n + mean):
        ratio = (n - mean) / (n + mean)
        deviance = (n - mean) * ratio
        term = 2 * n * ratio
        j = 1
        while True:
            term *= ratio * ratio
            added = deviance + term / (2 * j + 1)
            if added == deviance:
                break
            deviance = added
            j += 1
    else:
        deviance = n * math.log(n / mean) + mean - n
    return float(-error - deviance - 0.5 * math.log(2 * math.pi * n))


@vectorize([float64(int64, float64)], cache=True)  # type: ignore[no-untyped-call,untyped-decorator]
def _erlang_b(servers: int, load: float) -> float:
    if load == 0.0:
        return 1.0 if servers == 0 else 0.0
    if load > servers:  # 1/B = sum over k of servers!/(servers-k)! / load^k
        total, term, k = 1.0, 1.0, servers
        while k > 0 and term > 1e-17 * total:
            term *= k / load
            total += term
            k -= 1
        return 1.0 / total
    total, term, k = 0.0, 1.0, servers + 1  # P(N > servers) / P(N = servers)
    while True:
        term *= load / k
        total += term
        if term <= 1e-17 * total:
            break
        k += 1
    point = math.exp(_log_poisson(servers, load))
    return point / (1.0 - point * total)


@vectorize([float64(int64, float64)], cache=True)  # type: ignore[no-untyped-call,untyped-decorator]
def log_poisson(count: int, mean: float) -> float:
    """Logarithm of the Poisson probability of ``count`` at ``mean`` > 0."""
    return _log_poisson(count, mean)


def check_servers(servers: ArrayLike, *, least: int = 1) -> Any:
    """The number of servers as int64, or a `ValueError`."""
    given = np.asarray(servers)
    if given.dtype.kind not in "iuf" or np.any(given != np.floor(given)) or np.any(given < least):
        raise ValueError(f"servers must be whole numbers >= {least}, got {servers!r}")
    return given.astype(np.int64)


def check_load(offered_load: ArrayLike) -> Any:
    """The offered load as float64, or a `ValueError`."""
    given = np.asarray(offered_load, dtype=float)
    if not np.all(np.isfinite(given)) or np.any(given < 0):
        raise ValueError(f"the offered load must be finite and >= 0 erlang, got {offered_load!r}")
    return given


def servers_for_stability(offered_load: ArrayLike) -> int:
    """The smallest number of servers that is more than the offered load.

    >>> servers_for_stability(4.0)
    5
    """
    return math.floor(float(np.max(check_load(offered_load)))) + 1


def check_stable(offered_load: ArrayLike, servers: ArrayLike) -> None:
    """Raise a `ValueError` that names the servers needed where the load is not below the servers."""
    if np.any(np.asarray(offered_load) >= np.asarray(servers)):
        raise ValueError(
            f"unstable: an offered load of {np.max(offered_load):.6g} erlang on {np.min(servers)} servers makes "
            f"the queue grow without end; it needs at least {servers_for_stability(offered_load)} servers"
        )


def erlang_b(servers: ArrayLike, offered_load: ArrayLike) -> Values:
    """Blocking probability of M/M/c/c: all servers busy and no queue (Erlang 1917).

    Parameters
    ----------
    servers : int or array
        Number of servers c >= 0.
    offered_load : float or array
        Offered load a = lambda / mu in erlang, any value >= 0.

    Raises
    ------
    ValueError
        Servers not a whole number, or a load that is negative or not finite.

    Notes
    -----
    B = (a^c / c!) / sum_{n=0..c} a^n / n!; relative error below 1e-11 up to a million servers.

    >>> round(erlang_b(10, 10.0), 6)
    0.214582
    >>> erlang_b([1, 2, 3], 1.0).round(4).tolist()
    [0.5, 0.2, 0.0625]
    """
    return as_values(_erlang_b(check_servers(servers, least=0), check_load(offered_load)))


def erlang_c(servers: ArrayLike, offered_load: ArrayLike) -> Values:
    """Probability that a request waits in M/M/c (Erlang 1917), from B: C = c B / (c - a (1 - B)).

    Parameters
    ----------
    servers : int or array
        Number of servers c >= 1.
    offered_load : float or array
        Offered load a = lambda / mu in erlang, 0 <= a < c.

    Raises
    ------
    ValueError
        As in `erlang_b`; and where a >= c, with the number of servers that would be enough.

    >>> round(erlang_c(3, 2.0), 6)
    0.444444
    """
    count, load = check_servers(servers), check_load(offered_load)
    check_stable(load, count)
    blocked = _erlang_b(count, load)
    return as_values(count * blocked / ((count - load) + load * blocked))


def _check_probability(probability: float) -> None:
    if not 0 < probability < 1:
        raise ValueError(f"the probability must lie between 0 and 1, got {probability}")


def erlang_b_servers(offered_load: float, probability: float) -> int:
    """Smallest number of servers whose blocking probability is at most ``probability``.

    >>> erlang_b_servers(4.461, 0.01)
    10
    """
    _check_probability(probability)
    return first_true(lambda c: erlang_b(c, offered_load) <= probability, 0)


def erlang_c_servers(offered_load: float, probability: float) -> int:
    """Smallest number of servers at which a request waits with at most ``probability``.

    >>> erlang_c_servers(2.0, 0.5)
    3
    """
    _check_probability(probability)
    return first_true(
        lambda c: erlang_c(c, offered_load) <= probability, servers_for_stability(offered_load)
    )


def erlang_b_load(servers: int, probability: float) -> float:
    """Offered load (erlang) that ``servers`` servers block with exactly ``probability``.

    >>> round(erlang_b_load(10, 0.01), 3)
    4.461
    """
    _check_probability(probability)
    count = int(check_servers(servers))
    upper = count / (1 - probability) + 1.0  # carried load a (1 - B) is below c
    return float(brentq(lambda a: erlang_b(count, a) - probability, 0.0, upper, xtol=1e-13 * upper))


def erlang_c_load(servers: int, probability: float) -> float:
    """Offered load (erlang) at which a request waits with exactly ``probability``.

    >>> round(erlang_c_load(3, 4 / 9), 6)
    2.0
    """
    _check_probability(probability)
    count = int(check_servers(servers))
    upper = count * (1 - 1e-12)
    return float(brentq(lambda a: erlang_c(count, a) - probability, 0.0, upper, xtol=1e-13 * upper))


def first_true(condition: Any, start: int) -> int:
    """Smallest integer >= ``start`` at which a monotone ``condition`` holds: doubling, then bisection.

    >>> first_true(lambda n: n * n >= 50, 0)
    8
    """
    if condition(start):
        return start
    low, step = start, 1
    while not condition(low + step):
        low, step = low + step, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if condition(middle):
            high = middle
        else:
            low = middle
    return high
