"""Tables that people type or a spreadsheet exports: CSV files as text, in which no row may be longer than the header."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd


def read_rows(path: Path) -> pd.DataFrame:
    """A CSV file as text, without blanks around its values.

    Commas at the end of a line and lines without a value, which a spreadsheet adds, do not count. What a short row
    lacks is empty.

    Raises
    ------
    ValueError
        No such file; not CSV; a column twice; a value that no column is for. The row is named.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "roster.csv"
    >>> _ = path.write_text("team,seed,,\\nred,1,,\\nblue\\n")
    >>> read_rows(path).to_dict("records")
    [{'team': 'red', 'seed': '1'}, {'team': 'blue', 'seed': ''}]
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            read = map(_stripped, csv.reader(file, strict=True, skipinitialspace=True))
            lines = [values for values in read if values]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    header, rows = (lines[0], lines[1:]) if lines else ([], [])
    for name in header:
        if header.count(name) > 1:
            raise ValueError(f"{path}: column {name!r} is there twice")
    for number, row in enumerate(rows, 1):
        if surplus := row[len(header) :]:
            raise ValueError(
                f"{path}, row {number} below the header: a value too many, {surplus[0]!r}; "
                f"the columns are {', '.join(header)}"
            )
        row += [""] * (len(header) - len(row))
    return pd.DataFrame(rows, columns=header, dtype=str)


def _stripped(line: list[str]) -> list[str]:
    """The values of a line up to the last that is not empty."""
    values = [value.strip() for value in line]
    while values and not values[-1]:
        values.pop()
    return values
