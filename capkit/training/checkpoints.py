"""How often to write a checkpoint: what failures and the writing itself cost a long training.

Failures come at exponential times (mean ``mtbf_s``) and may hit the computing, the writing and the
restart alike. J. W. Young, Comm. ACM 17 (1974) 530; J. T. Daly, Future Generation Computer Systems
22 (2006) 303-312.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from capkit.training.counting import FLOAT32_BYTES, count_cnn


def checkpoint_bytes() -> int:
    """Counted bytes of a checkpoint of the CNN: its weights and Adam's two moving averages.

    >>> checkpoint_bytes()
    4165752
    """
    return 3 * FLOAT32_BYTES * int(count_cnn()["parameters"].sum())


def save_checkpoint(model: Any, path: str | Path) -> tuple[int, float]:
    """Write a model with its optimiser to ``path`` (it ends in .keras): the file's bytes, the seconds."""
    begin = time.perf_counter()
    model.save(path)
    return Path(path).stat().st_size, time.perf_counter() - begin


def _check(**seconds: float) -> None:
    wrong = {name: value for name, value in seconds.items() if not 0 < value < math.inf}
    if wrong:
        raise ValueError(f"must be positive and finite, in seconds: {wrong}")


def young_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """Seconds of work between two checkpoints by Young's rule, sqrt(2 C M).

    Parameters
    ----------
    checkpoint_s : float
        C, seconds to write one.
    mtbf_s : float
        M, mean seconds between failures of the whole job: with n workers, a worker's divided by n.

    Examples
    --------
    >>> young_interval_s(50.0, 10_000.0)
    1000.0
    """
    _check(checkpoint_s=checkpoint_s, mtbf_s=mtbf_s)
    return math.sqrt(2 * checkpoint_s * mtbf_s)


def daly_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """The same by Daly's higher-order estimate (his equation 37); M where C is 2 M or more.

    Examples
    --------
    >>> round(daly_interval_s(50.0, 10_000.0), 1)
    966.9
    """
    _check(checkpoint_s=checkpoint_s, mtbf_s=mtbf_s)
    if checkpoint_s >= 2 * mtbf_s:
        return mtbf_s
    half = checkpoint_s / (2 * mtbf_s)
    return young_interval_s(checkpoint_s, mtbf_s) * (1 + math.sqrt(half) / 3 + half / 9) - (
        checkpoint_s
    )


def expected_run_s(
    work_s: float, interval_s: float, checkpoint_s: float, mtbf_s: float, *, restart_s: float = 0.0
) -> float:
    """Expected seconds of a training with checkpoints and failures, exact (Daly's equation 20).

    Every ``interval_s`` of work ends in a checkpoint, the last one too (a shorter remainder is
    counted in proportion).

    Parameters
    ----------
    work_s : float
        Seconds of the training without failures and checkpoints.
    restart_s : float
        From a failure to the first new step, reading the checkpoint included.

    Examples
    --------
    >>> round(expected_run_s(36_000.0, 1000.0, 50.0, 10_000.0, restart_s=60.0))
    40096
    """
    _check(work_s=work_s, interval_s=interval_s, checkpoint_s=checkpoint_s, mtbf_s=mtbf_s)
    if not 0 <= restart_s < math.inf:
        raise ValueError(f"restart_s must be at least 0 and finite, got {restart_s}")
    segment_s = (
        mtbf_s * math.exp(restart_s / mtbf_s) * math.expm1((interval_s + checkpoint_s) / mtbf_s)
    )
    return work_s / interval_s * segment_s


def simulate_run_s(
    work_s: float,
    interval_s: float,
    checkpoint_s: float,
    mtbf_s: float,
    rng: np.random.Generator,
    *,
    restart_s: float = 0.0,
) -> float:
    """Seconds of one such training with drawn failures: the second way to `expected_run_s`.

    >>> simulate_run_s(3600.0, 600.0, 10.0, 1e12, np.random.default_rng(1))
    3660.0
    """
    _check(work_s=work_s, interval_s=interval_s, checkpoint_s=checkpoint_s, mtbf_s=mtbf_s)
    clock, done, next_failure = 0.0, 0.0, rng.exponential(mtbf_s)
    need = min(interval_s, work_s) + checkpoint_s
    while True:
        if clock + need <= next_failure:
            clock += need
            done += interval_s
            if done >= work_s:
                return clock
            need = min(interval_s, work_s - done) + checkpoint_s
        else:
            clock = next_failure
            next_failure = clock + rng.exponential(mtbf_s)
            need = restart_s + min(interval_s, work_s - done) + checkpoint_s
