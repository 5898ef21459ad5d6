"""What a log must be before it is described; every refusal says what to do."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def checked_times(arrival_times: ArrayLike) -> Floats:
    """Arrival times as floats, or a ValueError that names the first bad row."""
    values = np.asarray(arrival_times)
    if values.ndim == 1 and values.size < 2:
        raise ValueError(f"a workload needs two arrivals or more, got {values.size}")
    times = checked_chunk(values, 0, 0.0)
    if times[-1] == times[0]:
        raise ValueError(f"all {times.size} arrivals lie at one instant: no rate exists")
    return times


def checked_chunk(arrival_times: ArrayLike, before: int, last: float) -> Floats:
    """The next arrival times of a log of which ``before`` rows are known, the latest at ``last``."""
    values = np.asarray(arrival_times)
    if values.ndim != 1:
        raise ValueError(f"arrival_times must be 1-D, got shape {values.shape}")
    if values.size and values.dtype.kind not in "iuf":
        raise ValueError(f"arrival_times must be numbers in seconds, got {values.dtype}: convert")
    times = values.astype(np.float64, copy=False)
    if not times.size:
        return times
    # one pass says that all is well; what is wrong is looked for only then
    steps = np.diff(times, prepend=last if before else times[0])
    if steps.min() >= 0 and np.isfinite(times[-1]) and times[0] >= 0:
        return times
    if not np.isfinite(times).all():
        bad = before + int(np.flatnonzero(~np.isfinite(times))[0])
        raise ValueError(f"arrival_times hold NaN or infinity, first at row {bad}: drop such rows")
    backwards = np.flatnonzero(steps < 0)
    if backwards.size:
        raise ValueError(
            f"arrival_times are not sorted ({backwards.size} steps back, first at row "
            f"{before + backwards[0]}): find out why, then sort them (numpy.sort)"
        )
    raise ValueError(f"arrival_times must not be negative, got {times[0]} s: shift the origin")


def checked_counts(counts: ArrayLike, step_s: float) -> NDArray[np.int64]:
    """Counts as integers, or a ValueError that says what is wrong with them."""
    values = np.asarray(counts)
    if not step_s > 0:
        raise ValueError(f"step_s must be positive seconds, got {step_s}")
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iuf":
        raise ValueError(
            f"counts must be a non-empty 1-D array of numbers, got shape {values.shape} of {values.dtype}"
        )
    if not np.isfinite(values).all() or (values < 0).any() or (values != np.floor(values)).any():
        raise ValueError(
            "counts must be whole numbers, 0 or more: repair NaN, negatives, fractions"
        )
    if not values.any():
        raise ValueError("the counts hold no request")
    return values.astype(np.int64)
