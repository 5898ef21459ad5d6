"""Micro-batching with the semantics of TensorFlow Serving's shared batch scheduler."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import Any

from capkit.serving.metrics import ServingError, parse_text

WRAPPED = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
MESSAGES = {
    "Int64Value": {"value": "int64"},
    "StringValue": {"value": "string"},
    "BatchingParameters": {
        **dict.fromkeys(WRAPPED, "Int64Value"),
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "repeated int64",
    },
}


def cpu_count() -> int:
    """CPUs that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass(frozen=True)
class Batching:
    """Batching parameters; names and defaults are TensorFlow Serving's.

    Attributes
    ----------
    max_batch_size : int
        Examples that a batch holds at most.
    batch_timeout_micros : int
        How long the first request of a batch waits for others, in microseconds.
    max_enqueued_batches : int
        Batches that may wait; then requests are refused with UNAVAILABLE.
    num_batch_threads : int
        Batches in execution at once; as many as there are CPUs without it.
    allowed_batch_sizes : tuple of int
        Sizes that batches are padded to, increasing to ``max_batch_size``; empty for any.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=cpu_count)
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in WRAPPED:
            least = 0 if name == "batch_timeout_micros" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        sizes = list(self.allowed_batch_sizes)
        if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != self.max_batch_size):
            raise ValueError(
                f"allowed_batch_sizes must increase and end with {self.max_batch_size}, got {sizes}"
            )

    @classmethod
    def parse(cls, text: str) -> Batching:
        """Read TensorFlow Serving's text form; what is not of that form raises `ValueError`.

        >>> Batching.parse("max_batch_size { value: 32 }").max_batch_size
        32
        """
        message = parse_text(text, "a batching parameters file", MESSAGES)
        given: dict[str, Any] = {
            name: getattr(message, name).value for name in WRAPPED if message.HasField(name)
        }
        return cls(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))

    def to_text(self) -> str:
        """The text form, as ``--batching_parameters_file`` reads it."""
        lines = [f"{name} {{ value: {getattr(self, name)} }}" for name in WRAPPED]
        lines += [f"allowed_batch_sizes: {size}" for size in self.allowed_batch_sizes]
        return "\n".join(lines) + "\n"

    def padded(self, examples: int) -> int:
        """The size that a batch of so many examples is executed at."""
        return next((size for size in self.allowed_batch_sizes if size >= examples), examples)


@dataclass
class Task:
    """One request in the batch queue; ``done`` is set when ``result`` or ``error`` is there."""

    payload: Any
    examples: int
    deadline: float
    enqueued: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    batch_examples: int = 0
    result: Any = None
    error: Exception | None = None
    done: Event = field(default_factory=Event)


class BatchScheduler:
    """A bounded queue of batches and the threads that ``execute`` them.

    A batch closes when it is full, or when a thread is free and its first task is older than the
    time-out. The queue counts as full only when the open batch cannot take the task.
    """

    def __init__(self, parameters: Batching, execute: Callable[[list[Task]], None]) -> None:
        self.parameters = parameters
        self._execute = execute
        self._batches: deque[list[Task]] = deque()
        self._changed = Condition()
        self._stopped = False
        count = parameters.num_batch_threads
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> None:
        """Put a task into the queue, or refuse it: larger than a batch, or the queue is full."""
        limit = self.parameters.max_batch_size
        if task.examples > limit:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Task size {task.examples} is larger than maximum input batch size {limit}",
            )
        with self._changed:
            task.enqueued = time.perf_counter()
            if not self._batches or _size(self._batches[-1]) + task.examples > limit:
                waiting, most = len(self._batches), self.parameters.max_enqueued_batches
                if waiting >= most:
                    raise ServingError(
                        "UNAVAILABLE",
                        "The batch scheduling queue to which this task was submitted is full; "
                        f"currently {waiting} batches enqueued and max_enqueued_batches is {most}",
                    )
                self._batches.append([])
            self._batches[-1].append(task)
            self._changed.notify()

    def stop(self) -> None:
        """Execute what is queued, then end the threads."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _next(self) -> list[Task] | None:
        """Wait for a batch that may be executed; None when the scheduler has stopped."""
        patience = self.parameters.batch_timeout_micros / 1e6
        with self._changed:
            while self._batches or not self._stopped:
                wait = None
                if self._batches:
                    first = self._batches[0]
                    closed = len(self._batches) > 1 or self._stopped
                    closed = closed or _size(first) >= self.parameters.max_batch_size
                    wait = first[0].enqueued + patience - time.perf_counter()
                    if closed or wait <= 0:
                        return self._batches.popleft()
                self._changed.wait(wait)
        return None

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            error: Exception | None = None
            if all(task.deadline < time.monotonic() for task in batch):
                text = "Run() timeout exceeded while waiting in batching queue"
                error = ServingError("RESOURCE_EXHAUSTED", text)
            else:
                try:
                    self._execute(batch)
                except Exception as failure:
                    error = failure
            for task in batch:
                task.error = error
                task.done.set()


def _size(batch: list[Task]) -> int:
    return sum(task.examples for task in batch)
