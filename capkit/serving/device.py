"""What executes requests: slots granted in order of arrival, and the emulated device."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Device:
    """An emulated device: it sleeps for its service time while the real model gives the answer.

    Attributes
    ----------
    slots : int
        Requests (or batches) that it works on at once.
    fixed_s, per_example_s : float
        Service time of b examples: ``fixed_s + per_example_s * b``; its mean if the law is exponential.
    law : str
        ``constant`` or ``exponential``.

    >>> str(Device.parse("slots=2,fixed_s=0.01,law=exponential"))
    'slots=2,fixed_s=0.01,per_example_s=0.0,law=exponential'
    """

    slots: int = 1
    fixed_s: float = 0.0
    per_example_s: float = 0.0
    law: str = "constant"

    def __post_init__(self) -> None:
        if self.slots < 1 or self.law not in ("constant", "exponential"):
            raise ValueError(
                f"a device has 1 or more slots, law constant or exponential; got {self}"
            )
        if min(self.fixed_s, self.per_example_s) < 0 or self.fixed_s + self.per_example_s <= 0:
            raise ValueError(f"the service time of a device must be positive, got {self}")

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read ``name=value`` pairs, separated by commas."""
        kinds = {"slots": int, "fixed_s": float, "per_example_s": float, "law": str}
        pairs = [pair.partition("=")[::2] for pair in text.split(",")]
        if unknown := [name for name, _ in pairs if name not in kinds]:
            raise ValueError(f"a device has {', '.join(kinds)}; not {', '.join(unknown)}")
        values: dict[str, Any] = {name: kinds[name](value) for name, value in pairs}
        return cls(**values)

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in vars(self).items())


class Executor:
    """Slots in which requests are executed, first come, first served.

    A slot that is given back goes to the request that has waited longest, and its service time starts
    then: waking it up is time in which the slot does nothing else. Without a device there is one slot,
    and an execution takes as long as it takes.
    """

    def __init__(self, device: Device | None) -> None:
        self.device = device
        self.free = device.slots if device else 1
        self.waiting: deque[tuple[Lock, list[float]]] = deque()
        self._lock = Lock()
        self._draws = np.random.default_rng(0)

    def acquire(self) -> float:
        """Wait for a slot; the clock (`time.perf_counter`) when it was granted."""
        with self._lock:
            if self.free:
                self.free -= 1
                return time.perf_counter()
            gate, granted = Lock(), [0.0]
            gate.acquire()
            self.waiting.append((gate, granted))
        gate.acquire()
        return granted[0]

    def release(self) -> float:
        """Give the slot to the next request, or back; the clock when that was done."""
        with self._lock:
            now = time.perf_counter()
            if self.waiting:
                gate, granted = self.waiting.popleft()
                granted[0] = now
                gate.release()
            else:
                self.free += 1
            return now

    def pad(self, started: float, examples: int) -> None:
        """Sleep until the emulated device would be done with what it started at ``started``."""
        if self.device is None:
            return
        seconds = self.device.fixed_s + self.device.per_example_s * examples
        if self.device.law == "exponential":
            with self._lock:
                seconds *= self._draws.exponential()
        time.sleep(max(started + seconds - time.perf_counter(), 0.0))
