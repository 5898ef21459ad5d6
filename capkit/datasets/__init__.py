"""The tables that ship, one loader a table, and the originals for whoever wants them."""

from __future__ import annotations

from pathlib import Path


def project_root() -> Path:
    """Folder that holds ``notebooks/`` and ``data/``."""
    return Path(__file__).resolve().parents[2]
