"""Compiled Poisson ratios behind Erlang's formulas, from one to a million servers in constant time.

Nothing overflows and nothing cancels: few servers take a sum of positive terms, many take Temme's
uniform expansion of the incomplete gamma function. The relative error stays below 1e-11.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import boolean, float64, int64, njit, vectorize

FEW = 63  # servers up to which the plain sum is as fast
NEAR = 0.7  # |eta| up to which the expansion holds; further out the sums are short
ORDERS, TERMS = 5, 18  # of the expansion, in 1 / servers and in eta
_STIRLING = np.array(
    [0.0]
    + [math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi) for n in range(1, 16)]
)  # fmt: skip


def _temme_coefficients() -> Any:
    """Taylor coefficients (TERMS, ORDERS) of c_k(eta) in Temme's expansion (DLMF 8.12.10).

    With mu = lambda - 1 and eta^2 / 2 = mu - ln(1 + mu): c_0 = 1 / mu - 1 / eta, and c_k follows from
    the derivative of c_(k-1) with the singular part left out.
    """
    size = TERMS + 2 * ORDERS
    mu = [0.0, 1.0]
    for n in range(2, size + 2):
        mu.append((mu[-1] - sum(j * mu[j] * mu[n - j + 1] for j in range(2, n))) / (n + 1))
    inverse = [1.0]
    for n in range(1, size + 1):
        inverse.append(-sum(mu[j + 1] * inverse[n - j] for j in range(1, n + 1)))
    rows = [np.array(inverse[1:])]
    for _ in range(1, ORDERS):
        last = rows[-1]
        rows.append(np.arange(2, last.size) * last[2:] - last[1] * rows[0][: last.size - 2])
    return np.array([row[:TERMS] for row in rows]).T.copy()


_TEMME = _temme_coefficients()


@njit(cache=True)
def deviance(n: float, mean: float) -> float:
    """n ln(n / mean) + mean - n without cancellation (Loader 2000)."""
    ratio = (n - mean) / (n + mean)
    if abs(ratio) >= 0.1:
        return n * math.log(n / mean) + mean - n
    total, added, term, j = 0.0, (n - mean) * ratio, 2 * n * ratio, 1
    while added != total:
        total = added
        term *= ratio * ratio
        added += term / (2 * j + 1)
        j += 1
    return total


@njit(cache=True)
def _stirling_error(count: int) -> float:
    """ln(count!) minus Stirling's formula, count >= 1."""
    if count < 16:
        return float(_STIRLING[count])
    n = float(count)
    square = n * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680) / square) / square) / square) / n


@vectorize([float64(int64, float64)], cache=True)  # type: ignore[no-untyped-call,untyped-decorator]
def log_poisson(count: int, mean: float) -> float:
    """Logarithm of the Poisson probability of ``count`` at ``mean`` > 0 (Loader 2000)."""
    if count == 0:
        return -mean
    n = float(count)
    return -_stirling_error(count) - deviance(n, mean) - 0.5 * math.log(2 * math.pi * n)


@njit(cache=True)
def _odds(servers: int, load: float) -> float:
    """P(N < servers) / P(N = servers) for N Poisson of mean ``load``: 1 / B - 1 of Erlang's B."""
    c = float(servers)
    if load == 0.0:
        return math.inf if servers > 0 else 0.0
    distance = deviance(c, load) if servers > FEW else 0.0
    near = servers > FEW and distance <= 0.5 * NEAR**2 * c
    total, term = 0.0, 1.0
    if near:
        root = math.sqrt(distance)
        eta = math.copysign(root * math.sqrt(2.0 / c), load - c)
        r0 = r1 = r2 = r3 = r4 = 0.0
        for n in range(TERMS - 1, -1, -1):
            r0 = r0 * eta + _TEMME[n, 0]
            r1 = r1 * eta + _TEMME[n, 1]
            r2 = r2 * eta + _TEMME[n, 2]
            r3 = r3 * eta + _TEMME[n, 3]
            r4 = r4 * eta + _TEMME[n, 4]
        rest = r0 + (r1 + (r2 + (r3 + r4 / c) / c) / c) / c
        if load < c:
            scaled = math.exp(distance) * math.erfc(-root)
        elif distance < 100.0:
            scaled = math.exp(distance) * math.erfc(root)
        else:
            z = 0.5 / distance
            series = 1.0 - 5 * z * (1.0 - 7 * z * (1.0 - 9 * z * (1.0 - 11 * z * (1.0 - 13 * z))))
            scaled = (1.0 - z * (1.0 - 3 * z * series)) / (root * math.sqrt(math.pi))
        return math.exp(_stirling_error(servers)) * (math.sqrt(0.5 * math.pi * c) * scaled + rest)
    if servers <= FEW or load > c:  # the sum of servers! / (servers - k)! / load^k over k >= 1
        k = c
        while k > 0.0 and term > 1e-17 * total:
            term *= k / load
            total += term
            k -= 1.0
        return total
    k = c + 1.0  # P(N > servers) / P(N = servers)
    while term > 1e-17 * total:
        term *= load / k
        total += term
        k += 1.0
    point = math.exp(_stirling_error(servers) + distance) * math.sqrt(2 * math.pi * c)
    return point - 1.0 - total


@njit(cache=True)
def _busy(servers: int, load: float, waiting: bool) -> float:
    spare = (servers - load) / servers if waiting else 1.0
    return 1.0 / (1.0 + spare * _odds(servers, load))


@vectorize([float64(int64, float64, boolean)], cache=True)  # type: ignore[no-untyped-call,untyped-decorator]
def busy(servers: int, load: float, waiting: bool) -> float:
    """Probability that all servers are busy: Erlang C if requests wait, else Erlang B."""
    return _busy(servers, load, waiting)


@vectorize(cache=True)  # type: ignore[no-untyped-call,untyped-decorator]
def busy_servers(load: float, probability: float, waiting: bool) -> int:
    """Smallest number of servers with `busy` at most ``probability``: doubling, then bisection."""
    low, step = (math.floor(load) if waiting else -1), 1
    while _busy(low + step, load, waiting) > probability:
        low += step
        step *= 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if _busy(middle, load, waiting) > probability:
            low = middle
        else:
            high = middle
    return high


@vectorize(cache=True)  # type: ignore[no-untyped-call,untyped-decorator]
def busy_load(servers: int, probability: float, waiting: bool) -> float:
    """Offered load at which `busy` is ``probability``, by bisection to the last digit."""
    low, high = 0.0, (float(servers) if waiting else servers / (1.0 - probability) + 1.0)
    middle = 0.5 * high
    while low < middle < high:
        if _busy(servers, middle, waiting) > probability:
            high = middle
        else:
            low = middle
        middle = 0.5 * (low + high)
    return low
