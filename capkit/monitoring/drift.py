"""Changes that the rate of requests does not show: each takes longer, or they are of another kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


def service_drift(
    requests: ArrayLike,
    seconds: ArrayLike,
    *,
    baseline_s: ArrayLike,
    cv2: float,
    noise: float = 0.03,
) -> Floats:
    """How far the mean service time of each window is from the measured one, in standard errors.

    ``seconds`` and ``requests`` are the increases of a histogram's ``_sum`` and ``_count``.

    Parameters
    ----------
    requests, seconds : array-like of shape (windows,)
        Requests answered in each window, and the service time of all of them together.
    baseline_s : float or array-like of shape (windows,)
        Mean service time that the plan was made with, or that each window's own mix should take.
    cv2 : float
        Squared coefficient of variation of the service time.
    noise : float
        Spread of the mean from window to window on a machine in good order, as a share of it: many
        requests measure the mean far more closely than the machine keeps it.

    Returns
    -------
    array of shape (windows,)
        0 for a window without requests. Feed it to `cusum`.

    >>> service_drift([1000, 1000, 0], [2.0, 2.4, 0.0], baseline_s=0.002, cv2=1.0, noise=0.05).round(1)
    array([0. , 3.4, 0. ])
    """
    count, total = np.asarray(requests, dtype=float), np.asarray(seconds, dtype=float)
    expected = np.asarray(baseline_s, dtype=float)
    if count.shape != total.shape or (count < 0.0).any() or not (expected > 0.0).all() or cv2 < 0.0:
        raise ValueError(
            f"requests {count.shape} and seconds {total.shape} must match, baseline_s > 0, cv2 >= 0"
        )
    some = np.maximum(count, 1.0)
    change = total / some / expected - 1.0
    return np.where(count > 0.0, change / np.sqrt(cv2 / some + noise**2), 0.0)


def mix_drift(counts: ArrayLike, shares: ArrayLike) -> pd.DataFrame:
    """How far the kinds of requests of each window are from the planned mix.

    Parameters
    ----------
    counts : array-like of shape (windows, kinds)
        Requests of each kind.
    shares : array-like of shape (kinds,)
        Planned shares, each positive; they add up to 1, or `ValueError`.

    Returns
    -------
    DataFrame
        One row a window: ``moved_share``, the share of requests that would have to change their kind to
        restore the plan (total variation distance), and ``p_value`` of chance alone (chi-square test). With
        many requests everything is significant: alarm on the share that moved.

    >>> mix_drift([[900, 100], [800, 200]], [0.9, 0.1]).round(3)
       moved_share  p_value
    0          0.0      1.0
    1          0.1      0.0
    """
    seen, planned = np.asarray(counts, dtype=float), np.asarray(shares, dtype=float)
    if seen.ndim != 2 or seen.shape[1:] != planned.shape or not (seen.sum(axis=1) > 0.0).all():
        raise ValueError(
            f"counts must be windows x {planned.size} kinds, none empty, got {seen.shape}"
        )
    if not (planned > 0.0).all() or abs(planned.sum() - 1.0) > 1e-6:
        raise ValueError(f"shares must be positive and add up to 1, got {planned.tolist()}")
    total = seen.sum(axis=1, keepdims=True)
    moved = np.abs(seen / total - planned).sum(axis=1) / 2.0
    chi2 = ((seen - total * planned) ** 2 / (total * planned)).sum(axis=1)
    return pd.DataFrame({"moved_share": moved, "p_value": stats.chi2.sf(chi2, planned.size - 1)})
