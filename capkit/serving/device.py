"""The emulated device: how long it takes, by a law or as recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from capkit.serving.metrics import ServingError
from capkit.serving.profile import read_times


class RecordedTimes:
    """Service times of a device that was measured, by batch size.

    Parameters
    ----------
    path : str
        CSV file with the columns ``images`` and ``service_ms``, one or more rows a batch size; several
        are the size's distribution. What `capkit.serving.profile.read_times` refuses is `ValueError`.
    """

    def __init__(self, path: str) -> None:
        groups = read_times(path, "service_ms", "images").groupby("images")["ms"]
        self.sizes = [int(size) for size, _ in groups]
        self._times_s = [np.sort(times.to_numpy()) / 1e3 for _, times in groups]

    def seconds(self, images: int, share: float) -> float:
        """The ``share`` quantile of the service time of ``images``, linear between recorded sizes.

        Nothing is known outside the recorded sizes: such a batch is refused (INVALID_ARGUMENT).
        """
        if not self.sizes[0] <= images <= self.sizes[-1]:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"the recorded device took {self.sizes[0]} to {self.sizes[-1]} images; got {images}",
            )
        quantiles = [np.interp(share, np.linspace(0, 1, t.size), t) for t in self._times_s]
        return float(np.interp(images, self.sizes, quantiles))


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
    profile : str
        CSV file of recorded times (`RecordedTimes`) to draw from, instead of the three above.

    >>> str(Device.parse("slots=2,fixed_s=0.01,law=exponential"))
    'slots=2,fixed_s=0.01,per_example_s=0.0,law=exponential'
    """

    slots: int = 1
    fixed_s: float = 0.0
    per_example_s: float = 0.0
    law: str = "constant"
    profile: str = ""

    def __post_init__(self) -> None:
        if self.slots < 1 or self.law not in ("constant", "exponential"):
            raise ValueError(
                f"a device has 1 or more slots, law constant or exponential; got {self}"
            )
        if self.profile:
            if self.fixed_s or self.per_example_s or self.law != "constant":
                raise ValueError("a profile holds the whole service time: give it and slots only")
            _ = self.recorded
        elif min(self.fixed_s, self.per_example_s) < 0 or self.fixed_s + self.per_example_s <= 0:
            raise ValueError(f"the service time of a device must be positive, got {self}")

    @cached_property
    def recorded(self) -> RecordedTimes:
        """The times in the file ``profile``."""
        return RecordedTimes(self.profile)

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read ``name=value`` pairs, separated by commas."""
        kinds = {"slots": int, "fixed_s": float, "per_example_s": float, "law": str, "profile": str}
        pairs = [pair.partition("=")[::2] for pair in re.split(r",(?=\w+=)", text)]
        if unknown := [name for name, _ in pairs if name not in kinds]:
            raise ValueError(f"a device has {', '.join(kinds)}; not {', '.join(unknown)}")
        values: dict[str, Any] = {name: kinds[name](value) for name, value in pairs}
        return cls(**values)

    def __str__(self) -> str:
        law = ("profile",) if self.profile else ("fixed_s", "per_example_s", "law")
        return ",".join(f"{name}={getattr(self, name)}" for name in ("slots", *law))

    @property
    def label(self) -> str:
        """The text form as results show it: of a profile the file's name only."""
        return str(self).replace(self.profile, Path(self.profile).name)
