"""Time a call of a device: each call awaited, and many in a row awaited together."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capkit import telemetry

REPEATS = 5
WARM_UP_CALLS, WARM_UP_S = 3, 0.5
SAMPLE_S = 0.1
LAST_RESULTS = 4  # a device works in order; more of them could fill its memory

Call = Callable[[int], Any]
"""Starts the call of that number and returns what to wait for."""


def warm_up(call: Call, wait: Callable[[Any], None], block_s: float) -> float:
    """Call once to compile, then for half a second (or a block, if shorter) and three times: the last's seconds.

    An idle GPU runs at a fraction of its clock and takes a while under load to raise it. A call that takes
    so long by itself is made once.
    """
    least_s = min(WARM_UP_S, block_s)
    wait(call(0))
    begin, index, taken, over = time.perf_counter(), 0, 0.0, 0.0
    while over < least_s or (index < WARM_UP_CALLS and taken < least_s):
        index += 1
        wait(call(index))
        now = time.perf_counter() - begin
        taken, over = now - over, now
    return taken


def awaited_s(
    call: Call, wait: Callable[[Any], None], block_s: float, *, least: int = REPEATS
) -> NDArray[np.float64]:
    """Seconds of each call, its result awaited before the next: what one request occupies the device."""
    seconds: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < block_s or len(seconds) < least:
        started = time.perf_counter()
        wait(call(len(seconds)))
        seconds.append(time.perf_counter() - started)
    return np.array(seconds)


@dataclass(frozen=True)
class InARow:
    """Calls one after another, awaited together at the end of each repeat, and what the machine did meanwhile.

    Attributes
    ----------
    seconds : array
        Of one call, the mean of each repeat.
    calls : int
        Of all repeats.
    usage : dict
        Mean of each column of `telemetry.Sampler`, over the second half of the time; those of the GPU only
        if the calls ran on it.
    energy_j : float or None
        Of the whole GPU, all repeats together; None if they did not.
    """

    seconds: NDArray[np.float64]
    calls: int
    usage: dict[str, float]
    energy_j: float | None


def in_a_row(
    call: Call, wait: Callable[[Any], None], call_s: float, block_s: float, *, gpu: bool
) -> InARow:
    """Time `REPEATS` rows of calls, which take about ``block_s`` together.

    ``call_s`` is what a call takes if it is awaited. In a row it may take far less: a first row, not counted,
    finds how many fill the time. ``gpu`` says whether the calls run on the GPU that NVML would report.
    """
    row_s = block_s / REPEATS
    pilot = max(1, round(row_s / call_s))
    each = max(1, round(row_s / _row_s(call, wait, pilot))) if pilot > 1 else 1
    seconds = []
    with telemetry.Sampler(interval_s=SAMPLE_S) as sampler:
        before_j = telemetry.gpu_energy_j() if gpu else None
        for _ in range(REPEATS):
            seconds.append(_row_s(call, wait, each))
        after_j = telemetry.gpu_energy_j() if gpu else None
    frame = sampler.frame().drop(columns="t_s")
    if not gpu:
        frame = frame.drop(columns=frame.filter(like="gpu_").columns)
    usage = frame.iloc[len(frame) // 2 :].mean().dropna().round(1).to_dict()
    energy_j = None if before_j is None or after_j is None else after_j - before_j
    return InARow(np.array(seconds), REPEATS * each, usage, energy_j)


def _row_s(call: Call, wait: Callable[[Any], None], calls: int) -> float:
    """Mean seconds of a call in a row of them."""
    started = time.perf_counter()
    wait(list(deque(map(call, range(calls)), LAST_RESULTS)))
    return (time.perf_counter() - started) / calls


def in_ms(seconds: NDArray[np.float64], prefix: str = "") -> dict[str, float]:
    """Median and quartiles in ms, as a report holds them.

    >>> in_ms(np.array([0.001, 0.002, 0.003]))
    {'median_ms': 2.0, 'low_ms': 1.5, 'high_ms': 2.5}
    """
    low, median, high = 1e3 * np.quantile(seconds, [0.25, 0.5, 0.75])
    names = (f"{prefix}{name}_ms" for name in ("median", "low", "high"))
    return dict(zip(names, (significant(x) for x in (median, low, high)), strict=True))


def significant(value: float) -> float:
    """Five significant digits.

    >>> significant(123456.789), significant(0.00012345678)
    (123460.0, 0.00012346)
    """
    return float(f"{value:.5g}")
