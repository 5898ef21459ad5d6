"""A lock: predictions in a file, written before the measurement and never changed after."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def now() -> str:
    """The time, UTC, to the millisecond; such times sort as text."""
    seconds, part = divmod(time.time_ns() // 1_000_000, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{part:03d}Z"


def digest(content: Mapping[str, Any]) -> str:
    """sha256 of a lock's content, its own ``sha256`` left out: JSON with sorted keys and no spaces.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1, "sha256": "?"})
    True
    """
    rest = {name: value for name, value in content.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON under a temporary name, then rename it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def write_lock(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write a lock with the time (``locked``) and the hash (``sha256``); `ValueError` if there is one.

    Returns the lock.
    """
    if path.exists():
        raise ValueError(
            f"{path} is there already, and a lock is written once: take another folder"
        )
    stamped = {**content, "locked": now()}
    lock = {**stamped, "sha256": digest(stamped)}
    write_json(path, lock)
    return lock


def read_lock(path: Path) -> dict[str, Any]:
    """A lock as it was written; `ValueError` if it has been changed since."""
    lock: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if digest(lock) != lock.get("sha256"):
        raise ValueError(f"{path} was changed after it was locked: predict and measure anew")
    return lock
