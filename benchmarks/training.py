"""Figures of the training chapter: epochs, memory and workers predicted, then measured.

`python benchmarks/training.py` writes benchmarks/training.md.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pages import write_page

from capkit import training
from capkit.datasets import load_mnist

LINE = (16, 128)
OTHERS = (24, 32, 48, 64, 96)


def epochs(repeats: int = 3) -> pd.DataFrame:
    """An epoch at five batch sizes from two others; beside it the rate of the largest size for all."""
    x_train, y_train, _, _ = load_mnist()
    inputs, rng = training.to_inputs(x_train), np.random.default_rng(1)
    step = training.train_step(training.build_cnn())
    ways = {"loop": lambda size: training.run_epoch(step, inputs, y_train, size, rng)}
    rows = []
    for repeat in range(1, repeats + 1):
        times = training.epoch_times(ways, (*LINE, *OTHERS), rounds=15)
        times = times.set_index("batch_size")["epoch_s"]
        line = training.fit_epoch_time(LINE, times[list(LINE)], len(inputs))
        for size in OTHERS:
            predicted = training.predict_epoch_s(*line, len(inputs), size)
            row = {"repeat": repeat, "batch size": size, "measured, s": times[size]}
            row["error, %"] = 100 * (predicted / times[size] - 1)
            row["error of a constant rate, %"] = 100 * (times[LINE[1]] / times[size] - 1)
            rows.append(row)
    return pd.DataFrame(rows)


def memory() -> pd.DataFrame:
    """Peak of a process: counted on top of a batch of one, and by a line through 1 and 1,024."""
    table = training.measure_memory([1, 1024, 256, 512, 2048, 4096, 8192]).set_index("batch_size")
    peak = table["peak_mib"]
    counted = training.step_memory_mib(peak.index) - training.step_memory_mib(1)
    table["counted, error %"] = 100 * ((peak[1] + counted) / peak - 1)
    image_mib = (peak[1024] - peak[1]) / 1023
    table["line, error %"] = 100 * ((peak[1] + image_mib * (peak.index - 1)) / peak - 1)
    return table.reset_index().rename(columns={"batch_size": "batch", "peak_mib": "peak, MiB"})


def workers() -> pd.DataFrame:
    """Two workers predicted from one and from sums of vectors, then measured; the bytes they send."""
    sizes = [32, 64, 128, 256]
    alone, _, _ = training.measure_workers(1, sizes)
    two, sums, agree = training.measure_workers(2, sizes)
    if not agree:
        raise RuntimeError("the two workers ended with different weights")
    alone_s = alone.set_index("images_each")["step_ms"] / 1e3
    line = training.fit_step_time([32, 128], alone_s[[32, 128]])
    messages = training.fit_all_reduce(sums["vector_bytes"], sums["all_reduce_ms"] / 1e3)
    scaling = training.Scaling(*line, training.gradient_bytes(), *messages)
    table = two[["images_each", "step_ms"]].rename(columns={"step_ms": "measured, ms"})
    table["predicted, ms"] = 1e3 * scaling.step_s(2, 2 * two["images_each"])
    table["error, %"] = 100 * (table["predicted, ms"] / table["measured, ms"] - 1)
    table["efficiency"] = 1e3 * alone_s.to_numpy() / two["step_ms"]
    table["sent / counted"] = two["sent_bytes"] / (2 * training.gradient_bytes())
    return table


def main() -> None:
    parts = {
        "An epoch of 4,000 images predicted from batch sizes 16 and 128": epochs,
        "Peak memory of training at one batch size, each in a process of its own": memory,
        "Two processes with tf.distribute, one core each, over loopback": workers,
    }
    measured = {}
    for heading, measure in parts.items():
        measured[heading] = measure()
        write_page(__file__, "Training", measured)


if __name__ == "__main__":
    main()
