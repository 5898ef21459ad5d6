"""Check a network, then time its inference and its training, one row a batch size."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capkit.gpubench import ceilings, networks
from capkit.gpubench.backends import Backend
from capkit.gpubench.timing import Call, awaited_s, in_a_row, in_ms, significant, warm_up
from capkit.training.model import CLASSES, IMAGE_SHAPE

TOLERANCE = {"float32": 1e-4, "mixed_float16": 1e-2, "mixed_bfloat16": 5e-2}
TF32_TOLERANCE = 6e-3
KINDS = ("inference", "training")
CHECKED_IMAGES = 64
BATCHES = 4
QUANTILES = 101
CALL_LIMIT_S = 2.0


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes
    ----------
    sizes : mapping of str to tuple of int
        Batch sizes of each network, ascending.
    block_s : float
        Seconds for the awaited calls of a row; twice that for those one after another, because NVML's
        utilisation looks back up to a second; a quarter for the copies.
    budget_s : float
        No row starts later than this after the start.
    copy_floats, product_size : int
        Of the ceilings; ``small_size`` of the product that fills a block or a few.
    """

    sizes: Mapping[str, tuple[int, ...]]
    block_s: float
    budget_s: float
    copy_floats: int
    product_size: int
    small_size: int = 64


class Clock:
    """Seconds since it was made, against a budget."""

    def __init__(self, budget_s: float) -> None:
        self._begin, self.budget_s = time.perf_counter(), budget_s

    def seconds(self) -> float:
        return time.perf_counter() - self._begin


@dataclass
class Rows:
    """What was measured and what was left out, as they come."""

    correctness: list[dict[str, Any]] = field(default_factory=list)
    ceilings: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)

    def leave_out(
        self, network: str, precision: str, kind: str, size: int, reason: str
    ) -> dict[str, Any]:
        place = {"network": network, "precision": precision, "kind": kind, "batch_size": size}
        self.left_out.append({**place, "reason": reason})
        return self.left_out[-1]


def draw(rng: np.random.Generator, size: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A batch of random images and labels: never zeros, which some devices compute faster."""
    images = rng.random((size, *IMAGE_SHAPE), dtype=np.float32)
    return images, rng.integers(0, CLASSES, size).astype(np.int32)


def check(
    backend: Backend, network: str, precision: str, rng: np.random.Generator
) -> dict[str, Any]:
    """Compare fresh outputs, and the loss of the first training step, with NumPy in float64.

    The outputs are compared before the softmax, by the norm of the difference over the norm. On a GPU
    "float32" may differ by `TF32_TOLERANCE`: JAX and TensorFlow let its matrix units take the operands in TF32,
    with 10 bits. Rounded to it they err by some 5e-4, cut off by up to 3e-3.
    """
    model = networks.build(network, precision)
    images, labels = draw(rng, CHECKED_IMAGES)
    exact = networks.float64_outputs(model, images)
    batch, digits = backend.put(images), backend.put(labels)
    found = backend.get(backend.inference(model, batch)(batch))
    logits, wanted = networks.centred_logits(found), networks.centred_logits(exact)
    error = float(np.linalg.norm(logits - wanted) / np.linalg.norm(wanted))
    loss = float(backend.training(model, batch, digits)(batch, digits)["loss"])
    exact_loss = float(-np.log(exact[np.arange(len(labels)), labels]).mean())
    loss_error = abs(loss / exact_loss - 1)
    allowed = TF32_TOLERANCE if backend.gpu and precision == "float32" else TOLERANCE[precision]
    return {
        "network": network,
        "precision": precision,
        "against": "NumPy float64",
        "images": CHECKED_IMAGES,
        "relative_error": significant(error),
        "loss_relative_error": significant(loss_error),
        "tolerance": allowed,
        "ok": bool(max(error, loss_error) <= allowed),
    }


def _prepare(
    backend: Backend, model: Any, kind: str, size: int, rng: np.random.Generator
) -> tuple[Call, NDArray[np.float32]]:
    gc.collect()  # models and programs of earlier rows refer to themselves, and would count as memory
    batches = [draw(rng, size) for _ in range(BATCHES)]
    images, labels = (
        [backend.put(array) for array in arrays] for arrays in zip(*batches, strict=True)
    )
    if kind == "inference":
        infer = backend.inference(model, images[0])
        return lambda index: infer(images[index % BATCHES]), batches[0][0]
    learn = backend.training(model, images[0], labels[0])
    return lambda index: learn(images[index % BATCHES], labels[index % BATCHES]), batches[0][0]


def measure_row(
    backend: Backend, model: Any, kind: str, size: int, rng: np.random.Generator, block_s: float
) -> dict[str, Any]:
    """Time one kind of work at one batch size, on inputs that lie on the device; the copies apart.

    Returns
    -------
    dict
        ``median_ms``, ``low_ms``, ``high_ms`` (quartiles), ``p99_ms`` of ``calls`` awaited one by one,
        and for inference ``quantiles_ms`` at equal steps from 0 to 1; ``row_median_ms``, ``row_low_ms``,
        ``row_high_ms`` of a call among many awaited together, and ``examples_per_s`` from the first of
        them; ``copy_in_ms`` and, for inference, ``copy_out_ms``; ``device_memory_mib``; and
        ``energy_j_per_1000`` images and ``usage`` while the calls ran in a row.
    """
    call, images = _prepare(backend, model, kind, size, rng)
    warm_up(call, backend.wait, block_s)
    awaited = awaited_s(call, backend.wait, block_s)
    call_s = float(np.median(awaited))
    row = in_a_row(call, backend.wait, call_s, 2 * block_s, gpu=backend.gpu)
    answers = [call(index) for index in range(2 * BATCHES)] if kind == "inference" else []
    memory_mib = backend.memory_mib()
    in_row = in_ms(row.seconds, "row_")
    result: dict[str, Any] = {
        "kind": kind,
        "batch_size": size,
        "calls": len(awaited),
        **in_ms(awaited),
        "p99_ms": significant(1e3 * float(np.quantile(awaited, 0.99))),
        **in_row,
        "examples_per_s": significant(1e3 * size / in_row["row_median_ms"]),
        **ceilings.measure_transfer(backend, images, answers, block_s / 4),
        "device_memory_mib": None if memory_mib is None else round(memory_mib, 1),
        "energy_j_per_1000": None
        if row.energy_j is None
        else significant(1000 * row.energy_j / (row.calls * size)),
        "usage": row.usage,
    }
    if kind == "inference":
        steps = 1e3 * np.quantile(awaited, np.linspace(0, 1, QUANTILES))
        result["quantiles_ms"] = [significant(float(ms)) for ms in steps]
    return result


def why_failed(error: Exception) -> str:
    """One line on an error of a back end: out of memory is a limit of the device, all else a failure.

    >>> why_failed(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes\\nand more"))
    'out of memory: RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes'
    >>> why_failed(ValueError("no kernel"))
    'failed: ValueError: no kernel'
    """
    text = str(error).partition("\n")[0][:200]
    full = any(
        word in f"{error}".lower() for word in ("resource_exhausted", "out of memory", "oom when")
    )
    return f"out of memory: {text}" if full else f"failed: {type(error).__name__}: {text}"


def add_floor(
    row: dict[str, Any], work: networks.Work, limits: Mapping[str, float], precision: str
) -> dict[str, Any]:
    """The row with its floor by the two ceilings, and the share of its time that the floor is.

    Parameters
    ----------
    limits : mapping
        ``copy`` in bytes/s, and for each dtype of a product its operations/s; without one of the two that
        the row needs there is no floor.
    """
    dtype = precision.removeprefix("mixed_")
    if not {"copy", dtype} <= set(limits):
        return {**row, "floor_ms": None, "bound": None, "floor_percent": None}
    operations, moved = work.least(row["kind"], row["batch_size"])
    compute_s = operations / limits[dtype]
    memory_s = moved / limits["copy"]
    floor_ms = significant(1e3 * max(compute_s, memory_s))
    return {
        **row,
        "floor_ms": floor_ms,
        "bound": "compute" if compute_s > memory_s else "memory",
        "floor_percent": significant(100 * floor_ms / row["row_median_ms"]),
    }


def measure_network(
    backend: Backend,
    network: str,
    precision: str,
    limits: Mapping[str, float],
    effort: Effort,
    clock: Clock,
    rng: np.random.Generator,
    rows: Rows,
) -> Iterator[dict[str, Any]]:
    """Measure a network in one precision into ``rows``; yields each row, measured or left out.

    A size is left out where a call would take longer than `CALL_LIMIT_S` by the size before, where the
    budget is used up, and where the device fails (the reason says how: out of memory, for example).
    """
    model = None
    for kind in KINDS:
        image_s = 0.0
        for size in effort.sizes[network]:
            reason = ""
            if clock.seconds() > clock.budget_s:
                reason = f"the {clock.budget_s:g} s of the benchmark were used up"
            elif size * image_s > CALL_LIMIT_S:
                reason = (
                    f"a call would take some {size * image_s:.1f} s, more than {CALL_LIMIT_S:g}"
                )
            else:
                try:
                    if model is None:
                        model = networks.build(network, precision)
                    row = measure_row(backend, model, kind, size, rng, effort.block_s)
                except Exception as error:
                    reason = why_failed(error)
            if reason:
                yield rows.leave_out(network, precision, kind, size, reason)
                continue
            image_s = row["row_median_ms"] / 1e3 / size
            row = add_floor(row, networks.count(model), limits, precision)
            rows.results.append({"network": network, "precision": precision, **row})
            yield rows.results[-1]
