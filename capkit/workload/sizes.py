"""Sizes of requests: bins, laws fitted by likelihood with a test, and whether they move with the load."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]

# law: its distribution function at x / scale, and SciPy's frozen law (a hundred times slower)
LAWS: dict[str, tuple[Any, Any]] = {
    "lognormal": (
        lambda shape, x: special.ndtr(np.log(np.maximum(x, 1e-300)) / shape),
        lambda shape, scale: stats.lognorm(shape, scale=scale),
    ),
    "gamma": (special.gammainc, lambda shape, scale: stats.gamma(shape, scale=scale)),
    "weibull": (
        lambda shape, x: -np.expm1(-(x**shape)),
        lambda shape, scale: stats.weibull_min(shape, scale=scale),
    ),
}
LEAST_EXPECTED = 5.0  # of requests in a bin of the chi-square test; rarer bins are joined


def size_bins(sizes: ArrayLike, *, per_octave: int = 4) -> tuple[Floats, NDArray[np.int64]]:
    """Edges and counts of bins about equally wide on a logarithmic scale; counts of chunks may be added.

    ValueError for sizes that are not positive and finite: what has no size is no request to fit.

    >>> edges, counts = size_bins([1.0, 2.0, 3.0, 4.0], per_octave=1)
    >>> edges.tolist(), counts.tolist()
    ([1.0, 2.0, 4.0, 8.0], [1, 2, 1])
    """
    values = np.asarray(sizes, dtype=np.float64)
    if values.ndim != 1 or not values.size or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("sizes must be 1-D, not empty, finite and above 0: repair the log first")
    low = np.floor(np.log2(values.min()) * per_octave)
    high = np.floor(np.log2(values.max()) * per_octave) + 1
    edges = 2.0 ** (np.arange(low, high + 1) / per_octave)
    return edges, np.histogram(values, edges)[0]


def fit_sizes(edges: ArrayLike, counts: ArrayLike) -> pd.DataFrame:
    """Lognormal, gamma and Weibull laws of binned sizes: maximum likelihood, and a chi-square test.

    The likelihood is that of the bins, so whole numbers of tokens and exact sizes are treated alike, and
    the test has as many degrees of freedom as bins less one less two parameters (Fisher 1924). With many
    requests every simple law is refused: ``distance`` says by how much it errs.

    Parameters
    ----------
    edges : array of shape (bins + 1,)
        Ascending, 0 or more. For whole numbers such as tokens: the limits less 1/2.
    counts : array of int, shape (bins,)
        Requests in each bin.

    Returns
    -------
    DataFrame
        Index ``law``, best first: ``shape`` (sigma, k, k), ``scale`` (median, theta, lambda), ``mean``,
        ``cv2``, ``p99``, ``aic``, ``distance`` (largest difference of the distribution functions at the
        edges, 0 to 1), ``pvalue``.

    >>> sizes = np.random.default_rng(1).lognormal(5.0, 0.8, 2000)
    >>> table = fit_sizes(*size_bins(sizes))
    >>> table.index[0], bool(table["pvalue"].iloc[0] > 0.01), round(float(table["shape"].iloc[0]), 2)
    ('lognormal', True, 0.81)
    """
    limits, found = np.asarray(edges, dtype=np.float64), np.asarray(counts, dtype=np.int64)
    if limits.ndim != 1 or found.shape != (limits.size - 1,) or (np.diff(limits) <= 0).any():
        raise ValueError(
            f"edges must ascend and be one more than counts, got {limits.shape} and {found.shape}"
        )
    if limits[0] < 0 or (found < 0).any() or np.count_nonzero(found) < 4:
        raise ValueError(
            "edges and counts must be 0 or more, and four bins filled to fit two parameters"
        )
    middle = (limits[1:] + limits[:-1]) / 2
    mean = float(found @ middle / found.sum())
    cv2 = float(found @ middle**2 / found.sum()) / mean**2 - 1
    starts = {
        "lognormal": (np.sqrt(np.log1p(cv2)), mean / np.sqrt(1 + cv2)),
        "gamma": (1 / cv2, mean * cv2),
        "weibull": (cv2**-0.5, mean),
    }
    rows = {law: _fit(*LAWS[law], start, limits, found) for law, start in starts.items()}
    columns = ["shape", "scale", "mean", "cv2", "p99", "aic", "distance", "pvalue"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("law")
    return table.sort_values("aic")


def _fit(
    below: Any, law: Any, start: tuple[float, float], edges: Floats, counts: NDArray[np.int64]
) -> tuple[float, ...]:
    def chances(logs: Floats) -> Floats:
        shape, scale = np.exp(logs)
        at_edges = below(shape, edges / scale)
        at_edges[0], at_edges[-1] = 0.0, 1.0  # the outer bins are open
        return np.asarray(np.maximum(np.diff(at_edges), 1e-300))

    best = optimize.minimize(
        lambda logs: -float(counts @ np.log(chances(logs))),
        np.log(start),
        method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-6, "maxiter": 2000},
    )
    shape, scale = np.exp(best.x)
    fitted, share = law(shape, scale), chances(best.x)
    distance = float(np.abs(np.cumsum(share) - np.cumsum(counts) / counts.sum()).max())
    found, expected = _joined(counts, share * counts.sum())
    freedom = found.size - 3
    chi2 = float(((found - expected) ** 2 / expected).sum())
    if freedom < 1:
        raise ValueError(
            f"{counts.sum()} requests fill too few bins to test a law: take more of them"
        )
    pvalue = float(stats.chi2.sf(chi2, freedom))
    moments = fitted.mean(), fitted.var() / fitted.mean() ** 2, fitted.ppf(0.99)
    return shape, scale, *moments, 2 * best.fun + 4, distance, pvalue


def _joined(counts: NDArray[np.int64], expected: Floats) -> tuple[Floats, Floats]:
    """Neighbouring bins put together until each expects `LEAST_EXPECTED` requests."""
    bins: list[list[float]] = [[0.0, 0.0]]
    for found, hoped in zip(counts, expected, strict=True):
        bins[-1][0] += float(found)
        bins[-1][1] += float(hoped)
        if bins[-1][1] >= LEAST_EXPECTED:
            bins.append([0.0, 0.0])
    rest = bins.pop()
    if bins:
        bins[-1][0] += rest[0]
        bins[-1][1] += rest[1]
    table = np.array(bins or [rest])
    return table[:, 0], table[:, 1]


def size_load_correlation(requests: ArrayLike, size_sums: ArrayLike) -> tuple[float, float]:
    """Rank correlation of the mean size with the number of requests, window by window, and its p-value.

    Above 0: busy times bring heavy requests, and the load peaks higher than its rate does. Both series
    drift, so their windows are not independent; the p-value compares with all rotations of one of them
    against the other, which keep each drift as it is. Windows without a request are left out.

    Parameters
    ----------
    requests, size_sums : array of shape (windows,)
        Requests of each window, and the sum of their sizes.

    >>> requests = np.array([4, 9, 2, 7, 5, 8, 3, 6] * 5)
    >>> correlation, pvalue = size_load_correlation(requests, requests * (10.0 + requests))
    >>> round(correlation, 6), round(pvalue, 3)
    (1.0, 0.125)
    """
    found, sums = np.asarray(requests, dtype=np.float64), np.asarray(size_sums, dtype=np.float64)
    if found.shape != sums.shape or found.ndim != 1:
        raise ValueError(f"give one sum a window, got {found.shape} and {sums.shape}")
    sums, found = sums[found > 0], found[found > 0]
    if found.size < 10:
        raise ValueError(f"ten windows with requests are needed, got {found.size}")
    load, size = stats.rankdata(found), stats.rankdata(sums / found)
    load, size = load - load.mean(), size - size.mean()
    norm = np.sqrt(float((load @ load) * (size @ size)))
    if norm == 0:
        raise ValueError("all windows have one count or one mean size: nothing can correlate")
    turned = np.array([load @ np.roll(size, k) for k in range(found.size)]) / norm
    beyond = np.count_nonzero(np.abs(turned) >= abs(turned[0]) - 1e-12)
    return float(turned[0]), float(beyond / found.size)
