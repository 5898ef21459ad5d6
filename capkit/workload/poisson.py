"""Two tests of one hypothesis: within each window the arrivals are Poisson at a constant rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
ENOUGH = 500_000  # gaps that the Kolmogorov-Smirnov test is given at most, about


def dispersion_pvalue(table: NDArray[np.int64]) -> float:
    """Two-sided p-value of Fisher's dispersion test, summed over windows.

    Given a window's total n, the counts of its k equal parts are multinomial: chi-square has mean
    k - 1 and variance 2 (k - 1) (1 - 1/n), exactly. The law of the sum is taken as the gamma law of
    these two moments, which is chi-square for large counts.

    Parameters
    ----------
    table : array of int, shape (windows, parts)
        Counts; rows with fewer than two arrivals say nothing and are left out.

    >>> rng = np.random.default_rng(1)
    >>> dispersion_pvalue(rng.poisson(3.0, (200, 10))) > 0.05
    True
    >>> dispersion_pvalue(2 * rng.poisson(3.0, (200, 10))) < 0.001
    True
    """
    parts = table.shape[1]
    total = table.sum(axis=1)
    table, total = table[total >= 2], total[total >= 2]
    mean = (total / parts)[:, None]
    chi2 = float(((table - mean) ** 2 / mean).sum())
    expected = (parts - 1) * total.size
    variance = 2 * (parts - 1) * float((1 - 1 / total).sum())
    law = stats.gamma(expected**2 / variance, scale=variance / expected)
    return min(1.0, 2 * float(min(law.cdf(chi2), law.sf(chi2))))


def resolution_s(times: Floats) -> float:
    """Step of the lattice that rounded stamps lie on; 0 if they lie on none. Of a long log the start is read.

    >>> resolution_s(np.array([0.0, 1.0, 1.0, 4.0])), resolution_s(np.array([0.0, 1.0, 2.5, 2.8]))
    (1.0, 0.0)
    """
    gaps = np.diff(times[:ENOUGH])
    gaps = gaps if gaps.any() else np.diff(times)
    step = float(gaps[gaps > 0].min())
    multiples = gaps / step
    slack = np.spacing(times[-1]) / step
    return (
        step if bool((np.abs(multiples - np.round(multiples)) <= 1e-6 + 4 * slack).all()) else 0.0
    )


def gap_pvalue(times: Floats, window_s: float) -> float:
    """Kolmogorov-Smirnov p-value of the gaps, transformed window by window to unit exponentials.

    With n arrivals at t_1 < ... < t_n in a window of length w, -(n + 1 - j) log((w - t_j) / (w - t_{j-1}))
    are independent unit exponentials: Brown et al., JASA 100 (2005), section 3.

    The ``times`` ascend; the first window starts at 0 s, only complete ones are used: of a long log every
    second one, or every third ..., so that about `ENOUGH` gaps are left.

    >>> rng = np.random.default_rng(1)
    >>> gap_pvalue(np.cumsum(rng.exponential(1.0, 1000)), 60.0) > 0.05
    True
    >>> gap_pvalue(np.cumsum(rng.uniform(0.0, 2.0, 1000)), 60.0) < 0.001
    True
    """
    window = np.floor(times / window_s).astype(np.int64)
    stride = times.size // ENOUGH + 1
    used = (window < int(times[-1] / window_s)) & (window % stride == 0)
    window = window[used]
    inside = times[used] - window * window_s
    counts = np.bincount(window)
    first = np.r_[True, window[1:] != window[:-1]]
    before = np.where(first, 0.0, np.r_[0.0, inside[:-1]])
    rank = np.arange(window.size) - (np.cumsum(counts) - counts)[window]
    left = counts[window] - rank
    scores = -left * np.log((window_s - inside) / (window_s - before))
    return float(stats.kstest(scores, "expon").pvalue)
