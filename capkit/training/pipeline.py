"""The input pipeline apart from the compute: who waits for whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capkit.training.model import import_tensorflow

#: the staircase: what each setting adds to the one above it
PIPELINES: dict[str, dict[str, bool]] = {
    "one by one": {},
    "+ parallel map": {"parallel": True},
    "+ prefetch": {"parallel": True, "prefetch": True},
    "+ cache": {"parallel": True, "prefetch": True, "cache": True},
}


def encode_png(images: NDArray[np.uint8]) -> list[bytes]:
    """Each image, uint8 of shape (28, 28), as the bytes of a PNG file."""
    tensorflow = import_tensorflow()
    return [tensorflow.io.encode_png(image[..., np.newaxis]).numpy() for image in images]


def input_pipeline(
    pngs: Sequence[bytes],
    labels: NDArray[np.uint8],
    batch_size: int,
    *,
    parallel: bool = False,
    prefetch: bool = False,
    cache: bool = False,
) -> Any:
    """A ``tf.data.Dataset`` that decodes PNG files, scales them and makes batches.

    Parameters
    ----------
    pngs, labels : sequences of length n
        Contents of the files, and the digits.
    batch_size : int
    parallel : bool
        Decode on several threads.
    prefetch : bool
        Prepare the next batches while the step runs.
    cache : bool
        Keep the decoded images after the first pass.
    """
    if len(pngs) != len(labels) or batch_size < 1:
        raise ValueError(
            f"as many labels as images and a batch_size of at least 1, got {len(pngs)}, "
            f"{len(labels)} and {batch_size}"
        )
    tensorflow = import_tensorflow()
    automatic = tensorflow.data.AUTOTUNE

    def decode(png: Any, label: Any) -> tuple[Any, Any]:
        return tensorflow.cast(tensorflow.io.decode_png(png), tensorflow.float32) / 255.0, label

    data = tensorflow.data.Dataset.from_tensor_slices((list(pngs), labels))
    data = data.map(decode, num_parallel_calls=automatic if parallel else None)
    if cache:
        data = data.cache()
    data = data.batch(batch_size)
    return data.prefetch(automatic) if prefetch else data


def pipeline_times(
    step: Callable[[Any, Any], Any],
    pngs: Sequence[bytes],
    labels: NDArray[np.uint8],
    batch_size: int,
    *,
    rounds: int = 5,
) -> pd.DataFrame:
    """Time an epoch of the pipeline alone, of the compute alone and of both, for each of `PIPELINES`.

    Settings take turns; a first turn, which compiles and fills the cache, is not counted. Compute
    alone repeats one batch that is ready.

    Returns
    -------
    DataFrame
        ``setting``; ``input_s``, ``compute_s``, ``both_s`` (medians, an epoch); ``sum_s`` and
        ``larger_s`` of the two parts, what both take without and with a perfect overlap;
        ``waiting_share`` of the epoch in which no step runs: (both - compute) / both.
    """
    datasets = {
        name: input_pipeline(pngs, labels, batch_size, **options)
        for name, options in PIPELINES.items()
    }
    ready = next(iter(datasets["one by one"]))
    steps = len(datasets["one by one"])

    def no_step(images: Any, digits: Any) -> float:
        return 0.0

    def seconds(batches: Any, work: Callable[[Any, Any], Any]) -> float:
        begin = time.perf_counter()
        for batch in batches:
            last = work(*batch)
        float(last)
        return time.perf_counter() - begin

    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in datasets}
    for turn in range(rounds + 1):
        for name, data in datasets.items():
            parts = seconds(data, no_step), seconds([ready] * steps, step), seconds(data, step)
            if turn:
                taken[name].append(parts)
    table = pd.DataFrame(
        [(name, *np.median(parts, axis=0)) for name, parts in taken.items()],
        columns=["setting", "input_s", "compute_s", "both_s"],
    )
    table["sum_s"] = table["input_s"] + table["compute_s"]
    table["larger_s"] = table[["input_s", "compute_s"]].max(axis=1)
    table["waiting_share"] = (1 - table["compute_s"] / table["both_s"]).clip(lower=0)
    return table
