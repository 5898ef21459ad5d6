"""Where the shipped files lie, and whether they are what the manifest recorded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def project_root() -> Path:
    """Folder that holds ``notebooks/`` and ``data/``."""
    return Path(__file__).resolve().parents[2]


def data_dir() -> Path:
    """Folder of the tables that ship; a run never writes into it.

    >>> data_dir().name
    'data'
    """
    return project_root() / "data"


def checksums() -> dict[str, str]:
    """Recorded sha256 of every shipped table, by file name (``data/manifest.json``).

    >>> "catalogue.csv" in checksums()
    True
    """
    manifest = json.loads((data_dir() / "manifest.json").read_text(encoding="utf-8"))
    return {name: entry["sha256"] for name, entry in manifest.items()}


def verify() -> list[str]:
    """Compare the shipped tables with the manifest; one sentence a problem, none if all is well.

    >>> verify()
    []
    """
    problems = []
    for name, recorded in checksums().items():
        path = data_dir() / name
        if not path.is_file():
            problems.append(f"data/{name} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != recorded:
            problems.append(f"data/{name} differs from its recorded checksum")
    return problems
