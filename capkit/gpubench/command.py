"""`python -m capkit gpu-bench`: two networks, trained and run on the fastest device that is here."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from capkit import telemetry
from capkit.gpubench import backends, ceilings, choice, networks
from capkit.gpubench.measure import (
    CHECKED_IMAGES,
    KINDS,
    Clock,
    Effort,
    Rows,
    check,
    measure_network,
    why_failed,
)
from capkit.training import import_keras

SCHEMA = "gpu_bench@2"
SIZES = {"course": (1, 8, 32, 128, 256, 512, 1024, 4096), "large": (1, 32, 256, 1024, 4096)}
SMALL_CHAIN = 100
ON_GPU = Effort(SIZES, block_s=0.75, budget_s=400, copy_floats=2**26, product_size=8192)
ON_CPU = Effort(SIZES, block_s=0.75, budget_s=400, copy_floats=2**26, product_size=1536)
QUICK = Effort(
    {"course": (1, 8), "large": (1,)},
    block_s=0.02,
    budget_s=400,
    copy_floats=2**16,
    product_size=128,
    small_size=16,
)


def check_networks(
    backend: backends.Backend, precisions: Sequence[str], rng: np.random.Generator, rows: Rows
) -> Iterator[dict[str, Any]]:
    """Check each network in each precision into ``rows``; yields each row, or that it failed and why."""
    for precision in precisions:
        for network in networks.NETWORKS:
            try:
                row = check(backend, network, precision, rng)
                rows.correctness.append(row)
            except Exception as error:
                reason = why_failed(error)
                row = rows.leave_out(network, precision, "check", CHECKED_IMAGES, reason)
            yield row


def measure_ceilings(
    backend: backends.Backend, half: str, effort: Effort, rows: Rows
) -> Iterator[dict[str, Any]]:
    """Measure the copy, the product in both dtypes and the small one into ``rows``; yields as `check_networks`."""
    seconds = 2 * effort.block_s
    for name, dtype, size, chain in (
        ("copy", "float32", effort.copy_floats, 1),
        ("product", "float32", effort.product_size, 1),
        ("product", half, effort.product_size, 1),
        ("small product", "float32", effort.small_size, SMALL_CHAIN),
    ):
        try:
            if name == "copy":
                row = ceilings.measure_copy(backend, size, seconds)
            else:
                row = ceilings.measure_product(backend, name, dtype, size, seconds, chain=chain)
            rows.ceilings.append(row)
        except Exception as error:
            row = rows.leave_out("-", dtype, name, size, why_failed(error))
        yield row


def benchmark(
    *,
    quick: bool = False,
    seed: int = 1,
    say: Callable[[str], None] = print,
    save: Callable[[dict[str, Any]], None] = lambda report: None,
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
    save : callable
        Takes the report as far as it is, before each line: what is measured outlives a run that is stopped.

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
    counts = {n: networks.count(networks.build(n, "float32")) for n in networks.NETWORKS}
    report = {
        "schema": SCHEMA,
        "measured_on": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "backend": name,
        "execution": backend.execution,
        "versions": choice.versions(name),
        "device": gpu or machine["cpu"],
        "gpu_seen": gpu is not None,
        "machine": machine,
        "quick": quick,
        "seconds": 0.0,
        "networks": {
            n: {"parameters": c.parameters, "flops_per_image": c.flops} for n, c in counts.items()
        },
        **vars(rows),
    }

    def follow(steps: Iterator[dict[str, Any]], line: Callable[[dict[str, Any]], str]) -> None:
        for row in steps:
            report["seconds"] = round(clock.seconds(), 1)
            save(report)
            say(_left_out_line(row) if "reason" in row else line(row))

    follow(check_networks(backend, precisions, rng, rows), _correctness_line)
    follow(measure_ceilings(backend, half, effort, rows), _ceiling_line)
    limits = {
        "copy" if row["name"] == "copy" else row["dtype"]: row["rate_per_s"]
        for row in rows.ceilings
        if row["name"] != "small product"
    }
    for precision in precisions:
        for network in networks.NETWORKS:
            work = (backend, network, precision, limits, effort, clock, rng, rows)
            follow(measure_network(*work), _row_line)
    return report


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


def _place(row: dict[str, Any]) -> str:
    return f"{row['network']:6} {row['precision']:14} {row['kind']:9} {row['batch_size']:5,}"


def _left_out_line(row: dict[str, Any]) -> str:
    return f"{_place(row)}  left out: {row['reason']}"


def _row_line(row: dict[str, Any]) -> str:
    busy, floor = row["usage"].get("gpu_percent"), row["floor_percent"]
    return (
        f"{_place(row)}  {row['median_ms']:9.3f} ms  {row['examples_per_s']:11,.0f} images/s"
        + ("" if floor is None else f"  floor {floor:5.1f} %")
        + ("" if busy is None else f"  GPU utilisation {busy:3.0f} %")
    )


def without_nan(value: Any) -> Any:
    """A value for JSON, which has no NaN: None in its place.

    >>> without_nan({"a": [1.5, float("nan")], "b": "x"})
    {'a': [1.5, None], 'b': 'x'}
    """
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the report; the status is 1 if an output is wrong or anything failed, 2 if nothing ran."""
    parser = argparse.ArgumentParser(
        prog="python -m capkit gpu-bench",
        description="Train and run the course's CNN, and a larger one, on the GPU, or on the CPU if there "
        "is none: some 3 to 8 minutes. The back end is the first of TensorFlow, JAX and PyTorch that sees a "
        "GPU; the environment variable KERAS_BACKEND names another.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="JSON file to write; until the end, FILE.part has what is measured so far",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: only to see it work")
    options = parser.parse_args(arguments)
    if not options.out.parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.parent}")
    if options.out.is_dir():
        parser.error(f"--out: {options.out} is a folder; name a file, such as gpu.json")
    part = options.out.with_name(options.out.name + ".part")

    def save(report: dict[str, Any]) -> None:
        text = json.dumps(without_nan(report), indent=1, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")

    try:
        report = benchmark(quick=options.quick, say=lambda line: print(line, flush=True), save=save)
    except (ImportError, ValueError) as error:
        print(f"gpu-bench: {error}", file=sys.stderr)
        return 2
    save(report)
    part.replace(options.out)
    print(f"{len(report['results'])} rows in {report['seconds']:.0f} s, written to {options.out}")
    wrong = [row for row in report["correctness"] if not row["ok"]]
    failed = [
        row
        for row in report["left_out"]
        if row["reason"].startswith("failed") or row["kind"] not in KINDS
    ]
    if wrong or failed:
        print(f"{len(wrong)} checks wrong, {len(failed)} measurements failed: see above")
    return 1 if wrong or failed else 0
