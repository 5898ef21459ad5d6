"""Read a ledger back, check that nothing in it was changed, and show where the errors come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from capkit.ledger.lock import read_lock
from capkit.ledger.measurement import entry_path, lock_path


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """The entries of every lock in ``folder``, by load.

    `ValueError` if there is no lock, a lock was changed, or an entry cites another lock or was measured before
    its own was written.
    """
    locks = sorted(folder.glob(lock_path(Path(), "*").name))
    if not locks:
        raise ValueError(f"there is no ledger in {folder}: no *.lock.json")
    for path in locks:
        lock = read_lock(path)
        for load in lock["loads"]:
            file = entry_path(folder, lock["server"], load["load"])
            if not file.is_file():
                continue
            entry: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if entry["lock"] != lock["sha256"] or entry["measured"] < lock["locked"]:
                raise ValueError(f"{file} is no measurement of the predictions in {path.name}")
            yield entry


def read_ledger(folder: Path) -> pd.DataFrame:
    """All entries as one table: `capkit.queueing.ledger_rows` with ``server``, ``load``, ``lock``, ``valid``."""
    shared = ("server", "load", "lock", "valid")
    tables = [
        pd.DataFrame(entry["rows"]).assign(**{name: entry[name] for name in shared})
        for entry in entries(folder)
    ]
    if not tables:
        raise ValueError(f"nothing is measured yet in {folder}")
    table = pd.concat(tables, ignore_index=True)
    return table[["server", "load", *table.columns.drop(list(shared)), "lock", "valid"]]


def read_parts(folder: Path) -> pd.DataFrame:
    """Means (ms) that add up to the mean latency, a row a load: predicted by the locked replay, and measured.

    ``wait_ms_in_place`` is the wait of the measured service times in one queue; the last two columns are the mean
    service time of the requests after the longest tenth of the gaps, and of those that waited longest. Columns are
    empty where the server keeps no account.
    """
    rows = [
        {
            "server": entry["server"],
            "load": entry["load"],
            **entry["parts"],
            "valid": entry["valid"],
        }
        for entry in entries(folder)
    ]
    return pd.DataFrame(rows)
