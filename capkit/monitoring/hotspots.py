"""Hot spots: the replica, or the client, whose share of the load stands out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def hot_spots(counts: ArrayLike, *, threshold: float = 4.0, excess: float = 0.1) -> pd.DataFrame:
    """Replicas that answered more than their share, most loaded first.

    Under random dispatch the requests of a replica are Poisson: their standard deviation is the root
    of their mean. The median stands for the mean, so that a hot spot does not raise its own bar.

    Parameters
    ----------
    counts : array-like of shape (replicas,)
        Requests that each answered in one window; at least 3 replicas.
    threshold : float
        Standard deviations above the median.
    excess : float
        Least excess over the median, as a share of it: with many requests every difference is significant.

    Returns
    -------
    DataFrame
        ``replica``, ``share`` of all requests, ``ratio`` to the median, ``z``, ``hot``.

    >>> hot_spots([100, 95, 104, 180]).round(2).head(2)
       replica  share  ratio     z    hot
    0        3   0.38   1.76  7.72   True
    1        2   0.22   1.02  0.20  False
    """
    seen = np.asarray(counts, dtype=float)
    if seen.ndim != 1 or seen.size < 3 or not np.median(seen) > 0.0:
        raise ValueError(
            f"at least 3 replicas with requests are needed, got {seen.tolist()}: with fewer none is the rule"
        )
    middle = float(np.median(seen))
    table = pd.DataFrame(
        {
            "replica": np.arange(seen.size),
            "share": seen / seen.sum(),
            "ratio": seen / middle,
            "z": (seen - middle) / middle**0.5,
        }
    )
    table["hot"] = (table["z"] >= threshold) & (table["ratio"] >= 1.0 + excess)
    return table.sort_values("ratio", ascending=False, ignore_index=True)


def departures(rates: ArrayLike, clients: ArrayLike, *, least_share: float = 0.25) -> pd.DataFrame:
    """Clients so large that their leaving shows: falls of the rate when exactly one client stopped.

    A series of the whole service does not name its clients; it does count them. Where the count falls
    by one and the rate by a share, that client had about this share.

    Parameters
    ----------
    rates : array-like of shape (windows,)
        Requests a second of the whole service; 0 is a gap in the data.
    clients : array-like of shape (windows,)
        How many clients sent something.
    least_share : float
        Falls below this share of the rate are left out.

    Returns
    -------
    DataFrame
        ``window`` (the last one with the client), ``rate_before``, ``rate_after``, ``clients`` before,
        ``share``; largest share first.

    >>> departures([100.0, 100.0, 40.0, 39.0], [20, 20, 19, 18])
       window  rate_before  rate_after  clients  share
    0       1        100.0        40.0       20    0.6
    """
    rate, count = np.asarray(rates, dtype=float), np.asarray(clients, dtype=float)
    if rate.shape != count.shape or rate.ndim != 1 or rate.size < 2:
        raise ValueError(f"two series of one length are needed, got {rate.shape} and {count.shape}")
    before, after = rate[:-1], rate[1:]
    share = 1.0 - after / np.maximum(before, 1e-300)
    left = (np.diff(count) == -1) & (before > 0.0) & (after > 0.0) & (share >= least_share)
    windows = np.flatnonzero(left)
    table = pd.DataFrame(
        {
            "window": windows,
            "rate_before": before[windows],
            "rate_after": after[windows],
            "clients": count[windows].astype(int),
            "share": share[windows],
        }
    )
    return table.sort_values("share", ascending=False, ignore_index=True)
