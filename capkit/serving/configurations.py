"""The same model on other hardware and other thread settings: in process, without a network.

TensorFlow keeps one pool of threads for all sessions of a process, made by the first of them, unless
``TF_OVERRIDE_GLOBAL_THREADPOOL`` says that each session has its own. Threads stay on the cores on which
they were made. So the measurement runs in a process of its own (`run_apart`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capkit.serving.batching import cpu_count
from capkit.serving.launch import latest_version

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = 10


@dataclass(frozen=True)
class Setup:
    """A model in a session of its own, the cores it may use, and the thread that calls it there.

    A thread keeps what oneDNN prepared in it, for the number of threads of the session that came first:
    two setups must not share one.
    """

    name: str
    cores: list[int]
    threads: int | None
    image_shape: tuple[int, ...]
    call: Callable[[NDArray[np.float32]], NDArray[Any]]
    caller: ThreadPoolExecutor


def available_cores() -> list[int]:
    """Numbers of the CPUs that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return sorted(affinity(0)) if affinity else list(range(cpu_count()))


def prepare(
    name: str,
    base_path: str | Path,
    cores: list[int],
    threads: int | None,
    *,
    gpu: bool = False,
) -> Setup:
    """Load the latest version below ``base_path`` into a session with its own threads, on these cores.

    With ``threads`` an operation uses so many, and the caller's thread runs the graph, as in the embedded
    server; None leaves both to TensorFlow. A model that has not one float32 input with a known shape of
    an example raises `ValueError`.
    """
    from capkit.training import import_tensorflow

    tensorflow = import_tensorflow()
    v1 = tensorflow.compat.v1
    options: dict[str, Any] = {} if gpu else {"device_count": {"GPU": 0}}
    if threads is None:
        options["use_per_session_threads"] = True
    else:
        options |= {"intra_op_parallelism_threads": threads, "inter_op_parallelism_threads": -1}
    caller = ThreadPoolExecutor(1)
    if hasattr(os, "sched_setaffinity"):
        caller.submit(os.sched_setaffinity, 0, cores).result()
    config = v1.ConfigProto(**options)
    session = caller.submit(v1.Session, graph=tensorflow.Graph(), config=config).result()
    with session.graph.as_default():
        folder = Path(base_path) / str(latest_version(base_path))
        graph = v1.saved_model.load(session, ["serve"], str(folder))
    signature = graph.signature_def["serving_default"]
    inputs, output = list(signature.inputs.values()), min(signature.outputs)
    shape = tuple(dim.size for dim in inputs[0].tensor_shape.dim[1:])
    if len(inputs) != 1 or inputs[0].dtype != tensorflow.float32.as_datatype_enum or min(shape) < 1:
        raise ValueError(f"needs one float32 input with a known shape of an example, got {inputs}")
    call = session.make_callable(signature.outputs[output].name, feed_list=[inputs[0].name])
    return Setup(name, cores, threads, shape, call, caller)


def _time_block(
    call: Callable[[NDArray[np.float32]], Any], images: NDArray[np.float32], seconds: float
) -> tuple[list[float], float]:
    """Milliseconds of each call after the first, and the mean CPU time of a call, of all threads."""
    call(images)
    took: list[float] = []
    cpu_s, begin = time.process_time(), time.perf_counter()
    while not took or time.perf_counter() - begin < seconds:
        started = time.perf_counter()
        call(images)
        took.append(1e3 * (time.perf_counter() - started))
    return took, 1e3 * (time.process_time() - cpu_s) / len(took)


def time_calls(
    setups: Sequence[Setup], batch_sizes: Sequence[int], seconds: float, seed: int
) -> pd.DataFrame:
    """Time the calls of several setups, which take turns in `BLOCKS` blocks of equal length.

    So a disturbance meets all alike. The first call of a block is not counted. Images are random.

    Returns
    -------
    DataFrame
        One row a call: ``name``, ``images``, ``block``, ``service_ms``, ``cpu_ms`` (CPU time of the
        process, all its threads, mean of the block).
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    block_s = seconds / (BLOCKS * len(setups) * len(batch_sizes))
    shape, rows = setups[0].image_shape, []
    batches = {size: rng.random((size, *shape), dtype=np.float32) for size in batch_sizes}
    for block, (size, images), setup in product(range(BLOCKS), batches.items(), setups):
        took, cpu_ms = setup.caller.submit(_time_block, setup.call, images, block_s).result()
        rows += [(setup.name, size, block, ms, cpu_ms) for ms in took]
    return pd.DataFrame(rows, columns=["name", "images", "block", "service_ms", "cpu_ms"])


def run_apart(function: str, arguments: Mapping[str, Any]) -> pd.DataFrame:
    """Call ``module:function`` with JSON arguments in a new process, where sessions own their threads.

    ``RuntimeError`` with its last words if it fails; the function returns a table.
    """
    import pandas as pd

    module, name = function.split(":")
    code = (
        "import json, sys, importlib; "
        f"table = importlib.import_module({module!r}).{name}(**json.loads(sys.argv[1])); "
        "print(table.to_json(orient='split'))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)],
        env=os.environ | {"TF_OVERRIDE_GLOBAL_THREADPOOL": "true", "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"the measurement failed: {process.stderr.strip()[-1000:]}")
    return pd.DataFrame(**json.loads(process.stdout.splitlines()[-1]))


def summarize(calls: pd.DataFrame) -> pd.DataFrame:
    """Median, quartiles, rate and CPU time of `time_calls`, one row a setup and batch size, in order."""
    groups = calls.groupby(["name", "images"], sort=False)
    table = groups["service_ms"].quantile([0.5, 0.25, 0.75]).unstack()[[0.5, 0.25, 0.75]]
    table.columns = ["service_ms", "low_ms", "high_ms"]
    table["cpu_ms_per_image"] = groups["cpu_ms"].mean()
    table = table.reset_index()
    table["cpu_ms_per_image"] /= table["images"]
    table.insert(5, "images_per_s", 1e3 * table["images"] / table["service_ms"])
    return table


def _measure_here(
    base_path: str, batch_sizes: list[int], seconds: float, seed: int
) -> pd.DataFrame:
    """`measure_configurations` in this process, without its checks."""
    import pandas as pd

    from capkit import gpubench

    cores = available_cores()
    count = len(cores)
    wanted: list[tuple[str, list[int], int | None]] = [("one core, one thread", cores[-1:], 1)]
    if count > 1:
        wanted.append(("all cores, one thread", cores, 1))
        wanted.append((f"all cores, {count} threads", cores, count))
    wanted.append(("all cores, TensorFlow's defaults", cores, None))
    setups = [prepare(name, base_path, on, threads) for name, on, threads in wanted]
    if gpu := gpubench.gpu_of("tensorflow"):
        setups.append(prepare(gpu, base_path, cores, None, gpu=True))
    table = summarize(time_calls(setups, batch_sizes, seconds, seed))
    on = pd.DataFrame([(s.name, len(s.cores), s.threads) for s in setups])
    on.columns = ["name", "cores", "threads"]
    return on.merge(table, on="name").rename(columns={"name": "configuration"})


def measure_configurations(
    base_path: str | Path,
    batch_sizes: Sequence[int] = (1, 32, 256),
    *,
    seconds: float = 6.0,
    seed: int = 1,
) -> pd.DataFrame:
    """Time one model in process on one core, on all, with TensorFlow's thread settings, and on a GPU.

    The GPU's row is there where TensorFlow sees one. Devices that others measured are in
    `capkit.gpubench.committed`.

    Parameters
    ----------
    base_path : str or Path
        Folder of the numbered version folders; the model takes one float32 input.
    batch_sizes : sequence of int
        Images in a call, 1 or more.
    seconds : float
        Time to measure, all configurations together; they take turns in short blocks.
    seed : int
        Of the random images.

    Returns
    -------
    DataFrame
        ``configuration``, ``cores`` and ``threads`` (of an operation; missing where TensorFlow or the
        device chose), ``images``, ``service_ms`` (median of the calls), ``low_ms``, ``high_ms``
        (quartiles), ``images_per_s``, ``cpu_ms_per_image`` (CPU time of all threads).

    Raises
    ------
    ValueError
        No model there, no batch size or one below 1, or no time.
    RuntimeError
        The measuring process failed; the text has its last words.
    """
    sizes = [int(size) for size in batch_sizes]
    if not sizes or min(sizes) < 1 or not seconds > 0:
        raise ValueError(
            f"needs batch sizes of 1 or more and a time above 0, got {sizes}, {seconds}"
        )
    latest_version(base_path)
    arguments = {"batch_sizes": sizes, "seconds": seconds, "seed": seed}
    measured = run_apart(f"{__name__}:_measure_here", {"base_path": str(base_path), **arguments})
    return measured.astype({"cores": "Int64", "threads": "Int64"})
