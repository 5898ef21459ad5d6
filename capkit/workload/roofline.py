"""What a layer can take from a machine at best: the roofline, and the peak of memory.

Williams, Waterman and Patterson, Roofline: an insightful visual performance model, CACM 52 (2009).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Roofline:
    """The two limits of a machine.

    Attributes
    ----------
    flops_per_s : float
        Highest rate of float32 operations.
    bytes_per_s : float
        Highest rate of bytes to and from memory.
    """

    flops_per_s: float
    bytes_per_s: float

    def __post_init__(self) -> None:
        if not (self.flops_per_s > 0 and self.bytes_per_s > 0):
            raise ValueError(f"both limits must be positive, got {self}")

    @property
    def balance(self) -> float:
        """Operations a byte at which both limits are reached together (the ridge point)."""
        return self.flops_per_s / self.bytes_per_s

    def layers(self, count: pd.DataFrame, batch: int, *, input_bytes: float) -> pd.DataFrame:
        """Least time of each layer for a batch, by counting.

        A layer reads its weights once for the batch, its input and writes its output for each image; it
        takes the longer of its operations and its bytes.

        Parameters
        ----------
        count : DataFrame
            One row a layer: ``flops_per_image``, ``weight_bytes``, ``activation_bytes`` of an image's output
            (0: a view of the layer before), as `capkit.training.count_cnn` gives it.
        batch : int
            Images in a batch.
        input_bytes : float
            Bytes of one image as the first layer reads it.

        Returns
        -------
        DataFrame
            Index as ``count``: ``mflop``, ``mb``, ``intensity`` (operations a byte), ``bound`` ("compute" or
            "memory"), ``least_ms``.

        >>> one = pd.DataFrame(
        ...     {"flops_per_image": [2e6], "weight_bytes": [4e6], "activation_bytes": [4e3]}, ["dense"]
        ... )
        >>> machine = Roofline(flops_per_s=1e11, bytes_per_s=1e10)
        >>> [machine.layers(one, b, input_bytes=4e3)["bound"].item() for b in (1, 64)]
        ['memory', 'compute']
        """
        if batch < 1:
            raise ValueError(f"a batch holds at least one image, got {batch}")
        outputs = count["activation_bytes"].replace(0, np.nan).ffill()
        inputs = outputs.shift(fill_value=input_bytes)
        moved = count["weight_bytes"] + batch * (inputs + count["activation_bytes"])
        moved = moved.where(count["activation_bytes"] > 0, 0.0)
        flops = batch * count["flops_per_image"]
        table = pd.DataFrame({"mflop": flops / 1e6, "mb": moved / 1e6})
        table["intensity"] = (flops / moved).fillna(0.0)
        table["bound"] = np.where(table["intensity"] > self.balance, "compute", "memory")
        seconds = np.maximum(flops / self.flops_per_s, moved / self.bytes_per_s)
        table["least_ms"] = 1e3 * seconds
        return table[moved > 0]


def best_seconds(run: Callable[[], object], *, repeats: int = 5) -> float:
    """Shortest time of ``repeats`` runs after one that is not counted.

    >>> best_seconds(lambda: None) < 0.01
    True
    """
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def peak_bytes(run: Callable[[], object]) -> int:
    """Bytes by which the memory of this process rises at most while ``run`` runs; Linux only.

    The kernel's own high-water mark, reset before, so that no peak is missed. What was freed earlier and is
    used again does not show: run a thing for the first time.

    >>> peak_bytes(lambda: np.ones(4_000_000)) > 30e6
    True

    Raises
    ------
    OSError
        The system has no ``/proc/self/clear_refs``.
    """
    before = _status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    run()
    return max(0, _status_bytes("VmHWM") - before)


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])
