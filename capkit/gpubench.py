"""`python -m capkit gpu-bench`: the course's CNN, trained and run on the fastest device that is here.

The back end is TensorFlow where it sees a GPU, else Keras on JAX or PyTorch where one of those does,
else the first that is installed, on the CPU. Each time is one call of ``train_on_batch`` or
``predict_on_batch`` with random images that start in host memory: the copy to the device, the call
and the answer read back are in it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capkit import telemetry
from capkit.datasets import data_dir
from capkit.training import build_cnn, count_cnn, import_keras, import_tensorflow, predict_float64

SCHEMA = "gpu_bench@1"
BACKENDS = ("tensorflow", "jax", "torch")
BATCH_SIZES = (1, 8, 32, 128, 512, 2048, 4096)
QUICK_BATCH_SIZES = (1, 8)
TOLERANCE = 2e-3


def _gpu_of(backend: str) -> str | None:
    """Name of the GPU that an installed back end sees, or None."""
    if backend == "tensorflow":
        config = import_tensorflow().config
        devices = config.list_physical_devices("GPU")
        details = config.experimental.get_device_details(devices[0]) if devices else {}
        return str(details.get("device_name", "GPU")) if devices else None
    if backend == "jax":
        device = import_module("jax").devices()[0]
        return str(device.device_kind) if device.platform == "gpu" else None
    cuda = import_module("torch").cuda
    return str(cuda.get_device_name(0)) if cuda.is_available() else None


def choose_backend() -> tuple[str, str | None]:
    """The back end to use and the GPU it sees: ``KERAS_BACKEND`` if set, else the first with a GPU.

    Raises
    ------
    ModuleNotFoundError
        None of TensorFlow, JAX and PyTorch is installed.
    """
    wanted = os.environ.get("KERAS_BACKEND")
    installed = [b for b in ([wanted] if wanted else BACKENDS) if find_spec(b)]
    if not installed:
        raise ModuleNotFoundError(
            f"none of {', '.join([wanted] if wanted else BACKENDS)} is installed: "
            "python -m pip install -e '.[tensorflow]'"
        )
    for backend in installed:
        gpu = _gpu_of(backend)
        if gpu is not None:
            return backend, gpu
    return installed[0], None


def _time_calls(
    call: Callable[[int], Any], *, block_s: float, least: int
) -> tuple[dict[str, float], pd.DataFrame]:
    """Call repeatedly for ``block_s`` after three calls of warm-up, and sample the machine meanwhile."""
    for index in range(3):
        call(index)
    seconds: list[float] = []
    with telemetry.Sampler(interval_s=0.05) as sampler:
        begin = time.perf_counter()
        while time.perf_counter() - begin < block_s or len(seconds) < least:
            started = time.perf_counter()
            call(len(seconds))
            seconds.append(time.perf_counter() - started)
    low, median, high, tail = np.quantile(seconds, [0.25, 0.5, 0.75, 0.99])
    times = {"median_ms": median, "low_ms": low, "high_ms": high, "p99_ms": tail}
    row = {name: round(value * 1e3, 4) for name, value in times.items()}
    return {**row, "calls": len(seconds)}, sampler.frame()


def _measure(
    model: Any, batch_sizes: tuple[int, ...], rng: np.random.Generator, *, block_s: float
) -> Iterator[dict[str, Any]]:
    """One row a kind of work and batch size."""
    for size in batch_sizes:
        batches = [rng.random((size, 28, 28, 1), dtype=np.float32) for _ in range(4)]
        labels = rng.integers(0, 10, size=(4, size))

        def infer(index: int, batches: Any = batches) -> Any:
            return model.predict_on_batch(batches[index % 4])

        def learn(index: int, batches: Any = batches, labels: Any = labels) -> Any:
            return model.train_on_batch(batches[index % 4], labels[index % 4])

        for kind, call in {"inference": infer, "training": learn}.items():
            times, usage = _time_calls(call, block_s=block_s, least=5)
            yield {
                "kind": kind,
                "batch_size": size,
                **times,
                "examples_per_s": round(1e3 * size / times["median_ms"], 1),
                "mean_usage": usage.drop(columns="t_s").mean().round(1).to_dict(),
            }


def benchmark(*, quick: bool = False, seed: int = 1) -> dict[str, Any]:
    """Check the outputs against float64, then time inference and training at each batch size.

    Parameters
    ----------
    quick : bool
        Two small batch sizes and very short blocks: a test that it works, not a measurement.
    seed : int
        Of the weights and the images.

    Returns
    -------
    dict
        The report, as JSON holds it.
    """
    backend, gpu = choose_backend()
    os.environ["KERAS_BACKEND"] = backend
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_cnn()
    images = rng.random((64, 28, 28, 1), dtype=np.float32)
    truth = predict_float64(model.get_weights(), images)
    error = float(np.abs(np.asarray(model.predict_on_batch(images)) - truth).max())
    sizes, block_s = (QUICK_BATCH_SIZES, 0.05) if quick else (BATCH_SIZES, 2.0)
    packages = ("keras", "numpy", backend)
    return {
        "schema": SCHEMA,
        "backend": backend,
        "versions": {name: metadata.version(name) for name in packages},
        "device": gpu or telemetry.machine()["cpu"],
        "gpu_seen": gpu is not None,
        "machine": telemetry.machine(),
        "quick": quick,
        "flops_per_image": int(count_cnn()["flops_per_image"].sum()),
        "correctness": {
            "against": "NumPy float64",
            "images": len(images),
            "largest_difference": error,
            "tolerance": TOLERANCE,
            "ok": error <= TOLERANCE,
        },
        "results": list(_measure(model, sizes, rng, block_s=block_s)),
    }


def committed() -> pd.DataFrame:
    """The reports that ship in ``data/gpu``, one row a result; no rows where none was measured."""
    columns = ["device", "backend", "kind", "batch_size", "median_ms", "low_ms", "high_ms"]
    columns.append("examples_per_s")
    rows = []
    for path in sorted((data_dir() / "gpu").glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        rows += [{**report, **result} for result in report["results"]]
    return pd.DataFrame(rows, columns=columns)


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the report; the status is 1 if the outputs are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m capkit gpu-bench",
        description="Train and run the course's CNN on the GPU, or on the CPU if there is none.",
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="small sizes: only to see it work")
    options = parser.parse_args(arguments)
    if not options.out.parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.parent}")
    report = benchmark(quick=options.quick)
    if not report["gpu_seen"]:
        print("no GPU seen: with one, the same table would be measured on it; this is the CPU")
    print(f"{report['device']}, Keras on {report['backend']}")
    table = pd.DataFrame(report["results"]).drop(columns="mean_usage")
    print(table.to_string(index=False))
    correctness = report["correctness"]
    print(
        f"largest difference from float64: {correctness['largest_difference']:.1e}, "
        f"allowed {TOLERANCE:.0e}: {'right' if correctness['ok'] else 'WRONG'}"
    )
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if correctness["ok"] else 1
