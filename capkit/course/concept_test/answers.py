"""The answers of a class: the sheet to print, and CSV files with one row a learner and sitting."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from capkit.course.concept_test.questions import LETTERS, QUESTIONS
from capkit.course.rows import read_rows

SITTINGS = ("before", "after")
ASKED = [f"q{number}" for number in range(1, len(QUESTIONS) + 1)]
COLUMNS = ["learner", "when", *ASKED]


def sheet() -> str:
    """The test as Markdown, to print or to show: questions and options, no answers.

    >>> print(sheet().splitlines()[4][:40])
    **1.** Two servers share the requests, h
    """
    lines = ["# Concept test", "", "One letter a question. No letter is better than a guess.", ""]
    for number, question in enumerate(QUESTIONS, 1):
        lines += [f"**{number}.** {question.text}", ""]
        options = zip(LETTERS, question.options, strict=True)
        lines += [f"- {letter}) {option.text}" for letter, option in options] + [""]
    return "\n".join(lines)


def ask(read: Callable[[str], str]) -> list[str]:
    """Put the questions one by one; the letters, empty where none was given.

    Parameters
    ----------
    read : callable
        Shows a prompt and returns what was typed, as `input` does.
    """
    given = []
    for number, question in enumerate(QUESTIONS, 1):
        print(f"\n{number} of {len(QUESTIONS)}. {question.text}\n")
        for letter, option in zip(LETTERS, question.options, strict=True):
            print(f"  {letter}) {option.text}")
        while (letter := read("a, b, c, d, or nothing: ").strip().lower()) not in ("", *LETTERS):
            print("One of the letters, please, or nothing.")
        given.append(letter)
    return given


def prepare(path: Path, learner: str, when: str) -> None:
    """Make the folder of a file, and see that `keep` can add a row to it: to be known before the questions.

    Raises
    ------
    ValueError
        The file is not one of answers, has other columns, or has the learner's row.
    OSError
        The folder cannot be made, or the file not be written.
    """
    if path.exists():
        rows = read_answers([path])
        if ((rows["learner"] == learner) & (rows["when"] == when)).any():
            raise ValueError(f"{learner!r} has a row {when!r} in {path}")
        if (columns := list(read_rows(path))) != COLUMNS:
            raise ValueError(
                f"{path} has the columns {', '.join(columns)}; to add to it, it must have {', '.join(COLUMNS)}"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written")


def keep(path: Path, learner: str, when: str, given: Iterable[str]) -> None:
    """Add a learner's answers to a file; it is made, with its header, if it is not there."""
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(COLUMNS)
        rows.writerow([learner, when, *given])


def read_answers(paths: Iterable[Path]) -> pd.DataFrame:
    """The answers of one or more files: columns ``learner``, ``when``, ``q1`` to ``q10``, as text.

    Raises
    ------
    ValueError
        No such file, a column is missing, a value has no column, a sitting or a letter is none, or a learner has two
        rows of one sitting.
    """
    tables = []
    for path in paths:
        table = read_rows(path)
        if missing := [name for name in COLUMNS if name not in table]:
            raise ValueError(
                f"{path}: no column {', '.join(missing)}; needed are {', '.join(COLUMNS)}"
            )
        table = table[COLUMNS].copy()
        table[["when", *ASKED]] = table[["when", *ASKED]].apply(lambda column: column.str.lower())
        for name, allowed in {"when": SITTINGS, **dict.fromkeys(ASKED, ("", *LETTERS))}.items():
            wrong = table.index[~table[name].isin(allowed)]
            if len(wrong):
                raise ValueError(
                    f"{path}, row {wrong[0] + 1} below the header, column {name!r}: "
                    f"{table[name][wrong[0]]!r}; allowed are {', '.join(filter(None, allowed))}"
                )
        tables.append(table)
    answers = pd.concat(tables, ignore_index=True)
    twice = answers.duplicated(["learner", "when"])
    if twice.any():
        learner, when = answers.loc[twice, ["learner", "when"]].iloc[0]
        raise ValueError(f"{learner!r} has more than one row {when!r}: keep the first one")
    return answers
