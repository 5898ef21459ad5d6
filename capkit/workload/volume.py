"""Data that keeps coming and is kept for a while: bytes in store, day by day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stored_bytes(
    bytes_per_day: float, retention_days: int, days: int, *, growth_per_year: float = 0.0
) -> NDArray[np.float64]:
    """Bytes in store at the end of each day, if a day's data is deleted after ``retention_days``.

    Parameters
    ----------
    bytes_per_day : float
        Inflow of the first day.
    retention_days, days : int
        Days that data is kept; days to look ahead.
    growth_per_year : float
        Relative growth of the inflow in 365 days: 0.3 for 30 %.

    Returns
    -------
    array of shape (days,)
        The store fills for ``retention_days``, then grows as the inflow does.

    >>> stored_bytes(10.0, 3, 5).tolist()
    [10.0, 20.0, 30.0, 30.0, 30.0]
    """
    if not bytes_per_day >= 0 or retention_days < 1 or days < 1 or not growth_per_year > -1:
        raise ValueError(
            "bytes_per_day >= 0, a day or more of retention and of time, growth above -1 are needed; got "
            f"{bytes_per_day}, {retention_days}, {days}, {growth_per_year}"
        )
    inflow = bytes_per_day * (1 + growth_per_year) ** (np.arange(days) / 365)
    total = np.cumsum(inflow)
    return np.asarray(total - np.r_[np.zeros(min(retention_days, days)), total[:-retention_days]])
