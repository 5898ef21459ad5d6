"""What executes requests: a number of slots in order of arrival, and the emulated device."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

LAWS = ("constant", "exponential")


@dataclass(frozen=True)
class Device:
    """An emulated device: it sleeps for its service time while the real model gives the answer.

    Attributes
    ----------
    slots : int
        Batches (without batching: requests) that it works on at once.
    fixed_s, per_example_s : float
        Service time of a batch of b examples: ``fixed_s + per_example_s * b``, its mean if the law
        is exponential.
    law : str
        ``constant`` or ``exponential``.

    Examples
    --------
    >>> Device.parse("slots=2,fixed_s=0.01,law=exponential")
    Device(slots=2, fixed_s=0.01, per_example_s=0.0, law='exponential')
    """

    slots: int = 1
    fixed_s: float = 0.01
    per_example_s: float = 0.0
    law: str = "constant"

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"a device needs at least one slot, got {self.slots}")
        if self.fixed_s < 0 or self.per_example_s < 0 or self.fixed_s + self.per_example_s <= 0:
            raise ValueError(
                f"service time must be positive, got {self.fixed_s} s + {self.per_example_s} s an example"
            )
        if self.law not in LAWS:
            raise ValueError(f"law must be one of {', '.join(LAWS)}, got {self.law!r}")

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read ``name=value`` pairs, separated by commas."""
        kinds: dict[str, Callable[[str], Any]] = {
            "slots": int,
            "fixed_s": float,
            "per_example_s": float,
            "law": str,
        }
        values: dict[str, Any] = {}
        for pair in text.split(","):
            name, _, value = pair.partition("=")
            if name not in kinds:
                raise ValueError(f"a device has {', '.join(kinds)}; got {pair!r}")
            values[name] = kinds[name](value)
        return cls(**values)

    def __str__(self) -> str:
        return (
            f"slots={self.slots},fixed_s={self.fixed_s:g},"
            f"per_example_s={self.per_example_s:g},law={self.law}"
        )


class Slots:
    """Executor slots, granted in order of arrival.

    A slot that is given back goes to the request that has waited longest, and its service time
    starts then: waking that request up is time in which the slot does nothing else.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[tuple[Lock, list[float]]] = deque()
        self._lock = Lock()

    def acquire(self) -> float:
        """Wait for a slot; the clock (`time.perf_counter`) when it was granted."""
        with self._lock:
            if self._free:
                self._free -= 1
                return time.perf_counter()
            gate, granted = Lock(), [0.0]
            gate.acquire()
            self._waiting.append((gate, granted))
        gate.acquire()
        return granted[0]

    def release(self) -> float:
        """Give the slot to the next request, or back; the clock when that was done."""
        with self._lock:
            now = time.perf_counter()
            if self._waiting:
                gate, granted = self._waiting.popleft()
                granted[0] = now
                gate.release()
            else:
                self._free += 1
            return now


class Executor:
    """The slots together with how long an execution takes.

    Parameters
    ----------
    device : Device, optional
        Without one the execution takes as long as it takes, in ``slots`` slots.
    slots : int
        Executions at once; ignored for an emulated device, which has its own.
    """

    def __init__(self, device: Device | None, slots: int = 1) -> None:
        self.device = device
        self.slots = Slots(slots if device is None else device.slots)
        self._draws = np.random.default_rng(0)
        self._lock = Lock()

    def pad(self, started: float, examples: int) -> None:
        """Sleep until the emulated device would be done with what it started at ``started``."""
        if self.device is None:
            return
        seconds = self.device.fixed_s + self.device.per_example_s * examples
        if self.device.law == "exponential":
            with self._lock:
                seconds *= self._draws.exponential()
        left = started + seconds - time.perf_counter()
        if left > 0:
            time.sleep(left)
