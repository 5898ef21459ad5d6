"""When requests are due: drawn from a law or replayed from a trace, fixed and tested before the load test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LAWS = ("poisson", "constant", "gamma", "mmpp")
REJECT = 1e-4


@dataclass(frozen=True)
class Schedule:
    """Intended send times, and whether they follow the law that was asked for.

    Attributes
    ----------
    times_s : array (n,)
        Sorted, from 0.
    law : str
        ``poisson``, ``constant``, ``gamma``, ``mmpp``, or ``replay`` of a trace.
    cv2, cv2_interval : float, (float, float)
        Squared coefficient of variation of the gaps, and its 95 % interval by batch means; NaN where there
        are too few.
    cv2_asked : float
        What the law, or the trace, has.
    pvalue : float
        Kolmogorov and Smirnov's, of the gaps against the law (for ``mmpp`` in units of the expected number
        of arrivals); NaN where there is no law to test: constant gaps, a trace.
    """

    times_s: Array
    law: str
    cv2: float
    cv2_interval: tuple[float, float]
    cv2_asked: float
    pvalue: float

    @property
    def doubt(self) -> str:
        """What is wrong with the draw; empty if it follows its law."""
        if self.pvalue < REJECT:
            return f"the arrivals do not follow the law {self.law}: p = {self.pvalue:.1g}"
        return ""


def draw_schedule(
    law: str,
    rate: float,
    duration_s: float,
    rng: np.random.Generator,
    *,
    cv2: float = 4.0,
    peak: float = 3.0,
    stay_s: float = 1.0,
) -> Schedule:
    """Draw arrivals of mean ``rate`` (1/s) on [0, ``duration_s``).

    Parameters
    ----------
    law : str
        ``poisson``; ``constant`` gaps; ``gamma`` gaps with this ``cv2``; ``mmpp``: a Poisson process whose rate
        changes between ``peak`` x ``rate`` and a lower one, staying ``stay_s`` on average at the peak and so long
        at the lower rate, half of the peak's excess below the mean, that the mean is ``rate``.

    Raises
    ------
    ValueError
        An unknown law, a rate, duration, cv2 or stay that is not positive, a peak outside (1, 3].

    >>> drawn = draw_schedule("gamma", 100.0, 60.0, np.random.default_rng(1), cv2=4.0)
    >>> low, high = drawn.cv2_interval
    >>> low < drawn.cv2_asked < high and drawn.pvalue > 0.01
    True
    """
    from scipy import stats

    from capkit.simulation import gamma_arrivals, mmpp_arrivals, poisson_arrivals

    if law not in LAWS:
        raise ValueError(f"law must be one of {', '.join(LAWS)}, got {law!r}")
    if not (rate > 0 and duration_s > 0):
        raise ValueError(f"rate and duration must be positive, got {rate}/s and {duration_s} s")
    if law == "poisson":
        times = poisson_arrivals(rate, duration_s, rng)
        return _tested(times, law, 1.0, rate * np.diff(times), stats.expon())
    if law == "constant":
        return _tested(np.arange(1, math.ceil(rate * duration_s)) / rate, law, 0.0)
    if law == "gamma":
        if not cv2 > 0:
            raise ValueError(f"cv2 must be positive, got {cv2}; law constant has 0")
        times = gamma_arrivals(rate, cv2, duration_s, rng)
        return _tested(times, law, cv2, rate * np.diff(times), stats.gamma(1 / cv2, scale=cv2))
    if not (1 < peak <= 3 and stay_s > 0):
        raise ValueError(f"mmpp needs 1 < peak <= 3 and stay_s > 0, got {peak} and {stay_s}")
    rates = np.array([peak, 1 - (peak - 1) / 2]) * rate
    stays = np.array([stay_s, 2 * stay_s])
    times, expected = mmpp_arrivals(rates, stays, duration_s, rng)
    return _tested(times, law, _mmpp_cv2(rates, 1 / stays), np.diff(expected), stats.expon())


def replay(
    times_s: ArrayLike, *, speed: float = 1.0, share: float = 1.0, seed: int = 0
) -> Schedule:
    """Replay recorded arrival times, moved to start at 0.

    ``speed`` scales time: the same pattern, that much faster. ``share`` keeps each request with this probability:
    the same hours at a lower rate, closer to a Poisson process (``cv2_asked`` is then a renewal process's). ValueError for fewer than two times, times not
    sorted, a speed that is not positive, a share outside (0, 1].

    >>> replay([10.0, 12.0, 16.0], speed=2.0).times_s.tolist()
    [0.0, 1.0, 3.0]
    """
    times = np.asarray(times_s, dtype=float)
    if times.ndim != 1 or times.size < 2 or not np.all(np.diff(times) >= 0):
        raise ValueError("a trace is two or more arrival times in s, sorted")
    if not (speed > 0 and 0 < share <= 1):
        raise ValueError(f"speed must be > 0 and share in (0, 1], got {speed} and {share}")
    moved = (times - times[0]) / speed
    kept = moved[np.random.default_rng(seed).random(moved.size) < share] if share < 1 else moved
    recorded = _cv2(np.diff(moved))[0] * share + 1 - share
    return _tested(kept, "replay", recorded)


def _tested(
    times: Array, law: str, cv2_asked: float, steps: Array | None = None, reference: Any = None
) -> Schedule:
    from scipy import stats

    if not times.size:
        raise ValueError("no arrival fell into the test: raise the rate or the duration")
    pvalue = float("nan")
    if steps is not None and steps.size:
        pvalue = float(stats.kstest(steps, reference.cdf).pvalue)
    cv2, low, high = _cv2(np.diff(times))
    return Schedule(times, law, cv2, (low, high), cv2_asked, pvalue)


def _cv2(gaps: Array) -> tuple[float, float, float]:
    """CV2 and its interval, from batch means of its influence function; NaN for too few gaps."""
    from capkit.simulation import mean_interval

    if gaps.size < 20 or not gaps.any():
        return float("nan"), float("nan"), float("nan")
    mean, square = gaps.mean(), (gaps**2).mean()
    influence = (gaps**2 - square) / mean**2 - 2 * square * (gaps - mean) / mean**3
    cv2 = square / mean**2 - 1
    _, low, high = mean_interval(influence)
    return float(cv2), float(cv2 + low), float(cv2 + high)


def _mmpp_cv2(rates: Array, leave: Array) -> float:
    """CV2 of the gaps of a two-state MMPP (Fischer and Meier-Hellstern 1993, equation 15)."""
    (high, low), (down, up) = rates, leave
    scale = (down + up) ** 2 * (high * low + high * up + low * down)
    return float(1 + 2 * down * up * (high - low) ** 2 / scale)
