"""Build the book: `python book/build.py`, or `make book`. It opens from disk: build/book/html/index.html.

The sources are staged below ``build/book`` and rendered by Sphinx, once as pages and once as slides, with
what the installed packages bring: no network. A warning of Sphinx is an error.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from pathlib import Path

import nbformat
import slides
from nbformat import NotebookNode
from sphinx.cmd.build import main as sphinx

from capkit import course
from capkit.course import which_model
from capkit.course.products import notebook_path
from capkit.course.reading_time import reading_time

BOOK = Path(__file__).parent
ROOT = BOOK.parent
#: what a page with equations loads; the rest of MathJax stays in its package
MATHJAX = ("tex-chtml.js", "a11y", "input/tex/extensions", "output/chtml/fonts", "sre")


def with_alternatives(notebook: NotebookNode) -> NotebookNode:
    """Say each figure's alternative text where MyST-NB looks for it, at the cell."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                cell.metadata["mystnb"] = {"image": {"alt": alt}}
    return notebook


def put(notebook: NotebookNode, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(with_alternatives(notebook), path)


def contents() -> str:
    """The table of the chapters, with the slides and the notebook of each."""
    lines = ["| chapter | the question | minutes | to take along |", "|---|---|---:|---|"]
    for chapter, row in zip(course.CHAPTERS, course.outline().itertuples(), strict=True):
        page = f"[{row.chapter} {row.title}](notebooks/{chapter}.ipynb)"
        along = f"[slides](slides:{chapter}), [notebook](source:{chapter})"
        lines.append(f"| {page} | {row.question} | {row.minutes} | {along} |")
    return "\n".join(lines)


def minutes() -> str:
    """The table of what there is to read and to run in each chapter, and the minutes that it takes."""
    table = reading_time().drop(columns="formulas").round(0).astype(int).reset_index()
    lines = ["| chapter | words | in code | figures | tables | run (s) | computed | stated |"]
    lines.append("|---|" + "---:|" * (len(table.columns) - 1))
    lines += [f"| {' | '.join(map(str, row))} |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def toctree(caption: str, names: list[str]) -> str:
    entries = "\n".join(name.rsplit(".", 1)[0] for name in names)
    return f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def stage(pages: Path, decks: Path) -> None:
    """Lay out the sources of the pages and of the slides."""
    for folder in (pages, decks):
        shutil.rmtree(folder, ignore_errors=True)
    exercises = [
        f"notebooks/exercises/{p.name}"
        for p in sorted((ROOT / "notebooks/exercises").glob("*.ipynb"))
    ]
    chapters = [f"notebooks/{c}.ipynb" for c in course.CHAPTERS]
    figures = sorted(f"benchmarks/{p.name}" for p in (ROOT / "benchmarks").glob("*.md"))
    reference = ["notebooks/glossary.md", "data/README.md"]
    teaching = ["docs/teaching.md", "docs/which_model.md"]
    for name in [*chapters, *exercises]:
        put(nbformat.read(ROOT / name, as_version=4), pages / name)
    for name in [*reference, *figures, *teaching, which_model.FIGURE]:
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, pages / name)
    guide = pages / teaching[0]
    text = guide.read_text(encoding="utf-8").replace("<!-- minutes -->", minutes())
    guide.write_text(text, encoding="utf-8")
    trees = {
        "Chapters": chapters,
        "Exercises": exercises,
        "Teaching": teaching,
        "Reference": reference,
        "Measured": figures,
    }
    index = (BOOK / "index.md").read_text(encoding="utf-8").replace("<!-- chapters -->", contents())
    index += "\n".join(toctree(caption, names) for caption, names in trees.items() if names)
    (pages / "index.md").write_text(index, encoding="utf-8")
    for chapter in course.CHAPTERS:
        put(
            slides.deck(nbformat.read(notebook_path(chapter), as_version=4)),
            decks / f"{chapter}.ipynb",
        )


def add_mathjax(static: Path) -> None:
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    package = Path(spec.origin).parent / "static" / "mathjax"
    for name in MATHJAX:
        copy = shutil.copytree if (package / name).is_dir() else shutil.copy
        (static / "mathjax" / name).parent.mkdir(parents=True, exist_ok=True)
        copy(package / name, static / "mathjax" / name)


def build(folder: Path) -> Path:
    """Build pages and slides below ``folder``; the address of the first page."""
    pages, decks, html = folder / "pages", folder / "decks", folder / "html"
    stage(pages, decks)
    shutil.rmtree(html, ignore_errors=True)
    common = ["-q", "-W", "--keep-going", "-c", str(BOOK)]
    deeper = [
        "-D",
        "root_doc=" + course.CHAPTERS[0],
        "-D",
        "mathjax_path=../../_static/mathjax/tex-chtml.js",
    ]
    for failed in (
        sphinx([*common, "-d", str(folder / "doctrees"), "-b", "html", str(pages), str(html)]),
        sphinx(
            [
                *common,
                *deeper,
                "-d",
                str(folder / "slidetrees"),
                "-b",
                "revealjs",
                str(decks),
                str(html / "slides"),
            ]
        ),
    ):
        if failed:
            raise SystemExit("the book has warnings, see above")
    add_mathjax(html / "_static")
    for rendered in (html, html / "slides"):
        shutil.rmtree(rendered / "jupyter_execute", ignore_errors=True)
    for staged in (html / "_sources" / "notebooks").rglob("*.ipynb"):
        shutil.copy(
            ROOT / "notebooks" / staged.relative_to(html / "_sources" / "notebooks"), staged
        )
    return html / "index.html"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python book/build.py", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "book", help="folder (default: build/book)"
    )
    print(f"open {build(parser.parse_args(arguments).out.resolve())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
