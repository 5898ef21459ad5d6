"""Anomalies in a series: how unusual a value is, how long that lasts, and what an alarm is worth.

Detectors are causal: what they say of a moment uses that moment and earlier ones only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MAD_TO_SIGMA = 1.4826  # of a normal distribution


def robust_z(values: ArrayLike, *, season: int = 1, history: int, floor: float = 1e-9) -> Floats:
    """How unusual each value is, in robust standard deviations of its own place in the season.

    ``(value - median) / (1.4826 * median absolute deviation)``, shape (n,); 0 until the history is there
    (Iglewicz and Hoaglin, How to Detect and Handle Outliers, ASQC 1993).

    Parameters
    ----------
    values : array-like of shape (n,)
        Observations, or residuals of a forecast, at even steps.
    season : int
        Steps a season; 1 for values without one.
    history : int
        How many earlier values of the same place are compared with; `ValueError` if they are not there.
    floor : float
        Least standard deviation, in units of the values: a measure that hardly moves is not an alarm.

    >>> robust_z([10, 20, 11, 21, 12, 22, 11, 40], season=2, history=3, floor=1.0).round(1)
    array([ 0. ,  0. ,  0. ,  0. ,  0. ,  0. ,  0. , 12.8])
    """
    observed = np.asarray(values, dtype=float)
    if season < 1 or history < 3 or observed.size <= season * history:
        raise ValueError(
            f"{observed.size} values are too few for a history of {history} (at least 3) seasons of {season}"
        )
    score = np.zeros(observed.size)
    for place in range(season):
        own = observed[place::season]
        windows = np.lib.stride_tricks.sliding_window_view(own, history)[:-1]
        middle = np.median(windows, axis=1)
        spread = MAD_TO_SIGMA * np.median(np.abs(windows - middle[:, None]), axis=1)
        score[place + season * history :: season] = (own[history:] - middle) / np.maximum(
            spread, floor
        )
    return score


def cusum(
    scores: ArrayLike,
    *,
    allowance: float = 0.5,
    limit: float = 4.0,
    ceiling: float = 100.0,
    upward: bool = False,
) -> Floats:
    """Cumulative sum of standardised scores, shape (n,): small shifts that last add up.

    Page, Biometrika 41 (1954) 100-115; tabular form as in Montgomery, Statistical Quality Control.

    Parameters
    ----------
    scores : array-like of shape (n,)
        Standardised residuals; each counts at most ``limit``, so that one outlier is not a shift.
    allowance : float
        What is taken off at each step: half the shift that matters, in standard deviations.
    limit : float
        Bound on a single score.
    ceiling : float
        Bound on the sums: twice the alarm's threshold lets an alarm end soon after the shift does.
    upward : bool
        Only shifts upwards count; otherwise the larger of the two directions.

    >>> cusum([0, 0, 2, 2, 2, 0, 0]).tolist()
    [0.0, 0.0, 1.5, 3.0, 4.5, 4.0, 3.5]
    """
    bounded = np.clip(np.asarray(scores, dtype=float), -limit, limit)
    total = np.zeros(bounded.size)
    up = down = 0.0
    for step, score in enumerate(bounded):
        up = min(max(0.0, up + score - allowance), ceiling)
        down = min(max(0.0, down - score - allowance), ceiling)
        total[step] = up if upward else max(up, down)
    return total


def alarms(statistic: ArrayLike, threshold: float, *, persistence: int = 1) -> Flags:
    """Moments at which a statistic has been at or above a threshold for some steps in a row.

    >>> alarms([1, 5, 5, 1, 5], 4, persistence=2).tolist()
    [False, False, True, False, False]
    """
    above = np.asarray(statistic, dtype=float) >= threshold
    run = np.zeros(above.size, dtype=int)
    for step in range(above.size):
        run[step] = (run[step - 1] + 1 if step else 1) if above[step] else 0
    return np.asarray(run >= persistence)


@dataclass(frozen=True)
class Detection:
    """How good alarms are against labels."""

    precision: float
    """Share of the alarmed steps that are labelled; 0 without an alarm."""
    recall: float
    """Share of the labelled steps that are alarmed."""
    delay_h: float | None
    """Hours from the start of the label to the first alarm inside it; None if there is none."""
    false_episodes: int
    """Uninterrupted runs of alarms that begin outside the label."""


def judge(alarmed: ArrayLike, labelled: ArrayLike, *, step_s: float) -> Detection:
    """Compare alarms with one labelled anomaly, step by step (bool arrays of one shape, ``step_s`` apart).

    >>> judge([1, 0, 0, 1, 1], [0, 0, 1, 1, 1], step_s=3600)
    Detection(precision=0.6666666666666666, recall=0.6666666666666666, delay_h=1.0, false_episodes=1)
    """
    alarm = np.asarray(alarmed, dtype=bool)
    label = np.asarray(labelled, dtype=bool)
    if alarm.shape != label.shape or not label.any():
        raise ValueError("alarms and labels must be of one shape, with something labelled")
    hits = int((alarm & label).sum())
    inside = np.flatnonzero(alarm & label)
    starts = alarm & ~np.concatenate([[False], alarm[:-1]])
    return Detection(
        precision=hits / int(alarm.sum()) if alarm.any() else 0.0,
        recall=hits / int(label.sum()),
        delay_h=float(inside[0] - np.flatnonzero(label)[0]) * step_s / 3600.0 if hits else None,
        false_episodes=int((starts & ~label).sum()),
    )
