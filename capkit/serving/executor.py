"""What executes requests: a bounded number of slots, granted in order of arrival."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread, local
from typing import Any, TypeVar

import numpy as np

from capkit.serving.device import Device

SPARE = 8  # threads that still send an answer, or refuse, while all slots are busy


T = TypeVar("T")


@dataclass(slots=True)
class Place:
    """A call's place: when it came, when a slot was granted to it, and whether there was room for it."""

    arrived: float
    started: float = 0.0
    refused: bool = False


Entry = tuple[Place, Callable[..., Any], tuple[Any, ...]]


class Executor(ThreadPoolExecutor):
    """Runs calls in slots, first come, first served.

    A call waits as an entry of a list, not as a thread: only when a slot is granted does a thread take it up,
    and its service time starts then. So no thread is woken to find all slots busy, which costs a Python server
    a tenth of its throughput. The call gives its slot back by `release`; what it does afterwards (sending its
    answer) needs no slot. Without a device there is one slot, and an execution takes as long as it takes.

    More than ``room`` calls in slots or waiting are run at once and told that they are refused (`place`).

    It is a `ThreadPoolExecutor` by name only, because gRPC hands calls to nothing else; the threads are its own,
    and `submit` makes no future, which nobody would read.
    """

    def __init__(self, device: Device | None, room: int) -> None:
        slots = device.slots if device else 1
        super().__init__(1)
        self.device = device
        self._free, self._left = slots, room
        self._line: deque[Entry] = deque()
        self._granted: SimpleQueue[Entry] = SimpleQueue()
        self._mutex = Lock()
        self._current = local()
        self._draws = np.random.default_rng(0)
        for _ in range(slots + SPARE):
            Thread(target=self._serve, daemon=True).start()

    @property
    def place(self) -> Place | None:
        """The place of the call that this thread runs; None in a thread that runs none."""
        found: Place | None = getattr(self._current, "place", None)
        return found

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run ``fn(*args)`` when a slot is granted."""
        place = Place(time.perf_counter())
        entry = (place, fn, args)
        with self._mutex:
            if self._left <= 0:
                place.refused = True
            else:
                self._left -= 1
                if not self._free:
                    self._line.append(entry)
                    return
                self._free -= 1
                place.started = time.perf_counter()
        self._granted.put(entry)

    def call(self, fn: Callable[..., T], *args: Any) -> T:
        """Run ``fn(*args)`` in a slot and wait for what it returns or raises."""
        future = Future[T]()

        def run() -> None:
            try:
                future.set_result(fn(*args))
            except BaseException as error:
                future.set_exception(error)

        self.submit(run)
        return future.result()

    def release(self) -> float:
        """Give this thread's slot to the call that has waited longest, or back; the clock at that time."""
        place, self._current.place = self.place, None
        now = time.perf_counter()
        if place is not None and not place.refused:
            with self._mutex:
                self._left += 1
                entry = self._line.popleft() if self._line else None
                self._free += entry is None
            if entry is not None:
                entry[0].started = now
                self._granted.put(entry)
        return now

    def _serve(self) -> None:
        while True:
            self._current.place, fn, args = self._granted.get()
            try:
                fn(*args)
            finally:
                self.release()

    def pad(self, started: float, examples: int) -> None:
        """Sleep until the emulated device would be done with what it started at ``started``."""
        if self.device is None:
            return
        seconds = self.device.fixed_s + self.device.per_example_s * examples
        with self._mutex:
            if self.device.profile:
                seconds = self.device.recorded.seconds(examples, self._draws.random())
            elif self.device.law == "exponential":
                seconds *= self._draws.exponential()
        time.sleep(max(started + seconds - time.perf_counter(), 0.0))
