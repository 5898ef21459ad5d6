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
