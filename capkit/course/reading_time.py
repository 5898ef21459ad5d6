"""How long a chapter takes: one read-through in which every cell is read and run, without the exercises.

Minutes are words over a rate, a look at every figure, table and displayed formula, and the run. The rate: adults read
English non-fiction silently at 238 words a minute, most of them at 175 to 300 (Brysbaert, "How many words do we read per
minute?", Journal of Memory and Language 109, 2019, 104047), and studying a text in a second language takes some 20 %
longer than in the first (Dirix and others, "Reading text when studying in a second language", Reading Research
Quarterly, 2019, doi 10.1002/rrq.277). The course is written for readers of a second language, who study: the slow end of
that range over 1.2, rounded. A name, a number or a word in code is a word. How long somebody looks at a figure or a table
is an assumption of ours.
"""

from __future__ import annotations

import re

import pandas as pd

from capkit.course.outline import outline
from capkit.course.products import CHAPTERS, notebook_path
from capkit.datasets import project_root

WORDS_A_MINUTE = 145.0  # 175 / 1.2, rounded
FIGURE_MIN, TABLE_MIN, FORMULA_MIN = 0.5, 1 / 3, 0.5


def count_words(text: str) -> int:
    """Words, names and numbers of a text; parts of a name count, Chinese and marks do not.

    >>> count_words("A *p99* of 7.5 ms (延迟): `mean_wait = rho / (1 - rho)`")
    10
    """
    return len(re.findall(r"[A-Za-z]+[0-9]*|[0-9]+(?:[.,][0-9]+)*", text))


def run_seconds() -> dict[str, float]:
    """Seconds that each chapter took, the last column of ``benchmarks/course.md``."""
    page = (project_root() / "benchmarks" / "course.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d_\w+) \|.* ([\d.]+) \|$", page, flags=re.M)
    return {chapter: float(seconds) for chapter, seconds in rows}


def reading_time() -> pd.DataFrame:
    """One row a chapter: what there is to read and to run, the minutes computed and the minutes stated.

    Returns
    -------
    DataFrame
        Columns ``words``, ``code_words``, ``figures``, ``tables``, ``formulas`` (displayed ones), ``run_s`` (0 if it
        was not timed yet), ``minutes`` and ``stated``; the index is the chapter's number.

    >>> table = reading_time()
    >>> int(table.loc["00", "figures"]), bool((table["minutes"] > 0).all())
    (1, True)
    """
    import nbformat

    run_s, rows = run_seconds(), []
    for chapter in CHAPTERS:
        cells = nbformat.read(notebook_path(chapter), as_version=4).cells
        prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        code = [cell for cell in cells if cell.cell_type == "code"]
        shown = [output.get("data", {}) for cell in code for output in cell.outputs]
        row = {
            "words": count_words(prose),
            "code_words": sum(count_words(cell.source) for cell in code),
            "figures": sum("image/png" in data for data in shown),
            "tables": sum("text/html" in data for data in shown),
            "formulas": prose.count("$$") // 2,
            "run_s": run_s.get(chapter, 0.0),
        }
        looks = (
            FIGURE_MIN * row["figures"] + TABLE_MIN * row["tables"] + FORMULA_MIN * row["formulas"]
        )
        read = (row["words"] + row["code_words"]) / WORDS_A_MINUTE
        rows.append(row | {"minutes": read + looks + row["run_s"] / 60})
    table = pd.DataFrame(rows, index=pd.Index([c[:2] for c in CHAPTERS], name="chapter"))
    return table.assign(stated=outline()["minutes"].to_numpy())
