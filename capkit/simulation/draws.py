"""Random arrivals and service times, and the check of whole numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def check_count(name: str, value: int, least: int) -> int:
    """``value`` as an int, or a `ValueError`."""
    if value != int(value) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")
    return int(value)


def poisson_arrivals(rate: float, duration_s: float, rng: np.random.Generator) -> Array:
    """Arrival times (s, sorted) of a Poisson process of ``rate`` (1/s) on [0, ``duration_s``).

    >>> poisson_arrivals(100.0, 10.0, np.random.default_rng(1)).size
    1001
    """
    return modulated_poisson([rate], duration_s, rng)


def modulated_poisson(rates: ArrayLike, step_s: float, rng: np.random.Generator) -> Array:
    """Arrival times (s, sorted) of a Poisson process with rate ``rates[k]`` (1/s) in step k of ``step_s`` s.

    ValueError for a rate that is negative or not finite, or a step that is not positive.

    >>> times = modulated_poisson([0.0, 50.0], 2.0, np.random.default_rng(1))
    >>> bool(times.min() >= 2.0 and times.max() < 4.0)
    True
    """
    rate = np.asarray(rates, dtype=float)
    if rate.ndim != 1 or not np.all(np.isfinite(rate)) or np.any(rate < 0):
        raise ValueError(f"rates must be a list of finite numbers >= 0, got {rates!r}")
    if not (math.isfinite(step_s) and step_s > 0):
        raise ValueError(f"a step must last a positive time in s, got {step_s}")
    counts = rng.poisson(rate * step_s)
    starts = np.repeat(np.arange(rate.size, dtype=float), counts)
    times: Array = np.sort(starts + rng.random(starts.size)) * step_s
    return times


def draw_gamma(mean: float, cv2: float, size: int, rng: np.random.Generator) -> Array:
    """Independent times with this mean (s) and squared coefficient of variation, from a gamma law.

    0 gives constants, 1 the exponential law: the laws that `capkit.queueing` assumes for service times.

    >>> draw_gamma(0.5, 0.0, 3, np.random.default_rng(1)).tolist()
    [0.5, 0.5, 0.5]
    """
    if not (mean > 0 and math.isfinite(mean) and cv2 >= 0 and math.isfinite(cv2)):
        raise ValueError(f"the mean must be > 0 and cv2 >= 0, both finite; got {mean} and {cv2}")
    if cv2 == 0:
        return np.full(size, mean)
    return rng.gamma(1.0 / cv2, mean * cv2, size)


def gamma_arrivals(rate: float, cv2: float, duration_s: float, rng: np.random.Generator) -> Array:
    """Arrival times (s, sorted) below ``duration_s`` of a renewal process with gamma gaps.

    ``rate`` (1/s) and ``cv2`` are those of the gaps: 0 gives equal gaps, 1 a Poisson process.
    ValueError as `draw_gamma`'s, or for a duration that is not positive.

    >>> gamma_arrivals(2.0, 0.0, 2.0, np.random.default_rng(1)).tolist()
    [0.5, 1.0, 1.5]
    """
    if not (rate > 0 and duration_s > 0 and math.isfinite(rate * duration_s)):
        raise ValueError(
            f"rate and duration must be positive and finite, got {rate}/s, {duration_s} s"
        )
    end, size = 0.0, int(rate * duration_s) + 1
    parts: list[Array] = []
    while end < duration_s:
        parts.append(end + np.cumsum(draw_gamma(1.0 / rate, cv2, size, rng)))
        end = float(parts[-1][-1])
    times = np.concatenate(parts)
    return times[times < duration_s]


def mmpp_arrivals(
    rates: ArrayLike, mean_stays_s: ArrayLike, duration_s: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Arrivals of a Poisson process whose rate goes round a list of states (MMPP).

    Parameters
    ----------
    rates, mean_stays_s : array_like of shape (states,)
        Rate (1/s) and mean exponential stay (s) in each state; the first is drawn by its share of the time.
    duration_s : float
        The arrivals lie below it.

    Returns
    -------
    times, expected : arrays (n,)
        Arrival times (s, sorted), and the expected number of arrivals up to each, given the path of the
        states: its steps are independent unit exponentials, which is how the draw can be tested.

    Raises
    ------
    ValueError
        Lengths that differ, a negative rate, a stay or duration that is not positive.

    >>> times, expected = mmpp_arrivals([0.0, 10.0], [1.0, 1.0], 60.0, np.random.default_rng(1))
    >>> bool(times.max() < 60.0 and abs(expected[-1] / times.size - 1) < 0.2)
    True
    """
    rate, stay = np.asarray(rates, dtype=float), np.asarray(mean_stays_s, dtype=float)
    if rate.ndim != 1 or rate.shape != stay.shape or not rate.size:
        raise ValueError(f"give one mean stay a rate, got {rate.shape} and {stay.shape}")
    if not (np.all(rate >= 0) and np.all(stay > 0) and duration_s > 0):
        raise ValueError(f"rates >= 0, stays and duration > 0; got {rate}, {stay}, {duration_s}")
    state = int(rng.choice(rate.size, p=stay / stay.sum()))
    edges, path = [0.0], []
    while edges[-1] < duration_s:
        path.append(rate[state])
        edges.append(min(edges[-1] + rng.exponential(stay[state]), duration_s))
        state = (state + 1) % rate.size
    lengths = np.diff(edges)
    counts = rng.poisson(np.array(path) * lengths)
    place = np.repeat(np.arange(counts.size), counts)
    times = np.sort(np.array(edges)[place] + rng.random(place.size) * lengths[place])
    expected = np.interp(times, edges, np.r_[0.0, np.cumsum(np.array(path) * lengths)])
    return times, expected
