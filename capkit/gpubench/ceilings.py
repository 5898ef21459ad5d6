"""The two ceilings of a device, measured on the spot, and a small kernel that only looks busy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capkit.gpubench.backends import Backend
from capkit.gpubench.timing import Call, awaited_s, in_a_row, in_ms, significant, warm_up

ROWS_COMPARED = 64


def _time(backend: Backend, call: Call, work: float, block_s: float) -> dict[str, Any]:
    call_s = warm_up(call, backend.wait, block_s)
    row = in_a_row(call, backend.wait, call_s, block_s, gpu=backend.gpu)
    best = {"rate_per_s": significant(work / row.seconds.min())}
    return {**in_ms(row.seconds), **best, "usage": row.usage}


def measure_copy(backend: Backend, floats: int, block_s: float) -> dict[str, Any]:
    """Bytes a second to and from the device's memory: ``x + 1`` over many float32, read once, written once."""
    rng = np.random.default_rng(1)
    values = backend.put(rng.random(floats, dtype=np.float32))
    add = backend.compile(lambda x: x + 1.0)
    row = _time(backend, lambda index: add(values), 8.0 * floats, block_s)
    return {"name": "copy", "dtype": "float32", "size": floats, **row, "relative_error": None}


def measure_product(
    backend: Backend, name: str, dtype: str, size: int, block_s: float, *, chain: int = 1
) -> dict[str, Any]:
    """Operations a second of the product of two random square matrices, and its error against float64.

    An error near 3e-4 in "float32" says that the device rounded the operands to TF32 (10 bits). With
    ``chain`` the result is multiplied again so often, in one call: kernels follow each other without a gap.
    """
    from keras import ops

    def products(x: Any, y: Any) -> Any:
        for _ in range(chain):
            x = ops.matmul(x, y)
        return x

    rng = np.random.default_rng(1)
    left, right = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    right /= np.float32(np.sqrt(size))
    narrow = backend.compile(lambda x: ops.cast(x, dtype))
    widen = backend.compile(lambda x: ops.cast(x, "float32"))
    multiply = backend.compile(products)
    a, b = narrow(backend.put(left)), narrow(backend.put(right))
    row = _time(backend, lambda index: multiply(a, b), 2.0 * chain * size**3, block_s)
    exact, second, found = (
        backend.get(widen(tensor)).astype(np.float64) for tensor in (a, b, multiply(a, b))
    )
    exact, found = exact[:ROWS_COMPARED], found[:ROWS_COMPARED]
    for _ in range(chain):
        exact = exact @ second
    relative = {
        "relative_error": significant(float(np.linalg.norm(found - exact) / np.linalg.norm(exact)))
    }
    return {"name": name, "dtype": dtype, "size": size, **row, **relative}


def measure_transfer(
    backend: Backend, images: NDArray[np.float32], answers: Sequence[Any], block_s: float
) -> dict[str, float | None]:
    """Median ms to bring a batch to the device, and to bring each of ``answers`` back (None without any)."""
    backend.wait(answers)
    back = []
    for answer in answers:
        started = time.perf_counter()
        backend.get(answer)
        back.append(time.perf_counter() - started)
    there = awaited_s(lambda index: backend.put(images), lambda tensor: None, block_s)
    return {
        "copy_in_ms": significant(1e3 * float(np.median(there))),
        "copy_out_ms": significant(1e3 * float(np.median(back))) if back else None,
    }
