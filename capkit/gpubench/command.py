"""`python -m capkit gpu-bench`: two networks, trained and run on the fastest device that is here."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from capkit import telemetry
from capkit.gpubench import backends, ceilings, choice, networks
from capkit.gpubench.measure import Clock, Effort, Rows, check, measure_network
from capkit.training import import_keras

SCHEMA = "gpu_bench@2"
SIZES = {"course": (1, 8, 32, 128, 256, 512, 1024, 4096), "large": (1, 32, 256, 1024, 4096)}
SMALL_CHAIN = 100
ON_GPU = Effort(SIZES, block_s=1.0, budget_s=400, copy_floats=2**28, product_size=8192)
ON_CPU = Effort(SIZES, block_s=1.0, budget_s=400, copy_floats=2**26, product_size=1536)
QUICK = Effort(
    {"course": (1, 8), "large": (1,)},
    block_s=0.02,
    budget_s=400,
    copy_floats=2**16,
    product_size=128,
    small_size=16,
)


def measure_ceilings(
    backend: backends.Backend, dtypes: tuple[str, ...], effort: Effort
) -> list[dict[str, Any]]:
    """The copy, the product in each dtype, and the small product, one row each."""
    seconds = 2 * effort.block_s
    rows = [ceilings.measure_copy(backend, effort.copy_floats, seconds)]
    for dtype in dtypes:
        size = effort.product_size
        rows.append(ceilings.measure_product(backend, "product", dtype, size, seconds))
    small = ("small product", "float32", effort.small_size, seconds)
    rows.append(ceilings.measure_product(backend, *small, chain=SMALL_CHAIN))
    return rows


def benchmark(
    *, quick: bool = False, seed: int = 1, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Check the outputs against float64, measure the ceilings, then time inference and training.

    Parameters
    ----------
    quick : bool
        Two small batch sizes and very short blocks: a test that it works, not a measurement.
    seed : int
        Of the weights, the images and the labels.
    say : callable
        Takes each line of the progress.

    Returns
    -------
    dict
        The report, as JSON holds it; ``data/README.md`` describes it.
    """
    name, gpu = choice.choose_backend(say)
    backend = backends.start(name)
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    effort = QUICK if quick else ON_GPU if gpu else ON_CPU
    machine = telemetry.machine()
    say(f"{gpu or machine['cpu']}, Keras on {name} ({backend.execution})")
    if gpu is None:
        say(
            "no GPU seen: with one, the same would be measured on it, in float32 and mixed_float16, with its "
            "utilisation, clock, memory, power and energy; this is the CPU part"
        )
    if gpu is None and machine["gpu"]:
        say(
            f"but the driver reports {machine['gpu']}, and {name} does not see it: "
            "python -m pip install 'tensorflow[and-cuda]'"
        )
    half = "float16" if gpu else "bfloat16"
    precisions = ("float32", f"mixed_{half}")
    clock, rows = Clock(effort.budget_s), Rows()
    for network in networks.NETWORKS:
        for precision in precisions:
            rows.correctness.append(check(backend, network, precision, rng))
            say(_correctness_line(rows.correctness[-1]))
    limits_measured = measure_ceilings(backend, ("float32", half), effort)
    for limit in limits_measured:
        say(_ceiling_line(limit))
    limits = {
        row["dtype"]: row["rate_per_s"] for row in limits_measured if row["name"] == "product"
    }
    limits["copy"] = limits_measured[0]["rate_per_s"]
    for network in networks.NETWORKS:
        for precision in precisions:
            work = (backend, network, precision, limits, effort, clock, rng, rows)
            for row in measure_network(*work):
                say(_row_line(row))
    counts = {n: networks.count(networks.build(n, "float32")) for n in networks.NETWORKS}
    return {
        "schema": SCHEMA,
        "measured_on": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "backend": name,
        "execution": backend.execution,
        "versions": choice.versions(name),
        "device": gpu or machine["cpu"],
        "gpu_seen": gpu is not None,
        "machine": machine,
        "quick": quick,
        "seconds": round(clock.seconds(), 1),
        "networks": {
            n: {"parameters": c.parameters, "flops_per_image": c.flops} for n, c in counts.items()
        },
        "correctness": rows.correctness,
        "ceilings": limits_measured,
        "results": rows.results,
        "left_out": rows.left_out,
    }


def _correctness_line(row: dict[str, Any]) -> str:
    return (
        f"{row['network']:6} {row['precision']:14} error against float64: outputs "
        f"{row['relative_error']:.1e}, loss {row['loss_relative_error']:.1e}, allowed "
        f"{row['tolerance']:.0e}: {'right' if row['ok'] else 'WRONG'}"
    )


def _ceiling_line(row: dict[str, Any]) -> str:
    unit = "GB/s" if row["name"] == "copy" else "GFLOP/s"
    busy = row["usage"].get("gpu_percent")
    shown = "" if busy is None else f", GPU utilisation {busy:.0f} %"
    return f"{row['name']} of {row['size']:,}, {row['dtype']}: {row['rate_per_s'] / 1e9:,.1f} {unit}{shown}"


def _row_line(row: dict[str, Any]) -> str:
    place = f"{row['network']:6} {row['precision']:14} {row['kind']:9} {row['batch_size']:5,}"
    if "reason" in row:
        return f"{place}  left out: {row['reason']}"
    busy = row["usage"].get("gpu_percent")
    shown = "" if busy is None else f"  GPU utilisation {busy:3.0f} %"
    return (
        f"{place}  {row['median_ms']:9.3f} ms  {row['examples_per_s']:11,.0f} images/s  "
        f"floor {row['floor_percent']:5.1f} %{shown}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the report; the status is 1 if an output is wrong or a row failed, 2 if nothing ran."""
    parser = argparse.ArgumentParser(
        prog="python -m capkit gpu-bench",
        description="Train and run the course's CNN, and a larger one, on the GPU, or on the CPU if there "
        "is none: some 3 to 8 minutes. The back end is the first of TensorFlow, JAX and PyTorch that sees a "
        "GPU; the environment variable KERAS_BACKEND names another.",
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="small sizes: only to see it work")
    options = parser.parse_args(arguments)
    if not options.out.parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.parent}")
    if options.out.is_dir():
        parser.error(f"--out: {options.out} is a folder; name a file, such as gpu.json")
    try:
        report = benchmark(quick=options.quick, say=lambda line: print(line, flush=True))
    except (ImportError, ValueError) as error:
        print(f"gpu-bench: {error}", file=sys.stderr)
        return 2
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{len(report['results'])} rows in {report['seconds']:.0f} s, written to {options.out}")
    wrong = [row for row in report["correctness"] if not row["ok"]]
    failed = [row for row in report["left_out"] if row["reason"].startswith("failed")]
    if wrong or failed:
        print(f"{len(wrong)} checks wrong, {len(failed)} rows failed: see above")
    return 1 if wrong or failed else 0
