"""MNIST digits: the 5,000 that ship, the full set, or a folder with the four idx files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capkit.datasets.files import data_dir
from capkit.datasets.originals import fetch, unpacked

Bytes = NDArray[np.uint8]
Digits = tuple[Bytes, Bytes, Bytes, Bytes]
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
SIDE = 28


def load_mnist(source: str = "bundled") -> Digits:
    """Images and labels of handwritten digits: ``x_train, y_train, x_test, y_test``.

    Parameters
    ----------
    source : str
        "bundled": 4,000 and 1,000 digits that ship, the classes equally often. "keras": all
        60,000 and 10,000, the file that Keras uses, downloaded once. Otherwise a folder with the
        four idx files under their usual names, packed (.gz) or not.

    Returns
    -------
    tuple of ndarray
        Images uint8 of shape (n, 28, 28), 0 is background; labels uint8 of shape (n,), 0 to 9.

    Raises
    ------
    ValueError
        The folder or a file is missing, damaged, short or does not fit its partner.
    ConnectionError
        "keras" could not be downloaded.

    Examples
    --------
    >>> x_train, y_train, x_test, y_test = load_mnist()
    >>> x_train.shape, y_test.shape
    ((4000, 28, 28), (1000,))
    """
    if source in ("bundled", "keras"):
        path = data_dir() / "mnist_5000.npz" if source == "bundled" else fetch("mnist_keras")
        with np.load(path) as file:
            return file["x_train"], file["y_train"], file["x_test"], file["y_test"]
    folder = Path(source)
    if not folder.is_dir():
        raise ValueError(f"digits are bundled, keras or a folder; there is no folder {source}")
    paths = [_find(folder, name) for name in IDX_FILES]
    missing = [name for name, path in zip(IDX_FILES, paths, strict=True) if path is None]
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)} (each may end in .gz)")
    x_train, y_train, x_test, y_test = (_read_idx(path) for path in paths if path is not None)
    for images, labels, part in ((x_train, y_train, "train"), (x_test, y_test, "t10k")):
        if len(images) != len(labels):
            raise ValueError(
                f"{folder}: {len(images)} {part} images but {len(labels)} labels; "
                "take both files from the same source"
            )
        if labels.size and labels.max() > 9:
            raise ValueError(f"{folder}: a {part} label is {labels.max()}; digits are 0 to 9")
    return x_train, y_train, x_test, y_test


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _read_idx(path: Path) -> Bytes:
    """Unpack one idx file: magic 0, 0, 8 (uint8), number of dimensions; sizes; the bytes."""
    content = unpacked(path)
    dimensions = 3 if "idx3" in path.name else 1
    magic = bytes((0, 0, 8, dimensions))
    if content[:4] != magic:
        raise ValueError(
            f"{path} is no idx file of {dimensions} dimension(s): it begins with "
            f"{content[:4].hex(' ') or 'nothing'}, not {magic.hex(' ')}"
        )
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise ValueError(f"{path} ends inside its header after {len(content)} bytes; get it again")
    shape = tuple(int(size) for size in np.frombuffer(content[4:header], dtype=">u4"))
    if shape[1:] not in ((), (SIDE, SIDE)):
        raise ValueError(f"{path} holds images of {shape[1]} x {shape[2]}; {SIDE} x {SIDE} needed")
    announced, found = int(np.prod(shape)), len(content) - header
    if announced != found:
        raise ValueError(
            f"{path} announces {shape[0]} items ({announced} bytes) but holds {found} bytes; "
            "get it again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
