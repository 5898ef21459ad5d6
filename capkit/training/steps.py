"""What a step and an epoch take: measured, and predicted by a line through two batch sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
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


def run_epoch(
    step: Callable[[Any, Any], Any],
    inputs: NDArray[np.float32],
    labels: NDArray[np.uint8],
    batch_size: int,
    rng: np.random.Generator,
) -> float:
    """One pass over the images in a random order, the last batch smaller; returns its seconds.

    Parameters
    ----------
    step : callable
        What `train_step` returns; the last loss is read back, so that the device has finished.
    inputs, labels : arrays of length n
    batch_size : int
        From 1 to n.

    Examples
    --------
    >>> sizes = []
    >>> step = lambda images, digits: sizes.append(len(images)) or 0.5
    >>> images, digits = np.zeros((10, 28, 28, 1), "float32"), np.zeros(10, "uint8")
    >>> seconds = run_epoch(step, images, digits, 4, np.random.default_rng(1))
    >>> sizes
    [4, 4, 2]
    """
    if not 1 <= batch_size <= len(inputs):
        raise ValueError(f"batch_size must lie between 1 and {len(inputs)}, got {batch_size}")
    order = rng.permutation(len(inputs))
    begin = time.perf_counter()
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        loss = step(inputs[batch], labels[batch])
    float(loss)
    return time.perf_counter() - begin


def epoch_times(
    ways: Mapping[str, Callable[[int], float]], batch_sizes: Sequence[int], *, rounds: int = 5
) -> pd.DataFrame:
    """Time an epoch at several batch sizes, in one or several ways of training.

    Ways and sizes take turns, so that a disturbance meets all alike. A first turn, which compiles,
    is not counted.

    Parameters
    ----------
    ways : mapping of name to callable
        Each trains one epoch at the batch size it is given and returns the seconds.
    batch_sizes : sequence of int
    rounds : int
        Epochs of each way and size.

    Returns
    -------
    DataFrame
        ``way``, ``batch_size``, ``epoch_s`` (median), ``low_s`` and ``high_s`` (quartiles).

    Examples
    --------
    >>> epoch_times({"loop": lambda size: 8 / size}, [2, 4]).round(2).to_numpy().tolist()
    [['loop', 2, 4.0, 4.0, 4.0], ['loop', 4, 2.0, 2.0, 2.0]]
    """
    seconds: dict[tuple[str, int], list[float]] = {(w, b): [] for w in ways for b in batch_sizes}
    for turn in range(rounds + 1):
        for way, size in seconds:
            taken = ways[way](size)
            if turn:
                seconds[way, size].append(taken)
    rows = [(*key, *np.quantile(taken, [0.5, 0.25, 0.75])) for key, taken in seconds.items()]
    return pd.DataFrame(rows, columns=["way", "batch_size", "epoch_s", "low_s", "high_s"])


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


def fit_epoch_time(
    batch_sizes: ArrayLike, epoch_s: ArrayLike, examples: int
) -> tuple[float, float]:
    """``fixed_s, per_example_s`` from two measured epochs: steps x fixed + examples x per example.

    Parameters
    ----------
    batch_sizes, epoch_s : arrays of length 2
        Two different batch sizes and what an epoch took with each.
    examples : int
        Images in an epoch.

    Examples
    --------
    >>> fixed_s, per_example_s = fit_epoch_time([10, 100], [100 * 0.002 + 0.1, 10 * 0.002 + 0.1], 1000)
    >>> round(fixed_s, 6), round(per_example_s, 6)
    (0.002, 0.0001)
    """
    steps = np.ceil(examples / np.asarray(batch_sizes, dtype=float))
    return fit_step_time(examples / steps, np.asarray(epoch_s, dtype=float) / steps)


def predict_epoch_s(
    fixed_s: float, per_example_s: float, examples: int, batch_size: ArrayLike
) -> Any:
    """Seconds of an epoch: a fixed part for each step, the last and smaller one too, and the images.

    >>> predict_epoch_s(0.002, 0.0001, 1000, [10, 300]).round(4).tolist()
    [0.3, 0.108]
    """
    sizes = np.asarray(batch_size)
    if examples < 1 or (sizes < 1).any():
        raise ValueError(
            f"examples and batch_size must be at least 1, got {examples} and {sizes.tolist()}"
        )
    return np.ceil(examples / sizes) * fixed_s + examples * per_example_s
