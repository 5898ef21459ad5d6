"""Step time against batch size, the line through it, and the profile that chapter 04 hands on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.training.model import import_tensorflow


def train_step(model: Any) -> Callable[[Any, Any], Any]:
    """One step of training as a compiled function of (inputs, labels), which returns the loss.

    It changes the weights and the optimiser of ``model``, a model of `build_cnn`.
    """
    tensorflow = import_tensorflow()
    loss_function = tensorflow.keras.losses.SparseCategoricalCrossentropy()
    model.optimizer.build(model.trainable_variables)
    inputs = tensorflow.TensorSpec((None, *model.input_shape[1:]), tensorflow.float32)
    labels = tensorflow.TensorSpec((None,), tensorflow.uint8)

    @tensorflow.function(input_signature=[inputs, labels])  # type: ignore[untyped-decorator]
    def step(images: Any, digits: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            loss = loss_function(digits, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    compiled: Callable[[Any, Any], Any] = step
    return compiled


def step_times(
    step: Callable[[Any, Any], Any],
    inputs: NDArray[np.float32],
    labels: NDArray[np.uint8],
    batch_sizes: Sequence[int],
    *,
    rounds: int = 6,
) -> pd.DataFrame:
    """Time a training step at several batch sizes.

    Sizes take turns, so that a disturbance meets all alike. Each turn begins with a step that is
    not timed: it brings this size's data back into the caches and, at first, compiles.

    Parameters
    ----------
    step : callable
        What `train_step` returns; its loss is read back, so that the device has finished.
    inputs, labels : arrays of length n
        Batches are taken from their beginning.
    batch_sizes : sequence of int
        From 1 to n.
    rounds : int
        Turns of each size, with two timed steps each.

    Returns
    -------
    DataFrame
        ``batch_size``, ``step_ms`` (median), ``low_ms`` and ``high_ms`` (quartiles),
        ``examples_per_s``.
    """
    if not batch_sizes or min(batch_sizes) < 1 or max(batch_sizes) > len(inputs):
        raise ValueError(f"batch sizes must lie between 1 and {len(inputs)}, got {batch_sizes}")
    tensorflow = import_tensorflow()
    batches = {
        size: (tensorflow.constant(inputs[:size]), tensorflow.constant(labels[:size]))
        for size in batch_sizes
    }
    seconds: dict[int, list[float]] = {size: [] for size in batches}
    for _ in range(rounds):
        for size, batch in batches.items():
            float(step(*batch))
            for _ in range(2):
                begin = time.perf_counter()
                float(step(*batch))
                seconds[size].append(time.perf_counter() - begin)
    rows = []
    for size, taken in seconds.items():
        low, median, high = np.quantile(taken, [0.25, 0.5, 0.75]) * 1e3
        rows.append((size, median, low, high, 1e3 * size / median))
    columns = ["batch_size", "step_ms", "low_ms", "high_ms", "examples_per_s"]
    return pd.DataFrame(rows, columns=columns)


def fit_step_time(batch_sizes: ArrayLike, step_s: ArrayLike) -> tuple[float, float]:
    """``fixed_s, per_example_s`` of the line through two measured batch sizes.

    Parameters
    ----------
    batch_sizes, step_s : arrays of length 2
        Two different batch sizes and their step times.

    Raises
    ------
    ValueError
        The larger batch was not slower, or so much slower that nothing is left for the fixed part.

    Examples
    --------
    >>> fixed_s, per_example_s = fit_step_time([10, 110], [0.003, 0.013])
    >>> round(fixed_s, 6), round(per_example_s, 6)
    (0.002, 0.0001)
    """
    sizes, seconds = np.asarray(batch_sizes, dtype=float), np.asarray(step_s, dtype=float)
    if sizes.shape != (2,) or seconds.shape != (2,) or sizes[0] == sizes[1]:
        raise ValueError(f"two different batch sizes with one time each, got {sizes} and {seconds}")
    per_example_s = float((seconds[1] - seconds[0]) / (sizes[1] - sizes[0]))
    fixed_s = float(seconds[0] - per_example_s * sizes[0])
    if per_example_s <= 0 or fixed_s <= 0:
        raise ValueError(
            f"no line with positive parts goes through {seconds} s at batch sizes {sizes}: "
            "measure again with more rounds, or take sizes further apart"
        )
    return fixed_s, per_example_s


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

    def accelerator_hours(self, examples: int, epochs: int, batch_size: int | None = None) -> float:
        """Predicted hours of this device for ``epochs`` passes over ``examples`` images.

        Full steps and the last, smaller one; ``batch_size`` is the measured run's unless given.
        """
        if examples < 1 or epochs < 1:
            raise ValueError(f"examples and epochs must be at least 1, got {examples}, {epochs}")
        size = self.batch_size if batch_size is None else batch_size
        steps, rest = divmod(examples, size)
        seconds = steps * self.step_s(size) + (self.step_s(rest) if rest else 0.0)
        return epochs * seconds / 3600

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
