"""From a log to a `Workload`: time stamps at once or in chunks, or counts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from capkit.workload.checks import checked_chunk, checked_counts, checked_times
from capkit.workload.log import PEAK_WINDOW_S, Workload

STEPS_S = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)  # of the counts that a stream keeps
MAX_STEPS = 4_000_000


def characterize(arrival_times: ArrayLike) -> Workload:
    """Describe a log of requests by its arrival times.

    Parameters
    ----------
    arrival_times : array of float, shape (n,), n >= 2
        Seconds, ascending (equal ones allowed), not negative; any origin, such as the epoch.

    Raises
    ------
    ValueError
        Empty, one row, not numbers, NaN or infinite, negative, unsorted (never sorted silently: a log
        out of order may be two logs in one), or all at one instant.

    >>> load = characterize([0.0, 1.0, 2.0, 3.0, 5.0])
    >>> load.rate, round(load.interarrival_cv2, 3)
    (0.8, 0.12)
    """
    times = checked_times(arrival_times)
    duration_s = float(times[-1] - times[0])
    gaps = np.diff(times)
    rate = gaps.size / duration_s
    window_s = min(PEAK_WINDOW_S, duration_s)
    workload = Workload(
        requests=times.size,
        duration_s=duration_s,
        rate=rate,
        peak_rate=rate,
        peak_window_s=window_s,
        interarrival_cv2=float(gaps.var() * rate**2),
        _times=times,
    )
    return workload if window_s == duration_s else _with_peak(workload)


def from_counts(
    counts: ArrayLike, step_s: float, *, interarrival_cv2: float | None = None
) -> Workload:
    """Describe a log of which only the counts per step of ``step_s`` seconds are known.

    ``interarrival_cv2`` of the gaps goes along where it is known from elsewhere.

    ValueError for counts that are empty, all zero, NaN, negative or fractional, or a step not above 0.

    >>> from_counts([4, 6, 5], 1.0).rate
    5.0
    """
    whole = checked_counts(counts, step_s)
    duration_s = whole.size * float(step_s)
    steps = max(1, min(round(PEAK_WINDOW_S / step_s), whole.size))
    rate = float(whole.sum()) / duration_s
    return _with_peak(
        Workload(
            requests=int(whole.sum()),
            duration_s=duration_s,
            rate=rate,
            peak_rate=rate,
            peak_window_s=steps * float(step_s),
            interarrival_cv2=interarrival_cv2,
            _counts=whole,
            step_s=float(step_s),
        )
    )


class _Stream:
    """What is kept of a stream: the counts per step, the first two moments of the gaps, both ends."""

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps
        self.step = 0
        self.counts = np.zeros(0, dtype=np.int64)
        self.requests = 0
        self.first = self.last = self.shift = self.squares = 0.0

    def add(self, chunk: ArrayLike) -> None:
        times = checked_chunk(chunk, self.requests, self.last)
        if not times.size:
            return
        if not self.requests:
            self.first = self.last = float(times[0])
            self.shift = float(times[-1] - times[0]) / times.size
        gaps = np.diff(times, prepend=self.last) - self.shift
        self.squares += float(gaps @ gaps)
        if not self.requests:
            self.squares -= self.shift**2  # before the first arrival there is no gap
        self.requests += times.size
        self.last = float(times[-1])
        while (self.last - self.first) / STEPS_S[self.step] >= self.max_steps:
            self._coarsen()
        slack = 2 * np.spacing(self.last)
        position = ((times - self.first + slack) / STEPS_S[self.step]).astype(np.int64)
        start = int(position[0])
        counted = np.bincount(position - start)
        missing = start + counted.size - self.counts.size
        if missing > 0:  # grows by half at least, so that a long log is copied a few times only
            room = max(missing, self.counts.size // 2)
            self.counts = np.concatenate([self.counts, np.zeros(room, dtype=np.int64)])
        self.counts[start : start + counted.size] += counted

    def _coarsen(self) -> None:
        if self.step + 1 == len(STEPS_S):
            raise ValueError(
                f"the log is longer than {self.max_steps:,} steps of {STEPS_S[-1]} s: "
                "are the stamps in seconds? Else raise max_steps"
            )
        merged = round(STEPS_S[self.step + 1] / STEPS_S[self.step])
        padded = np.concatenate([self.counts, np.zeros(-self.counts.size % merged, dtype=np.int64)])
        self.counts = padded.reshape(-1, merged).sum(axis=1)
        self.step += 1

    def workload(self) -> Workload:
        if self.requests < 2:
            raise ValueError(f"a workload needs two arrivals or more, got {self.requests}")
        if self.last == self.first:
            raise ValueError(f"all {self.requests} arrivals lie at one instant: no rate exists")
        step_s, duration_s = STEPS_S[self.step], self.last - self.first
        complete = int(duration_s / step_s * (1 + 1e-12))
        if not complete:
            raise ValueError(
                f"the log lasts {duration_s:.3g} s, less than one step: characterize it"
            )
        mean = duration_s / (self.requests - 1)
        variance = self.squares / (self.requests - 1) - (mean - self.shift) ** 2
        steps = max(1, min(round(PEAK_WINDOW_S / step_s), complete))
        return _with_peak(
            Workload(
                requests=self.requests,
                duration_s=duration_s,
                rate=1 / mean,
                peak_rate=1 / mean,
                peak_window_s=steps * step_s,
                interarrival_cv2=variance / mean**2,
                _counts=self.counts[:complete].copy(),
                step_s=step_s,
            )
        )


def characterize_stream(chunks: Iterable[ArrayLike], *, max_steps: int = MAX_STEPS) -> Workload:
    """Describe a log that does not fit into memory, from its arrival times in chunks.

    Kept are the counts per step, the moments of the gaps and the ends of the log. A step lasts 0.1 s; a
    log of more than ``max_steps`` steps goes on with 1, 10, 60, 600, 3600 s, so the memory has a bound
    (some 200 MB by default) whatever the number of rows. Windows are multiples of the step at the end.

    Parameters
    ----------
    chunks : iterable of array of float
        Seconds, ascending through all chunks: `capkit.datasets.stream_log` reads them from a file.

    Raises
    ------
    ValueError
        As `characterize`, the row counted from the first of the first chunk; a log shorter than a step.

    >>> load = characterize_stream([[0.0, 1.0, 2.0], [3.0, 5.0]])
    >>> load.rate, round(load.interarrival_cv2, 3), load.step_s
    (0.8, 0.12, 0.1)
    """
    stream = _Stream(max_steps)
    for chunk in chunks:
        stream.add(chunk)
    return stream.workload()


def _with_peak(workload: Workload) -> Workload:
    peak_rate = float(workload.counts(workload.peak_window_s).max() / workload.peak_window_s)
    return Workload(**{**workload.__dict__, "peak_rate": peak_rate})
