"""Gaps of a log that are too long for its rate: did the recording stop, or was there no load?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.workload.checks import checked_times


def silences(arrival_times: ArrayLike, *, level: float = 0.001) -> pd.DataFrame:
    """Gaps longer than any that a Poisson log of this rate and length would show, longest first.

    The longest of n exponential gaps exceeds log(n / level) / rate with probability ``level``, about. The
    log cannot tell which of the two a silence is; ask who recorded it. It can say what hangs on the answer:
    describe it with the silences and without them (`cut_silences`).

    Returns
    -------
    DataFrame
        ``start_s`` (time of the arrival before it), ``length_s``.

    >>> silences(np.r_[0.0:10.0:0.1, 60.0:70.0:0.1]).round(1).to_dict("records")
    [{'start_s': 9.9, 'length_s': 50.1}]
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    times = checked_times(arrival_times)
    gaps = np.diff(times)
    longest = np.log(gaps.size / level) * gaps.mean()
    at = np.flatnonzero(gaps > longest)
    table = pd.DataFrame({"start_s": times[at], "length_s": gaps[at]})
    return table.sort_values("length_s", ascending=False, ignore_index=True)


def cut_silences(arrival_times: ArrayLike, longest_s: float) -> NDArray[np.float64]:
    """The same arrivals with every gap above ``longest_s`` shortened to it: the recording had stopped.

    >>> cut_silences([0.0, 1.0, 61.0, 62.0], 5.0).tolist()
    [0.0, 1.0, 6.0, 7.0]
    """
    if not longest_s > 0:
        raise ValueError(f"longest_s must be positive seconds, got {longest_s}")
    times = checked_times(arrival_times)
    gaps = np.minimum(np.diff(times), longest_s)
    return np.concatenate([times[:1], times[0] + np.cumsum(gaps)])
