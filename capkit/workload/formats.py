"""The same images in four file formats: bytes, seconds, and what it costs to reach a single one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Format:
    """How images and labels are written into a folder and read back.

    Attributes
    ----------
    name : str
        As the table names it.
    write : callable(images, labels, folder)
        Images uint8 of shape (n, height, width), labels uint8 of shape (n,).
    read : callable(folder) -> (images, labels)
        All of them, in the order of writing.
    share_for_one : callable(n) -> float
        Share of the bytes that must be read to reach one image in the middle.
    """

    name: str
    write: Callable[[Bytes, Bytes, Path], None]
    read: Callable[[Path], tuple[Bytes, Bytes]]
    share_for_one: Callable[[int], float]


def _write_idx(images: Bytes, labels: Bytes, folder: Path) -> None:
    for array, name in ((images, "images.idx3"), (labels, "labels.idx1")):
        sizes = np.array(array.shape, dtype=">u4").tobytes()
        (folder / name).write_bytes(bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes())


def _read_idx(folder: Path) -> tuple[Bytes, Bytes]:
    arrays = []
    for name, dimensions in (("images.idx3", 3), ("labels.idx1", 1)):
        content = (folder / name).read_bytes()
        header = 4 + 4 * dimensions
        shape = np.frombuffer(content[4:header], dtype=">u4").astype(int)
        arrays.append(np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape))
    return arrays[0], arrays[1]


def _write_npz(images: Bytes, labels: Bytes, folder: Path) -> None:
    np.savez_compressed(folder / "digits.npz", images=images, labels=labels)


def _read_npz(folder: Path) -> tuple[Bytes, Bytes]:
    with np.load(folder / "digits.npz") as file:
        return file["images"], file["labels"]


def _write_png(images: Bytes, labels: Bytes, folder: Path) -> None:
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        PIL.Image.fromarray(image).save(folder / f"{index:06d}_{label}.png")


def _read_png(folder: Path) -> tuple[Bytes, Bytes]:
    paths = sorted(folder.iterdir())
    images = np.stack([np.asarray(PIL.Image.open(path)) for path in paths])
    return images, np.array([int(path.stem[-1]) for path in paths], dtype=np.uint8)


IDX = Format("idx (raw)", _write_idx, _read_idx, lambda n: 1 / n)
NPZ = Format("npz (deflate)", _write_npz, _read_npz, lambda n: 0.5)
PNG = Format("PNG, a file each", _write_png, _read_png, lambda n: 1 / n)


def tfrecord(tensorflow: Any) -> Format:
    """TFRecord: one record an image, the label its first byte; read through ``tf.data`` in batches."""

    def write(images: Bytes, labels: Bytes, folder: Path) -> None:
        with tensorflow.io.TFRecordWriter(str(folder / "digits.tfrecord")) as file:
            for image, label in zip(images, labels, strict=True):
                file.write(label.tobytes() + image.tobytes())

    def read(folder: Path) -> tuple[Bytes, Bytes]:
        records = tensorflow.data.TFRecordDataset(str(folder / "digits.tfrecord")).batch(256)
        decoded = records.map(lambda batch: tensorflow.io.decode_raw(batch, tensorflow.uint8))
        flat = np.concatenate(list(decoded.as_numpy_iterator()))
        side = int(np.sqrt(flat.shape[1] - 1))
        return flat[:, 1:].reshape(-1, side, side), flat[:, 0]

    return Format("TFRecord", write, read, lambda n: 0.5)


def compare_formats(
    formats: Sequence[Format], images: Bytes, labels: Bytes, folder: Path, *, repeats: int = 3
) -> pd.DataFrame:
    """Write and read the same images in each format; the best of ``repeats`` reads counts.

    The files are read again at once, from the page cache: what is compared is the work of the format, not
    the disk.

    Returns
    -------
    DataFrame
        Index ``format``: ``files``; ``bytes_per_image``, labels and headers included; ``mb_per_s`` of
        pixels read; ``cpu_us_per_image`` over all threads; ``bytes_for_one``, which must be read on average
        to reach a single image at random (a raw file is indexed by arithmetic, a compressed or chained one
        is read up to it).

    Raises
    ------
    ValueError
        The images are not uint8 of shape (n, side, side), or come back changed.

    >>> import tempfile
    >>> digits = np.arange(2 * 16, dtype=np.uint8).reshape(2, 4, 4)
    >>> table = compare_formats([IDX], digits, digits[:, 0, 0], Path(tempfile.mkdtemp()))
    >>> float(table.loc["idx (raw)", "bytes_per_image"])
    29.0
    """
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"images must be uint8 (n, side, side), got {images.dtype} {images.shape}")
    rows = {}
    for kind in formats:
        place = folder / kind.name.split()[0].rstrip(",")
        place.mkdir()
        kind.write(images, labels, place)
        seconds, cpu = np.inf, np.inf
        for _ in range(repeats):
            started, used = time.perf_counter(), time.process_time()
            back = kind.read(place)
            seconds = min(seconds, time.perf_counter() - started)
            cpu = min(cpu, time.process_time() - used)
        if not (np.array_equal(back[0], images) and np.array_equal(back[1], labels)):
            raise ValueError(f"{kind.name}: the images came back changed")
        files = [path.stat().st_size for path in place.iterdir()]
        rows[kind.name] = (
            len(files),
            sum(files) / len(images),
            images.nbytes / 1e6 / seconds,
            cpu / len(images) * 1e6,
            sum(files) * kind.share_for_one(len(images)),
        )
    columns = ["files", "bytes_per_image", "mb_per_s", "cpu_us_per_image", "bytes_for_one"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("format")
