"""Memory of a training step: counted from shapes, then measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit import telemetry
from capkit.training.counting import FLOAT32_BYTES, count_cnn
from capkit.training.model import IMAGE_SHAPE, build_cnn
from capkit.training.steps import train_step

COPIES_OF_THE_WEIGHTS = 4  # weights, gradients and the two moving averages of Adam


def image_bytes() -> int:
    """Bytes that one image of a batch takes at the peak of a step, counted.

    The image twice (the array and the tensor made from it), and every activation with its gradient.

    >>> image_bytes()
    223184
    """
    image = FLOAT32_BYTES * int(np.prod(IMAGE_SHAPE))
    return 2 * image + 2 * int(count_cnn()["activation_bytes"].sum())


def step_memory_mib(batch_size: ArrayLike) -> NDArray[np.float64]:
    """Counted MiB of a step (v): four copies of the weights, and `image_bytes` for each image.

    The framework itself is not in it: `measure_memory` at a small batch finds that part.

    >>> step_memory_mib([1, 1000]).round(1).tolist()
    [5.5, 218.1]
    """
    sizes = np.asarray(batch_size, dtype=float)
    if (sizes < 1).any():
        raise ValueError(f"batch_size must be at least 1, got {sizes.tolist()}")
    weights = COPIES_OF_THE_WEIGHTS * int(count_cnn()["weight_bytes"].sum())
    memory: NDArray[np.float64] = (weights + image_bytes() * sizes) / telemetry.MIB
    return memory


def largest_batch(limit_mib: float, fixed_mib: float, image_mib: float) -> int:
    """Largest batch whose predicted peak, fixed_mib + image_mib x batch, stays below a limit.

    Raises
    ------
    ValueError
        Not even one image fits; the message says how much is missing.

    Examples
    --------
    >>> largest_batch(2048, 650, 0.25)
    5592
    """
    if not (limit_mib > 0 and fixed_mib > 0 and image_mib > 0):
        raise ValueError(
            "limit_mib, fixed_mib and image_mib must be positive, got "
            f"{limit_mib}, {fixed_mib}, {image_mib}"
        )
    batch_size = int((limit_mib - fixed_mib) // image_mib)
    if batch_size < 1:
        missing = fixed_mib + image_mib - limit_mib
        raise ValueError(
            f"a limit of {limit_mib:g} MiB holds no image: {missing:.0f} MiB more are needed"
        )
    return batch_size


def measure_memory(batch_sizes: Sequence[int]) -> pd.DataFrame:
    """Peak resident memory of a process that trains at one batch size, for each of them.

    Each runs in a fresh process, because memory that a framework has taken once it often keeps.

    Returns
    -------
    DataFrame
        ``batch_size`` and ``peak_mib``, the operating system's own record (`telemetry.peak_mib`):
        what a container's limit is compared with.

    Raises
    ------
    ValueError
        A batch size below 1.
    RuntimeError
        A process ended before it could answer, with the end of what it said.
    """
    step_memory_mib(batch_sizes)
    rows = []
    for size in batch_sizes:
        code = f"from capkit.training import memory; memory.main({int(size)})"
        child = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        if child.returncode:
            raise RuntimeError(f"training at batch size {size} ended: {child.stderr[-300:]}")
        rows.append(json.loads(child.stdout))
    return pd.DataFrame(rows, columns=["batch_size", "peak_mib"])


def main(batch_size: int) -> None:
    """Train on random images in this process and print its peak as JSON."""
    rng = np.random.default_rng(1)
    images = rng.random((batch_size, *IMAGE_SHAPE), dtype=np.float32)
    labels = rng.integers(0, 10, batch_size).astype(np.uint8)
    step = train_step(build_cnn())
    for _ in range(3):
        float(step(images, labels))
    print(json.dumps({"batch_size": batch_size, "peak_mib": round(telemetry.peak_mib(), 1)}))
