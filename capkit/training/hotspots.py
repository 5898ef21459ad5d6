"""Where a training step spends its time: TensorFlow's own profiler, one row an operation."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from capkit.training.model import import_tensorflow, quiet_stderr

# an operation's record reads path/of/the/name:Kind; the calls around it have blanks or "::"
OPERATION = re.compile(r"(?P<path>[\w/]+):(?P<kind>\w+)")
LAYER = re.compile(r"(?P<back>gradient_tape/)?mnist_cnn(_\d+)?/(?P<layer>[a-z]+)(_\d+)?/")


def _place(path: str) -> tuple[str, str]:
    """Layer and direction of an operation, from its name in the graph.

    >>> _place("gradient_tape/mnist_cnn_1/conv_1/convolution/Conv2DBackpropFilter")
    ('conv', 'backward')
    >>> _place("adam/Sub_11")
    ('all weights', 'update')
    """
    found = LAYER.match(path)
    if found:
        return found["layer"], "backward" if found["back"] else "forward"
    return ("all weights", "update") if path.startswith("adam") else ("loss", "loss")


def hot_spots(
    step: Callable[[Any, Any], Any], images: Any, digits: Any, *, steps: int = 20
) -> pd.DataFrame:
    """Profile a training step and rank its operations.

    Parameters
    ----------
    step : callable
        What `train_step` returns, for a model of `build_cnn`; it runs three times before.
    images, digits : arrays
        One batch.
    steps : int
        Steps to watch.

    Returns
    -------
    DataFrame
        Largest first: ``operation`` (TensorFlow's kind; ``_Mkl`` marks Intel's oneDNN), ``layer``,
        ``direction`` (forward, backward, update or loss), ``ms_a_step`` (wall time inside the
        operation) and ``share`` of all operations' time.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    tensorflow = import_tensorflow()
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    profiler = tensorflow.profiler.experimental
    for _ in range(3):
        float(step(images, digits))
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        options = profiler.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
        with profiler.Profile(folder, options):
            for _ in range(steps):
                float(step(images, digits))
        record = next(Path(folder).rglob("*.xplane.pb")).read_bytes()
    rows = []
    for plane in xplane_pb2.XSpace.FromString(record).planes:
        names = {key: entry.name for key, entry in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            found = OPERATION.fullmatch(names[event.metadata_id])
            if found:
                rows.append((found["kind"], *_place(found["path"]), event.duration_ps * 1e-9))
    table = pd.DataFrame(rows, columns=["operation", "layer", "direction", "ms_a_step"])
    keys = ["operation", "layer", "direction"]
    table = table.groupby(keys, as_index=False)["ms_a_step"].sum()
    table["ms_a_step"] /= steps
    table["share"] = table["ms_a_step"] / table["ms_a_step"].sum()
    return table.sort_values("ms_a_step", ascending=False, ignore_index=True)
