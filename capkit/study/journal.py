"""The rows of a study on disk: one line a scenario as soon as it is done, and the table at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd


class Journal:
    """A file of JSON lines that rows are appended to; a line that a kill cut short is dropped.

    A scenario that two commands did stands in it twice; its first row counts.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.jsonl"
    >>> with Journal(path) as journal:
    ...     journal.add({"scenario": 1, "x": 0.5})
    >>> _ = path.write_text(path.read_text() + '{"scenario": 2, "x"')
    >>> with Journal(path) as journal:
    ...     sorted(journal.done)
    [1]
    """

    def __init__(self, path: Path) -> None:
        path.touch()
        whole = path.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        os.truncate(path, len(whole))
        self.done: set[int] = {json.loads(line)["scenario"] for line in whole.splitlines()}
        self._path = path
        self._file = path.open("a", encoding="utf-8")

    def add(self, row: dict[str, Any]) -> None:
        """Append a scenario's row, if it is the scenario's first."""
        if row["scenario"] in self.done:
            return
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()
        self.done.add(row["scenario"])

    def table(self, first: Sequence[str]) -> pd.DataFrame:
        """All rows in the order of the scenarios; the columns ``first``, results, ``error``, ``notebook``."""
        found: dict[int, dict[str, Any]] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.setdefault(row["scenario"], row)
        rows = [found[number] for number in sorted(found)]
        last = ["error", "notebook"]
        results = dict.fromkeys(n for row in rows for n in row if n not in {*first, *last})
        return pd.DataFrame(rows, columns=[*first, *results, *last])

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
