"""The map of the course, read from the notebooks themselves."""

from __future__ import annotations

import json
import re

import pandas as pd

from capkit.course.products import CHAPTERS, notebook_path, reference_dir


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
    import nbformat

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


def fill_readme(text: str) -> str:
    """README with its two computed parts: the map of chapters and the reference run's plan.

    Parameters
    ----------
    text : str
        Markdown with the parts between ``<!-- chapters -->``, ``<!-- plan -->`` and their ``/`` ends.
    """
    lines = ["| chapter | the question | minutes |", "|---|---|---|"]
    for chapter, row in zip(CHAPTERS, outline().itertuples(), strict=True):
        link = f"[{row.chapter} {row.title}](notebooks/{chapter}.ipynb)"
        lines.append(f"| {link} | {row.question} | {row.minutes} |")
    plan = (reference_dir() / "09_capacity_plan" / "plan.md").read_text(encoding="utf-8")
    parts = {"chapters": "\n".join(lines), "plan": re.sub(r"^#", "###", plan.strip(), flags=re.M)}
    for name, part in parts.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if start not in text or end not in text:
            raise ValueError(f"README has no part marked {name}")
        before, rest = text.split(start, 1)
        text = f"{before}{start}\n{part}\n\n{end}{rest.split(end, 1)[1]}"
    return text
