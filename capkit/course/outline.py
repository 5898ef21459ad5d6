"""The map of the course, read from the notebooks themselves."""

from __future__ import annotations

import json
import re

import nbformat
import pandas as pd

from capkit.course.notebooks import notebook_path
from capkit.course.products import CHAPTERS, reference_dir


def outline() -> pd.DataFrame:
    """One row a chapter: its title, the question it answers, its product, the minutes it takes.

    Returns
    -------
    DataFrame
        Columns ``chapter``, ``title``, ``question``, ``product`` (schema; empty for none), ``minutes``.

    Examples
    --------
    >>> outline().loc[6, ["title", "product"]].tolist()
    ['Queueing', 'queueing_model@1']
    """
    rows = []
    for chapter in CHAPTERS:
        notebook = nbformat.read(notebook_path(chapter), as_version=4)
        text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        title, question = re.findall(r"\A# \d\d (.+?)\n\n(.+?)\n\n", text, flags=re.DOTALL)[0]
        question = re.sub(r"\s+", " ", question.replace("*", "")).removeprefix("The question: ")
        product = reference_dir() / chapter / "product.json"
        rows.append(
            {
                "chapter": chapter[:2],
                "title": title,
                "question": question[0].upper() + question[1:],
                "product": json.loads(product.read_text())["schema"] if product.is_file() else "",
                "minutes": int(re.findall(r"\*\*Minutes:?\*\*:? *(\d+)", text)[0]),
            }
        )
    return pd.DataFrame(rows)
