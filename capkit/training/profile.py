"""The profile that chapter 04 hands on: what training this model takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from capkit.training.checkpoints import daly_interval_s, expected_run_s
from capkit.training.steps import predict_epoch_s


@dataclass(frozen=True)
class TrainingProfile:
    """What training this model on this device takes: what a plan needs to know.

    Attributes
    ----------
    examples_per_s : dict of int to float
        Measured rate by batch size.
    fixed_s, per_example_s : float
        Step time = fixed + per example x batch size, where the line holds.
    fit_extra_s : float
        What ``fit`` adds to a step; a small negative value is the noise of the measurement.
    accuracy, accuracy_low, accuracy_high : float
        On the test images, with its 95 % Wilson interval.
    parameters, flops_per_image : int
        Counted; a forward pass.
    memory_mib : float
        Largest resident memory of the process while it trained.
    bytes_per_example : float
        Stored bytes that are read for one image, once an epoch unless a cache keeps them.
    checkpoint_bytes, checkpoint_s : int, float
        Of weights and optimiser together; seconds to write them.
    workers, scaling_efficiency : int, float
        Share of ``workers`` times one worker's rate that they reach together, each with its own batch.
    batch_size, epochs, train_examples : int
        The run that was measured.
    device : str
        Where.
    """

    examples_per_s: dict[int, float]
    fixed_s: float
    per_example_s: float
    fit_extra_s: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    parameters: int
    flops_per_image: int
    memory_mib: float
    bytes_per_example: float
    checkpoint_bytes: int
    checkpoint_s: float
    workers: int
    scaling_efficiency: float
    batch_size: int
    epochs: int
    train_examples: int
    device: str

    def __post_init__(self) -> None:
        positive = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.type in ("int", "float") and f.name != "fit_extra_s"
        }
        positive["fixed_s + fit_extra_s"] = self.fixed_s + self.fit_extra_s
        positive |= {f"examples_per_s[{size}]": rate for size, rate in self.examples_per_s.items()}
        wrong = {name: value for name, value in positive.items() if not 0 < value < math.inf}
        if wrong:
            raise ValueError(f"must be positive and finite: {wrong}")
        if not self.accuracy_low <= self.accuracy <= self.accuracy_high <= 1:
            raise ValueError(
                f"the interval {self.accuracy_low} to {self.accuracy_high} must hold the accuracy "
                f"{self.accuracy} and end at 1 at most"
            )

    def step_s(self, batch_size: int) -> float:
        """Predicted seconds of one step by ``fit``."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        return self.fixed_s + self.fit_extra_s + self.per_example_s * batch_size

    def epoch_s(self, examples: int, batch_size: int | None = None) -> float:
        """Predicted seconds of an epoch by ``fit``; ``batch_size`` is the measured run's unless given."""
        size = self.batch_size if batch_size is None else batch_size
        fixed_s = self.fixed_s + self.fit_extra_s
        return float(predict_epoch_s(fixed_s, self.per_example_s, examples, size))

    def checkpoint_interval_s(self, mtbf_h: float) -> float:
        """Seconds of training between two checkpoints where a failure comes every ``mtbf_h`` (Daly)."""
        return daly_interval_s(self.checkpoint_s, 3600 * mtbf_h)

    def accelerator_hours(
        self,
        examples: int,
        epochs: int,
        batch_size: int | None = None,
        *,
        mtbf_h: float | None = None,
        restart_s: float = 0.0,
    ) -> float:
        """Predicted hours of this device for ``epochs`` passes over ``examples`` images.

        Full steps and the last, smaller one; ``batch_size`` is the measured run's unless given. With a
        mean time between failures, ``mtbf_h``, the checkpoints, what failures destroy and
        ``restart_s`` after each are in it.
        """
        if epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {epochs}")
        work_s = epochs * self.epoch_s(examples, batch_size)
        if mtbf_h is None:
            return work_s / 3600
        interval_s = min(self.checkpoint_interval_s(mtbf_h), work_s)
        run_s = expected_run_s(
            work_s, interval_s, self.checkpoint_s, 3600 * mtbf_h, restart_s=restart_s
        )
        return run_s / 3600

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: batch sizes become strings."""
        rates = {str(size): rate for size, rate in self.examples_per_s.items()}
        return {**asdict(self), "examples_per_s": rates}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingProfile:
        """Back from `to_dict`; other keys are left alone, a missing one is a ValueError."""
        missing = [f.name for f in fields(cls) if f.name not in data]
        if missing:
            raise ValueError(f"not a training profile: {', '.join(missing)} missing")
        values = {f.name: data[f.name] for f in fields(cls)}
        rates = {int(size): float(rate) for size, rate in values["examples_per_s"].items()}
        return cls(**{**values, "examples_per_s": rates})
