"""The digits CNN of the course: build, train, export and, by hand in float64, run it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

IMAGE_SHAPE = (28, 28, 1)
FILTERS, KERNEL, POOL, HIDDEN_UNITS, CLASSES = 32, 3, 2, 64, 10


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Silence file descriptor 2, where libraries write past Python's ``sys.stderr``.

    >>> import os
    >>> with quiet_stderr():
    ...     _ = os.write(2, b"never seen")
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def import_tensorflow() -> Any:
    """Import TensorFlow without the lines that it and its device search print; errors are kept.

    The only place in `capkit` that imports it: an import takes seconds, and it writes to file
    descriptor 2 whatever ``TF_CPP_MIN_LOG_LEVEL`` says.

    Raises
    ------
    ModuleNotFoundError
        TensorFlow is not installed; the message names the command.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        try:
            import tensorflow
        except ModuleNotFoundError as error:
            if error.name != "tensorflow":
                raise
            raise ModuleNotFoundError(
                "TensorFlow is not installed: python -m pip install -e '.[tensorflow]'",
                name="tensorflow",
            ) from None
        tensorflow.config.list_physical_devices()
    tensorflow.get_logger().setLevel("ERROR")
    return tensorflow


def import_keras() -> Any:
    """Import Keras on the back end that ``KERAS_BACKEND`` names, TensorFlow without it."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        import_tensorflow()
    import keras

    return keras


def to_inputs(images: ArrayLike) -> NDArray[np.float32]:
    """Images as the model wants them: float32 from 0 to 1 with a channel.

    Parameters
    ----------
    images : array of uint8, shape (n, 28, 28)
        Pixels from 0 to 255.

    Raises
    ------
    ValueError
        Another shape or another type.

    Examples
    --------
    >>> to_inputs(np.full((5, 28, 28), 255, dtype=np.uint8)).shape
    (5, 28, 28, 1)
    """
    pixels = np.asarray(images)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != IMAGE_SHAPE[:2]:
        raise ValueError(
            f"expected uint8 images of shape (n, 28, 28), got {pixels.dtype} {pixels.shape}: "
            "pass the digits as load_mnist returns them"
        )
    return pixels[..., np.newaxis].astype(np.float32) / np.float32(255)


def build_cnn(*, filters: int = FILTERS, hidden_units: int = HIDDEN_UNITS) -> Any:
    """The compiled Keras model: convolution, pooling, a dense layer, a softmax over ten digits.

    Takes ``image``: float32 of shape (n, 28, 28, 1), from 0 to 1. Adam, cross-entropy, accuracy.
    """
    keras = import_keras()
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input(IMAGE_SHAPE, name="image"),
            layers.Conv2D(filters, KERNEL, activation="relu", name="conv"),
            layers.MaxPooling2D(POOL, name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(hidden_units, activation="relu", name="hidden"),
            layers.Dense(CLASSES, activation="softmax", dtype="float32", name="digit"),
        ],
        name="mnist_cnn",
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def restart(model: Any, seed: int) -> None:
    """Give a model of ``build_cnn()`` fresh weights and a fresh optimiser; what is compiled stays.

    The same ``seed`` gives the same weights, and the same shuffling by ``fit`` afterwards.
    """
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    model.set_weights(build_cnn().get_weights())
    model.optimizer.build(model.trainable_variables)
    for variable in model.optimizer.variables:
        if variable is not model.optimizer.learning_rate:
            variable.assign(np.zeros(variable.shape))


def train(
    model: Any,
    inputs: NDArray[np.float32],
    labels: NDArray[Any],
    *,
    epochs: int,
    batch_size: int = 32,
    validation: tuple[NDArray[np.float32], NDArray[Any]] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Train with ``model.fit`` and time its epochs.

    Parameters
    ----------
    model : keras.Model
        Compiled, as `build_cnn` returns it.
    inputs, labels : arrays of length n
        What `to_inputs` returns, and the digits 0 to 9.
    epochs, batch_size : int
    validation : (inputs, labels), optional
        Evaluated after each epoch.
    progress : bool
        Show a bar on standard output, removed at the end, with the last epoch's figures.

    Returns
    -------
    DataFrame
        One row an epoch: ``epoch`` from 1, ``start_s`` and ``end_s`` since the call, ``train_s``
        (the part without the validation), ``loss``, ``accuracy`` and, with a validation,
        ``val_loss``, ``val_accuracy``.
    """
    keras = import_keras()
    rows: list[dict[str, float]] = []
    steps = epochs * -(-len(inputs) // batch_size)
    bar = tqdm(total=steps, desc="steps", disable=not progress, leave=False, file=sys.stdout)
    begin = time.perf_counter()

    def begin_epoch(epoch: int, logs: Any) -> None:
        rows.append({"epoch": epoch + 1, "start_s": time.perf_counter() - begin})

    def end_batch(batch: int, logs: Any) -> None:
        rows[-1]["train_s"] = time.perf_counter() - begin - rows[-1]["start_s"]
        bar.update()

    def end_epoch(epoch: int, logs: Any) -> None:
        rows[-1] |= {"end_s": time.perf_counter() - begin, **logs}
        bar.set_postfix({name: f"{value:.3f}" for name, value in logs.items()})

    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=begin_epoch, on_train_batch_end=end_batch, on_epoch_end=end_epoch
    )
    model.fit(
        inputs,
        labels,
        epochs=epochs,
        batch_size=batch_size,
        validation_data=validation,
        callbacks=[clock],
        verbose=0,
    )
    bar.close()
    columns = ["epoch", "start_s", "end_s", "train_s", "loss", "accuracy"]
    return pd.DataFrame(rows)[columns + ["val_loss", "val_accuracy"] * (validation is not None)]


def export(
    model: Any,
    folder: str | Path,
    version: int = 1,
    *,
    weights: Callable[[], Sequence[Any]] | None = None,
) -> Path:
    """Write the model as a SavedModel that TensorFlow Serving loads: ``folder/version``.

    The signature ``serving_default`` takes ``image`` and answers ``output_0``; an image of another
    shape is an error of that call (without the check it can end the whole process). Only the
    weights are stored, once (``model.export`` of Keras 3 stores them twice), and the file with a
    random identifier is left out: equal weights give equal bytes.

    Parameters
    ----------
    model : keras.Model
        As `build_cnn` returns it, on the TensorFlow back end.
    folder : str or Path
        The base path that the server is given.
    version : int
        Number of the version folder, at least 1; ``folder/version`` is returned.
    weights : callable, optional
        Gives the tensors to compute with, one for each variable of the model. It is called while the
        graph is built: constants that it makes are stored in their own type, and the variables are not.
    """
    if version < 1:
        raise ValueError(f"version must be a whole number from 1, got {version}")
    tensorflow = import_tensorflow()
    image_shape = (None, *IMAGE_SHAPE)
    served = tensorflow.Module()
    if weights is None:
        served.weights = [variable.value for variable in model.variables]

    def predict(images: Any) -> Any:
        if weights is None:
            return model(images, training=False)
        return model.stateless_call(weights(), [], images, training=False)[0]

    served.predict = tensorflow.function(
        lambda image: predict(tensorflow.ensure_shape(image, image_shape)),
        input_signature=[tensorflow.TensorSpec(image_shape, tensorflow.float32, name="image")],
    )
    target = Path(folder) / str(version)
    with quiet_stderr():
        tensorflow.saved_model.save(
            served, str(target), signatures={"serving_default": served.predict}
        )
    (target / "fingerprint.pb").unlink(missing_ok=True)
    return target


def predict_float64(weights: Sequence[ArrayLike], inputs: ArrayLike) -> NDArray[np.float64]:
    """Class probabilities computed by NumPy in float64: the answer to check a device against.

    Parameters
    ----------
    weights : sequence of 6 arrays
        What ``build_cnn().get_weights()`` returns.
    inputs : array, shape (n, 28, 28, 1)
        The answer has shape (n, 10).
    """
    kernel, offset, hidden, hidden_offset, last, last_offset = (
        np.asarray(w, dtype=np.float64) for w in weights
    )
    images = np.asarray(inputs, dtype=np.float64)[..., 0]
    windows = np.lib.stride_tricks.sliding_window_view(images, (KERNEL, KERNEL), axis=(1, 2))
    n, side = windows.shape[:2]
    columns = windows.reshape(-1, KERNEL**2) @ kernel.reshape(-1, FILTERS)
    maps = np.maximum(columns.reshape(n, side, side, FILTERS) + offset, 0.0)
    pooled = maps.reshape(n, side // POOL, POOL, side // POOL, POOL, FILTERS).max(axis=(2, 4))
    features = np.maximum(pooled.reshape(n, -1) @ hidden + hidden_offset, 0.0)
    logits = features @ last + last_offset
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
