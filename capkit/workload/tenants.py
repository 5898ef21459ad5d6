"""Several tenants on one service: who makes the mean, and who makes the peak."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def tenant_counts(times: ArrayLike, tenants: ArrayLike, window_s: float) -> pd.DataFrame:
    """Requests of each tenant in each window of ``window_s`` seconds from the first arrival.

    Only complete windows count. ValueError if the log holds none, or the arrays differ in length.

    >>> tenant_counts([0.0, 0.5, 1.5, 2.0], ["a", "b", "a", "a"], 1.0).to_dict("list")
    {'a': [1, 1], 'b': [1, 0]}
    """
    when, who = np.asarray(times, dtype=np.float64), np.asarray(tenants)
    if when.shape != who.shape or when.ndim != 1 or when.size < 2:
        raise ValueError(f"give one tenant a request, got {who.shape} for {when.shape}")
    window = np.floor((when - when.min()) / window_s).astype(np.int64)
    windows = int((when.max() - when.min()) / window_s * (1 + 1e-12))
    if windows < 1:
        raise ValueError(f"a window of {window_s} s is longer than the log: take a shorter one")
    table = pd.crosstab(pd.Series(window, name="window"), pd.Series(who, name="tenant"))
    return table.reindex(range(windows), fill_value=0).rename_axis("window")


def tenant_shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Which tenant makes the mean, the peak and the fluctuation of the sum.

    Parameters
    ----------
    counts : DataFrame
        One row a window, one column a tenant (counts or rates), complete.

    Returns
    -------
    DataFrame
        Index ``tenant``, largest peak first: ``share_of_requests``; ``share_of_peak`` in the busiest
        window of the sum; ``share_of_variance``, Cov(tenant, sum) / Var(sum), which is negative for a
        tenant that fills the valleys of the others; ``peak_to_mean`` of the tenant alone. Each share
        adds up to 1.

    >>> load = pd.DataFrame({"steady": [5, 5, 5, 5], "bursty": [0, 9, 0, 0]})
    >>> tenant_shares(load).round(2)["share_of_peak"].to_dict()
    {'bursty': 0.64, 'steady': 0.36}
    """
    values = counts.to_numpy(dtype=np.float64)
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("counts must be a table of two windows or more, finite and 0 or more")
    total = values.sum(axis=1)
    if np.ptp(total) == 0:
        raise ValueError("the sum of the tenants is the same in every window: there is no peak")
    if (idle := counts.columns[values.sum(axis=0) == 0]).size:
        raise ValueError(f"without a request: {', '.join(map(str, idle))}; leave them out")
    deviation = total - total.mean()
    table = pd.DataFrame(
        {
            "share_of_requests": values.sum(axis=0) / total.sum(),
            "share_of_peak": values[total.argmax()] / total.max(),
            "share_of_variance": deviation @ values / (deviation @ total),
            "peak_to_mean": values.max(axis=0) / values.mean(axis=0),
        },
        index=pd.Index(counts.columns, name="tenant"),
    )
    return table.sort_values("share_of_peak", ascending=False)
