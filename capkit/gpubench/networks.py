"""The two networks that are timed: the course's CNN, and a larger one of its kind that can fill a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capkit.training import build_cnn, import_keras
from capkit.training.model import CLASSES, IMAGE_SHAPE

FLOAT_BYTES, LABEL_BYTES = 4, 4
ADAM_PASSES = 6  # read and write the weights and the two moving averages


def _build_large() -> Any:
    layers = import_keras().layers
    model = import_keras().Sequential(
        [
            layers.Input(IMAGE_SHAPE, name="image"),
            layers.Conv2D(128, 3, activation="relu", name="conv"),
            layers.Conv2D(256, 3, activation="relu", name="conv_2"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(256, activation="relu", name="hidden"),
            layers.Dense(CLASSES, activation="softmax", dtype="float32", name="digit"),
        ],
        name="large_cnn",
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


NETWORKS: dict[str, Callable[[], Any]] = {"large": _build_large, "course": build_cnn}
"""In the order of measuring: the one that can fill a device first, should the time run out."""


def build(network: str, precision: str) -> Any:
    """One of `NETWORKS` with a Keras policy: ``float32``, ``mixed_float16`` or ``mixed_bfloat16``.

    Mixed precision computes in half the bits and keeps the weights, and the last layer, in float32.
    """
    keras = import_keras()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return NETWORKS[network]()
    finally:
        keras.config.set_dtype_policy(before)


@dataclass(frozen=True)
class Work:
    """What no way of computing a network can save, counted.

    Attributes
    ----------
    parameters : int
    flops : int
        Operations of one image's forward pass; a multiplication with its addition is two.
    first_flops : int
        Those of the first layer with weights: no gradient of its input is needed.
    """

    parameters: int
    flops: int
    first_flops: int

    def least(self, kind: str, batch_size: int) -> tuple[int, int]:
        """Operations and bytes of a batch at least: each operand read once, each result written once.

        Inference reads the weights and the images and writes the answers. Training adds the gradients of
        the weights and of all inputs but the first (as many operations again, each), and Adam reads and
        writes the weights and its two averages.

        >>> Work(parameters=10, flops=100, first_flops=20).least("training", 2)
        (560, 6520)
        """
        image = FLOAT_BYTES * prod(IMAGE_SHAPE)
        weights = FLOAT_BYTES * self.parameters
        if kind == "inference":
            answer = FLOAT_BYTES * CLASSES
            return batch_size * self.flops, weights + batch_size * (image + answer)
        operations = batch_size * (3 * self.flops - self.first_flops)
        return operations, ADAM_PASSES * weights + batch_size * (image + LABEL_BYTES)


def count(model: Any) -> Work:
    """Count a network of `NETWORKS` from the shapes of its layers; a bias is one operation."""
    flops = []
    for layer in model.layers:
        if layer.weights:
            fan_in = prod(layer.weights[0].shape[:-1])
            flops.append((2 * fan_in + 1) * prod(layer.output.shape[1:]))
    parameters = sum(prod(variable.shape) for variable in model.weights)
    return Work(parameters, sum(flops), flops[0])


def centred_logits(probabilities: ArrayLike) -> NDArray[np.float64]:
    """What the softmax was computed from, up to a constant an image: it does not hide an error as it does.

    >>> centred_logits([[0.5, 0.25, 0.25]]).round(3).tolist()
    [[0.462, -0.231, -0.231]]
    """
    logs = np.log(np.asarray(probabilities, dtype=np.float64))
    centred: NDArray[np.float64] = logs - logs.mean(axis=-1, keepdims=True)
    return centred


def float64_outputs(model: Any, inputs: ArrayLike) -> NDArray[np.float64]:
    """Class probabilities of a network of `NETWORKS`, computed by NumPy in float64 from its weights.

    Parameters
    ----------
    model : keras.Model
    inputs : array, shape (n, 28, 28, 1)

    Raises
    ------
    ValueError
        The model has a layer of another kind.
    """
    values = np.asarray(inputs, dtype=np.float64)
    for layer in model.layers:
        kind = type(layer).__name__
        weights = [np.asarray(w, dtype=np.float64) for w in layer.get_weights()]
        if kind == "Conv2D":
            size = weights[0].shape[0]
            windows = np.lib.stride_tricks.sliding_window_view(values, (size, size), axis=(1, 2))
            values = np.tensordot(windows, weights[0], axes=((3, 4, 5), (2, 0, 1))) + weights[1]
        elif kind == "MaxPooling2D":
            n, side, _, channels = values.shape
            pool = layer.pool_size[0]
            values = values[:, : side // pool * pool, : side // pool * pool]
            values = values.reshape(n, side // pool, pool, side // pool, pool, channels)
            values = values.max(axis=(2, 4))
        elif kind == "Flatten":
            values = values.reshape(len(values), -1)
        elif kind == "Dense":
            values = values @ weights[0] + weights[1]
        else:
            raise ValueError(f"needs Conv2D, MaxPooling2D, Flatten and Dense layers, got a {kind}")
        activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if activation == "relu":
            values = np.maximum(values, 0.0)
        elif activation == "softmax":
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            values = powers / powers.sum(axis=1, keepdims=True)
    return values
