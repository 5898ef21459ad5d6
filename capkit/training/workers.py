"""Training on several workers: two measured, many predicted.

Each worker takes a part of the batch; before the update all add up their gradients (all-reduce).
`measure_workers` runs ``tf.distribute`` on processes of this machine, one core each; `Scaling`
predicts any number of workers from what one worker takes and what an all-reduce takes. R. Thakur,
R. Rabenseifner, W. Gropp, IJHPCA 19 (2005) 49: a ring sends 2 (n - 1) / n of the bytes in 2 (n - 1) turns.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import psutil
from numpy.typing import ArrayLike, NDArray

from capkit.training.counting import FLOAT32_BYTES, count_cnn
from capkit.training.model import IMAGE_SHAPE, build_cnn, import_tensorflow

STEPS, ROUNDS = 15, 7
VECTORS = (1_000, 50_000, 347_146, 1_000_000)


@dataclass(frozen=True)
class Scaling:
    """Step time of data-parallel training on n workers: Amdahl's serial part and a ring's messages.

    Attributes
    ----------
    fixed_s, per_example_s : float
        Step time of one worker = fixed + per example x its images.
    gradient_bytes : int
        What each worker has to share.
    latency_s : float
        Of one turn of the ring.
    bytes_per_s : float
        That a worker can send.

    Examples
    --------
    >>> scaling = Scaling(0.001, 0.0001, 1_000_000, 0.0001, 1e9)
    >>> scaling.step_s([1, 2, 10], 100).round(4).tolist()
    [0.011, 0.0072, 0.0056]
    >>> scaling.speedup([1, 2, 10], 100).round(2).tolist()
    [1.0, 1.53, 1.96]
    """

    fixed_s: float
    per_example_s: float
    gradient_bytes: int
    latency_s: float
    bytes_per_s: float

    def __post_init__(self) -> None:
        wrong = {name: value for name, value in vars(self).items() if not 0 < value < np.inf}
        if wrong:
            raise ValueError(f"must be positive and finite: {wrong}")

    @staticmethod
    def _workers(workers: ArrayLike) -> NDArray[np.float64]:
        counts = np.asarray(workers, dtype=float)
        if (counts < 1).any():
            raise ValueError(f"workers must be at least 1, got {counts.tolist()}")
        return counts

    def bytes_sent(self, workers: ArrayLike) -> NDArray[np.float64]:
        """Bytes that each worker sends a step (v)."""
        counts = self._workers(workers)
        return 2 * (counts - 1) / counts * self.gradient_bytes

    def communication_s(self, workers: ArrayLike) -> NDArray[np.float64]:
        """Seconds of one all-reduce (v)."""
        counts = self._workers(workers)
        turns = 2 * (counts - 1)
        return turns * self.latency_s + self.bytes_sent(counts) / self.bytes_per_s

    def step_s(self, workers: ArrayLike, batch_size: ArrayLike) -> NDArray[np.float64]:
        """Seconds of a step (v) of ``batch_size`` images in all, shared out equally."""
        counts, images = self._workers(workers), np.asarray(batch_size, dtype=float)
        if (images < counts).any():
            raise ValueError(
                f"{images.tolist()} images leave some of {counts.tolist()} workers without one"
            )
        return self.fixed_s + self.per_example_s * images / counts + self.communication_s(counts)

    def amdahl_speedup(self, workers: ArrayLike, batch_size: float) -> NDArray[np.float64]:
        """Step time of one worker over that of n (v), as if messages took no time: Amdahl's law."""
        counts = self._workers(workers)
        serial = self.fixed_s / (self.fixed_s + self.per_example_s * batch_size)
        speedup: NDArray[np.float64] = 1 / (serial + (1 - serial) / counts)
        return speedup

    def speedup(self, workers: ArrayLike, batch_size: float) -> NDArray[np.float64]:
        """The same with the messages, at the same batch in all (strong scaling) (v)."""
        return self.step_s(1, batch_size) / self.step_s(workers, batch_size)

    def weak_efficiency(self, workers: ArrayLike, images_each: float) -> NDArray[np.float64]:
        """Share of n times one worker's rate (v) where each keeps its own batch of ``images_each``."""
        counts = self._workers(workers)
        return self.step_s(1, images_each) / self.step_s(counts, counts * images_each)


def fit_all_reduce(vector_bytes: ArrayLike, seconds: ArrayLike) -> tuple[float, float]:
    """``latency_s, bytes_per_s`` from all-reduces between two workers: 2 x latency + bytes / rate.

    Least squares of the relative errors, so that the small vectors, which are all latency, count.

    Examples
    --------
    >>> latency_s, rate = fit_all_reduce([1e3, 1e6], [0.001001, 0.002])
    >>> round(latency_s, 6), round(rate / 1e6)
    (0.0005, 1000)
    """
    sizes, taken = np.asarray(vector_bytes, dtype=float), np.asarray(seconds, dtype=float)
    design = np.column_stack([np.full_like(sizes, 2.0), sizes]) / taken[:, np.newaxis]
    latency_s, seconds_per_byte = np.linalg.lstsq(design, np.ones_like(taken))[0]
    if latency_s <= 0 or seconds_per_byte <= 0:
        raise ValueError(
            f"no line with positive parts goes through {taken} s at {sizes} bytes: measure again"
        )
    return float(latency_s), float(1 / seconds_per_byte)


def measure_workers(
    workers: int, images_each: Sequence[int]
) -> tuple[pd.DataFrame, pd.DataFrame, bool]:
    """Train in ``workers`` processes, one core each, and time steps and all-reduces.

    Parameters
    ----------
    workers : int
        1 or more; with more of them than cores they share cores, and the times mean little.
    images_each : sequence of int
        Batch sizes of each worker.

    Returns
    -------
    steps : DataFrame
        ``workers``, ``images_each``, ``step_ms`` (median over blocks of steps), ``low_ms``, ``high_ms``
        (quartiles) and ``sent_bytes``, by all workers together a step, over loopback.
    all_reduce : DataFrame
        ``vector_bytes`` and ``all_reduce_ms``; empty with one worker.
    agree : bool
        Whether all workers ended with exactly the same weights.

    Raises
    ------
    RuntimeError
        A worker ended before it could answer, with the end of what it said.
    """
    if workers < 1 or not images_each or min(images_each) < 1:
        raise ValueError(
            f"workers and images_each must be at least 1, got {workers}, {images_each}"
        )
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(workers)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]
    code = f"from capkit.training import workers; workers.main({list(map(int, images_each))})"
    command = [sys.executable, "-c", code]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = []
    try:
        for index in range(workers):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            env = {**os.environ, "TF_CONFIG": json.dumps(task)}
            processes.append(subprocess.Popen(command, env=env, **pipes))
        answers = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, said) in zip(processes, answers, strict=True):
        if process.returncode:
            raise RuntimeError(f"a worker ended with {process.returncode}: {said[-300:]}")
    found = [json.loads(out.splitlines()[-1]) for out, _ in answers]
    steps = pd.DataFrame(found[0]["steps"]).assign(workers=workers)
    columns = ["workers", "images_each", "step_ms", "low_ms", "high_ms", "sent_bytes"]
    all_reduce = pd.DataFrame(found[0]["all_reduce"], columns=["vector_bytes", "all_reduce_ms"])
    return steps[columns], all_reduce, len({answer["weights"] for answer in found}) == 1


def _sent_bytes() -> int:
    return sum(nic.bytes_sent for nic in psutil.net_io_counters(pernic=True).values())


def _blocks(call: Callable[[], Any], steps: int) -> tuple[NDArray[np.float64], float]:
    """Seconds a call in each of `ROUNDS` blocks of ``steps``, after one that is not counted; bytes a call."""
    seconds = []
    for turn in range(ROUNDS + 1):
        if turn == 1:
            sent = _sent_bytes()
        begin = time.perf_counter()
        for _ in range(steps):
            last = call()
        np.asarray(last)
        seconds.append((time.perf_counter() - begin) / steps)
    return np.array(seconds[1:]), (_sent_bytes() - sent) / (ROUNDS * steps)


def main(images_each: Sequence[int]) -> None:
    """One worker; who the others are stands in ``TF_CONFIG``."""
    cluster = json.loads(os.environ["TF_CONFIG"])
    index, workers = cluster["task"]["index"], len(cluster["cluster"]["worker"])
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[index % len(cores)]})
    tensorflow = import_tensorflow()
    distribute = tensorflow.distribute
    ring = distribute.experimental.CommunicationImplementation.RING
    strategy = distribute.MultiWorkerMirroredStrategy(
        communication_options=distribute.experimental.CommunicationOptions(implementation=ring)
    )
    with strategy.scope():
        tensorflow.keras.utils.set_random_seed(1)
        model = build_cnn()
        model.optimizer.build(model.trainable_variables)
    loss_function = tensorflow.keras.losses.SparseCategoricalCrossentropy()

    def local_step(images: Any, digits: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            loss = loss_function(digits, model(images, training=True)) / workers
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    step = tensorflow.function(lambda *batch: strategy.run(local_step, args=batch))
    rng = np.random.default_rng(index)
    rows = []
    for size in images_each:
        images = tensorflow.constant(rng.random((size, *IMAGE_SHAPE), dtype=np.float32))
        digits = tensorflow.constant(rng.integers(0, 10, size).astype(np.uint8))

        def one_step(batch: Any = (images, digits)) -> Any:
            return strategy.experimental_local_results(step(*batch))[0]

        seconds, sent = _blocks(one_step, STEPS)
        low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75]) * 1e3
        times = {"step_ms": median, "low_ms": low, "high_ms": high}
        rows.append({"images_each": size, **times, "sent_bytes": sent})
    weights = [float(np.sum(w, dtype=np.float64)) for w in model.get_weights()]
    reduced = []
    for length in VECTORS if workers > 1 else ():

        def local_sum(length: int = length) -> Any:
            context = distribute.get_replica_context()
            return context.all_reduce("SUM", tensorflow.zeros(length) + 1.0)

        sum_up = tensorflow.function(strategy.run)

        def one_sum(local_sum: Any = local_sum, sum_up: Any = sum_up) -> Any:
            return strategy.experimental_local_results(sum_up(local_sum))[0]

        seconds, _ = _blocks(one_sum, 10)
        reduced.append((FLOAT32_BYTES * length, 1e3 * float(np.median(seconds))))
    print(json.dumps({"steps": rows, "all_reduce": reduced, "weights": repr(weights)}), flush=True)


def gradient_bytes() -> int:
    """Bytes of the CNN's gradients, counted.

    >>> gradient_bytes()
    1388584
    """
    return int(count_cnn()["weight_bytes"].sum())
