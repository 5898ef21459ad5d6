"""Smaller forms of the trained CNN: what each costs in accuracy, and saves in time and bytes.

Weights of fewer bytes are stored as constants, which a session converts to float32 once, when it loads
them: fewer bytes on disk and on the way to a new server, the same time a call and the same memory. As
variables they would be converted in every call (int8: 0.29 ms instead of 0.19 ms for one image).

Half precision means float16 stored, float32 computed. TensorFlow 2.21 on one core of an EPYC, 32 images:
0.75 ms in float32, 0.55 ms in bfloat16 and 2.1 ms in float16; with the CPU's bfloat16 instructions turned off
1.6 ms in bfloat16. What is faster on some machines only is no option for a fleet of any machines. And the
probabilities stay within 0.001 of float32's, where bfloat16 is off by 0.01.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.datasets import load_mnist
from capkit.serving.configurations import (
    available_cores,
    prepare,
    run_apart,
    summarize,
    time_calls,
)
from capkit.serving.launch import latest_version
from capkit.training.model import (
    FILTERS,
    HIDDEN_UNITS,
    build_cnn,
    export,
    import_keras,
    import_tensorflow,
    to_inputs,
    train,
)

Weights = Sequence[NDArray[np.float32]]
BATCH_SIZES = (1, 32)
Z95 = 1.959964


def quantize(weights: ArrayLike) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 values and one float32 scale for each output channel (the last axis): weights = values x scale.

    Symmetric: the largest weight of a channel becomes 127, so a weight is off by at most half a scale.
    Source: Jacob et al., Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference, CVPR 2018, section 2.1 with zero point 0.

    >>> values, scale = quantize([[1.0, 0.5], [-0.5, 0.25]])
    >>> values.tolist()
    [[127, 127], [-64, 64]]
    """
    array = np.asarray(weights, dtype=np.float32)
    largest = np.abs(array).max(axis=tuple(range(array.ndim - 1)))
    scale = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(127)
    scale = np.maximum(scale, np.finfo(np.float32).tiny)  # a smaller one would be rounded to 0
    return np.rint(array / scale).astype(np.int8), scale


def accuracy_difference(right: ArrayLike, right_before: ArrayLike) -> tuple[float, float, float]:
    """Difference of two accuracies on the same images, with its 95 % interval.

    Only images on which the two disagree count, which makes it far narrower than the difference of two
    intervals. Source: Agresti and Min, Simple improved confidence intervals for comparing matched
    proportions, Statistics in Medicine 24 (2005): half an image is added to each of the four cells.

    Parameters
    ----------
    right, right_before : array_like of bool, shape (n,)
        Whether each image was recognised, by the one and by the other model.

    >>> [round(x, 4) for x in accuracy_difference([True] * 98 + [False] * 2, [True] * 100)]
    [-0.02, -0.0527, 0.0135]
    """
    now, before = np.asarray(right, dtype=bool), np.asarray(right_before, dtype=bool)
    if now.shape != before.shape or now.ndim != 1 or not now.size:
        raise ValueError(f"needs an answer a model for each image, got {now.shape}, {before.shape}")
    gained, lost = int((now & ~before).sum()), int((before & ~now).sum())
    count = now.size + 2
    centre = (gained - lost) / count
    half = Z95 * np.sqrt(((gained + lost + 1) / count - centre**2) / count)
    return (gained - lost) / now.size, float(centre - half), float(centre + half)


def _trained(base_path: Path) -> Any:
    """The Keras model that `export` wrote below ``base_path``."""
    folder = base_path / str(latest_version(base_path))
    weights = [w.numpy() for w in import_tensorflow().saved_model.load(str(folder)).weights]
    model = build_cnn(filters=weights[0].shape[-1], hidden_units=weights[2].shape[-1])
    model.set_weights(weights)
    return model


def _half(weights: Weights) -> Callable[[], list[Any]]:
    tensorflow = import_tensorflow()
    return lambda: [
        tensorflow.cast(tensorflow.constant(w.astype(np.float16)), tensorflow.float32)
        for w in weights
    ]


def _int8(weights: Weights) -> Callable[[], list[Any]]:
    """Kernels as int8; offsets, which are few, stay float32."""
    tensorflow = import_tensorflow()

    def decode(array: NDArray[np.float32]) -> Any:
        if array.ndim == 1:
            return tensorflow.constant(array)
        values, scale = quantize(array)
        return tensorflow.cast(tensorflow.constant(values), tensorflow.float32) * scale

    return lambda: [decode(w) for w in weights]


def export_variants(
    base_path: str | Path,
    folder: str | Path,
    *,
    mnist: str = "bundled",
    epochs: int = 3,
    seed: int = 1,
) -> dict[str, tuple[Path, int]]:
    """Write the variants of a trained CNN, each with its signature, and train the smaller one.

    Parameters
    ----------
    base_path : str or Path
        The trained model, as `export` wrote it.
    folder : str or Path
        Gets a base path for each variant: ``half_precision``, ``int8_weights``, ``smaller_cnn``.
    mnist, epochs, seed : str, int, int
        How the model was trained: the smaller one, with a quarter of the filters and half of the hidden
        units, is trained in the same way.

    Returns
    -------
    dict
        Name of the variant to its base path and its number of parameters; "float32" is the model itself.
    """
    inputs, labels, _, _ = load_mnist(mnist)
    model = _trained(Path(base_path))
    import_keras().utils.set_random_seed(seed)
    smaller = build_cnn(filters=FILTERS // 4, hidden_units=HIDDEN_UNITS // 2)
    train(smaller, to_inputs(inputs), labels, epochs=epochs)
    weights = model.get_weights()
    variants: dict[str, tuple[Any, Any]] = {
        "half precision": (model, _half(weights)),
        "int8 weights": (model, _int8(weights)),
        "smaller CNN": (smaller, None),
    }
    found = {"float32": (Path(base_path), model.count_params())}
    for name, (network, decode) in variants.items():
        target = Path(folder) / name.lower().replace(" ", "_")
        export(network, target, weights=decode)
        found[name] = (target, network.count_params())
    return found


def _measure_here(
    base_path: str, folder: str, mnist: str, epochs: int, seconds: float, seed: int
) -> pd.DataFrame:
    """`measure_variants` in this process."""
    from scipy.stats import binomtest

    variants = export_variants(base_path, folder, mnist=mnist, epochs=epochs, seed=seed)
    core = available_cores()[-1:]
    setups = [prepare(name, path, core, 1) for name, (path, _) in variants.items()]
    calls = time_calls(setups, BATCH_SIZES, seconds, seed)
    blocks = calls.groupby(["images", "block", "name"])["service_ms"].median().unstack()
    ratios = blocks.div(blocks["float32"], axis=0).groupby("images").median()
    times = summarize(calls).set_index(["name", "images"])["service_ms"]
    _, _, images, labels = load_mnist(mnist)
    parts = np.array_split(to_inputs(images), -(-len(images) // 1000))
    digits = {s.name: np.concatenate([s.call(part) for part in parts]).argmax(1) for s in setups}
    right = {name: found == labels for name, found in digits.items()}
    rows = []
    for name, (path, parameters) in variants.items():
        correct = int(right[name].sum())
        interval = binomtest(correct, len(labels)).proportion_ci(0.95, method="wilson")
        change, change_low, change_high = accuracy_difference(right[name], right["float32"])
        version = path / str(latest_version(path))
        rows.append(
            {
                "variant": name,
                "parameters": parameters,
                "bytes": sum(f.stat().st_size for f in version.rglob("*") if f.is_file()),
                "accuracy": correct / len(labels),
                "accuracy_low": interval.low,
                "accuracy_high": interval.high,
                "change": change,
                "change_low": change_low,
                "change_high": change_high,
                **{f"service_{size}_ms": times[name, size] for size in BATCH_SIZES},
                **{f"ratio_{size}": ratios.loc[size, name] for size in BATCH_SIZES},
            }
        )
    return pd.DataFrame(rows)


def measure_variants(
    base_path: str | Path,
    folder: str | Path,
    *,
    mnist: str = "bundled",
    epochs: int = 3,
    seconds: float = 3.0,
    seed: int = 1,
) -> pd.DataFrame:
    """Export the variants of a trained CNN (`export_variants`) and measure each on one core.

    It runs in a process of its own, through what `capkit.serving.measure_configurations` uses.

    Parameters
    ----------
    base_path, folder : str or Path
        The trained model, and the folder that gets the variants.
    mnist, epochs, seed : str, int, int
        How the model was trained.
    seconds : float
        Time to measure, all variants together; they take turns in short blocks.

    Returns
    -------
    DataFrame
        One row a variant: ``variant``; ``parameters``; ``bytes`` on disk; ``accuracy`` on the test
        images with its 95 % Wilson interval, ``accuracy_low`` and ``accuracy_high``; ``change`` of the
        accuracy against float32 on the same images with its 95 % interval (`accuracy_difference`);
        ``service_1_ms`` and ``service_32_ms``, medians; ``ratio_1`` and ``ratio_32``, medians of the
        blocks' time over float32's in the same block.

    Raises
    ------
    ValueError
        No model there, or no time.
    RuntimeError
        The measuring process failed; the text has its last words.
    """
    latest_version(base_path)
    if not seconds > 0:
        raise ValueError(f"needs a time to measure above 0, got {seconds} s")
    arguments = {"mnist": mnist, "epochs": epochs, "seconds": seconds, "seed": seed}
    paths = {"base_path": str(base_path), "folder": str(folder)}
    return run_apart(f"{__name__}:_measure_here", paths | arguments)
