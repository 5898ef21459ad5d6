"""``manifest.json``: what a run was made with, and what it has finished so far."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from capkit import datasets, telemetry

NAME = "manifest.json"


def now() -> str:
    """The time, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def sha256(path: Path) -> str:
    """Checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _surroundings() -> dict[str, Any]:
    command = ["git", "-C", str(datasets.project_root()), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        revision = done.stdout.strip()
    except FileNotFoundError:
        revision = ""
    return {
        "revision": revision or "unknown",
        "python": platform.python_version(),
        "versions": {
            d.metadata["Name"]: d.version
            for d in sorted(metadata.distributions(), key=lambda d: d.name.lower())
        },
        "machine": telemetry.machine(),
    }


def digest(content: Any) -> str:
    """sha256 of something that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def files(parameters: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of every file that a parameter names, by path."""
    given = {Path(value) for value in parameters.values() if isinstance(value, str) and value}
    return {str(path): sha256(path) for path in sorted(given) if path.is_file()}


def provenance(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Revision, versions, machine, and the sha256 of the tables and of the parameters' files, as they lie here."""
    paths = {name: datasets.data_dir() / name for name in datasets.checksums()}
    tables = {name: sha256(path) for name, path in paths.items() if path.is_file()}
    return {**_surroundings(), "data": tables | files(parameters)}


def read(folder: Path) -> dict[str, Any]:
    """The manifest in a folder; empty without one."""
    path = folder / NAME
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Write it under a temporary name, then rename it."""
    partial = folder / f".{NAME}.{os.getpid()}"
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / NAME)
