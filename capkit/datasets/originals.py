"""The originals behind the shipped tables, where one file at its source is the original."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

GITHUB = "https://raw.githubusercontent.com"
AZURE = f"{GITHUB}/Azure/AzurePublicDataset/b469a113cedca53ddc3bdea71a143dc4b7d8700c/data"
MNIST = f"{GITHUB}/fgnt/mnist/ae608a02b796c9ee908c082585a5f006fe05258e"


@dataclass(frozen=True)
class Original:
    """One file at its source.

    Attributes
    ----------
    url, sha256 : str
        Address of a fixed version, and the checksum of what it gives.
    local : str
        Name of the file below the folder that ``CAPKIT_DATA`` names.
    unpacked_sha256 : str
        Checksum of the content without gzip, for a copy that was packed anew.
    """

    url: str
    sha256: str
    local: str
    unpacked_sha256: str


def _plain(url: str, sha256: str, local: str) -> Original:
    return Original(url, sha256, local, sha256)


def _digits(file: str, sha256: str, unpacked_sha256: str) -> Original:
    return Original(f"{MNIST}/{file}", sha256, f"mnist/{file}", unpacked_sha256)


ORIGINALS: dict[str, Original] = {
    "azure_llm_2023_chat": _plain(
        f"{AZURE}/AzureLLMInferenceTrace_conv.csv",
        "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
        "azure_llm_2023_conv.csv.gz",
    ),
    "azure_llm_2023_code": _plain(
        f"{AZURE}/AzureLLMInferenceTrace_code.csv",
        "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
        "azure_llm_2023_code.csv.gz",
    ),
    "appserver_requests_hourly": _plain(
        f"{GITHUB}/vsaveris/application-server-traffic-forecasting/"
        "fe461f80deb433555242cef706d73ee3b0ec3a54/data/processed/traffic_stats_HOURLY_CHs.csv",
        "f9a7efd4ab6df5446d4af6e606e165405e9ded551fffdb9252e9432ca3eff30b",
        "appserver_requests_hourly.csv.gz",
    ),
    "asg_cpu": _plain(
        f"{GITHUB}/numenta/NAB/ea702d75cc2258d9d7dd35ca8e5e2539d71f3140/data/realKnownCause/"
        "cpu_utilization_asg_misconfiguration.csv",
        "58ba65dc0737cfbac11b51514476d50c438d44011232144bb8d93f392df58f9f",
        "nab_cpu_utilization_asg_5min.csv.gz",
    ),
    "mnist_train_images": _digits(
        "train-images-idx3-ubyte.gz",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "mnist_train_labels": _digits(
        "train-labels-idx1-ubyte.gz",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "mnist_test_images": _digits(
        "t10k-images-idx3-ubyte.gz",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "mnist_test_labels": _digits(
        "t10k-labels-idx1-ubyte.gz",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "mnist_keras": _plain(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        "mnist/mnist.npz",
    ),
}


def fetch(name: str) -> Path:
    """Path of an original: from the folder ``CAPKIT_DATA`` names, else downloaded once and kept.

    Either way the checksum is compared. The course needs none of them.

    Parameters
    ----------
    name : str
        A key of `ORIGINALS`.

    Raises
    ------
    ValueError
        The name is not known, or the file is not the original (its checksum differs).
    ConnectionError
        The download failed; the message says what works without it.

    Examples
    --------
    >>> fetch("prices")
    Traceback (most recent call last):
    ...
    ValueError: no original is called 'prices'; there are appserver_requests_hourly, asg_cpu, ...
    """
    if name not in ORIGINALS:
        raise ValueError(
            f"no original is called {name!r}; there are {', '.join(sorted(ORIGINALS))} "
            "(data/README.md names the sources of the other tables)"
        )
    original = ORIGINALS[name]
    folder = os.environ.get("CAPKIT_DATA")
    if folder and (path := Path(folder) / original.local).is_file():
        if hashlib.sha256(unpacked(path)).hexdigest() != original.unpacked_sha256:
            raise ValueError(f"{path} is not the original: its checksum differs; delete it")
        return path
    return _download(name, original)


def unpacked(path: Path) -> bytes:
    """Content of a file, without gzip where it is packed.

    Raises
    ------
    ValueError
        The packed content is damaged or cut off.
    """
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut off ({error}); get it again") from error


def _download(name: str, original: Original) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        path = pooch.retrieve(
            original.url,
            known_hash=original.sha256,
            fname=original.url.rsplit("/", 1)[1],
            path=pooch.os_cache("capkit"),
            progressbar=True,
        )
    except OSError as error:
        raise ConnectionError(
            f"{name} could not be downloaded from {original.url} ({type(error).__name__}). "
            "Every chapter works without it, on the tables in data/ and the bundled digits. "
            f"Or set CAPKIT_DATA to a folder that holds it as {original.local}"
        ) from error
    return Path(path)
