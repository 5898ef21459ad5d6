"""Execute the course's notebooks: `python -m capkit notebooks write|reference [NN ...]`.

``write`` runs notebooks in place and stores clean outputs: fixed cell ids, no times or versions. A
notebook whose source has not changed since its outputs were written is left alone unless it is named.
``reference`` takes the products in ``data/reference`` first, and with them what README shows: from a run at
`FULL_QUALITY` where a chapter has one, else from the run that writes the outputs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from capkit.course.products import CHAPTERS, notebook_path, reference_dir
from capkit.datasets import project_root

#: what a chapter's reference run does longer than its defaults, which fit the minute
FULL_QUALITY: dict[str, dict[str, Any]] = {
    "04_training_benchmark": {"measure_s": 10.0},
    "05_serving_benchmark": {"measure_s": 10.0},
    "06_queueing": {"measure_s": 10.0},
    "10_autoscaling_and_monitoring": {"days": 7.0},
}


def select(numbers: Iterable[str]) -> list[str]:
    """Chapters by number (``06``) or name, in the course's order; all of them for none.

    >>> select(["06", "1"])
    ['01_why_capacity_planning', '06_queueing']
    """
    wanted = list(numbers)
    found = {c for n in wanted for c in CHAPTERS if c == n or c.split("_")[0] == n.zfill(2)}
    if wanted and len(found) < len(set(wanted)):
        raise ValueError(f"no such chapter among {wanted}; the chapters are {', '.join(CHAPTERS)}")
    return [c for c in CHAPTERS if not wanted or c in found]


def source_hash(notebook: nbformat.NotebookNode) -> str:
    """Hash of everything in a notebook but its outputs."""
    digest = hashlib.sha256()
    for cell in notebook.cells:
        tags = ",".join(cell.metadata.get("tags", []))
        digest.update(f"{cell.cell_type}\0{tags}\0{cell.source}\0".encode())
    return digest.hexdigest()[:16]


def clean(notebook: nbformat.NotebookNode, chapter: str) -> nbformat.NotebookNode:
    """The same notebook with fixed cell ids and nothing in it that changes from run to run."""
    number = chapter.split("_")[0]
    for index, cell in enumerate(notebook.cells, 1):
        cell.id = f"c{number}-{index:03d}"
        tags = [t for t in cell.metadata.get("tags", []) if t != "injected-parameters"]
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "capkit": {"source": source_hash(notebook)},
        }
    )
    return notebook


def execute(
    notebook: nbformat.NotebookNode, *, environment: Mapping[str, str], folder: Path | None = None
) -> None:
    """Run every cell in a fresh kernel, in a folder or else in an empty working directory."""
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as empty:
        where = {"metadata": {"path": str(folder or empty)}}
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where)
        # One thread, as make tests it: more of them add in another order, and a last digit moves.
        client.execute(env={"OPENBLAS_NUM_THREADS": "1", **os.environ, **environment})


def keep(product: Path) -> None:
    """Put a product into the reference, if the chapter makes one."""
    if product.is_dir():
        shutil.rmtree(reference_dir() / product.name, ignore_errors=True)
        shutil.copytree(product, reference_dir() / product.name)


def take_reference(chapter: str) -> None:
    """Run a chapter at `FULL_QUALITY` and keep its product."""
    from capkit.course.run import run_chapters

    with tempfile.TemporaryDirectory() as folder:
        run_chapters([chapter], FULL_QUALITY[chapter], Path(folder), progress=False)
        keep(Path(folder) / chapter)


def write(chapter: str, *, keep_product: bool = False) -> None:
    """Execute a notebook and store it with clean outputs; ``keep_product`` renews the reference with it."""
    if keep_product and chapter in FULL_QUALITY:
        take_reference(chapter)
        keep_product = False
    path = notebook_path(chapter)
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as runs:
        execute(notebook, environment={"CAPKIT_RUNS": runs})
        if keep_product:
            keep(Path(runs) / "local" / chapter)
    nbformat.write(clean(notebook, chapter), path)


def stamp(notebook: nbformat.NotebookNode) -> str:
    """`source_hash` that a notebook's outputs were written from."""
    return str(notebook.metadata.get("capkit", {}).get("source"))


def own_source(chapter: str) -> str:
    """The `stamp` of the course's own notebook."""
    return stamp(nbformat.read(notebook_path(chapter), as_version=4))


def has_own_outputs(notebook: nbformat.NotebookNode) -> bool:
    """Whether a notebook's outputs were written from its present source."""
    return stamp(notebook) == source_hash(notebook)


def is_current(chapter: str) -> bool:
    """The same of a chapter's notebook."""
    return has_own_outputs(nbformat.read(notebook_path(chapter), as_version=4))


def main(arguments: list[str] | None = None) -> int:
    from capkit.course.outline import fill_readme

    parser = argparse.ArgumentParser(prog="python -m capkit notebooks", description=__doc__)
    parser.add_argument("action", choices=("write", "reference"))
    parser.add_argument("chapter", nargs="*", help="numbers such as 06; all without any")
    options = parser.parse_args(arguments)
    for chapter in select(options.chapter):
        keep_product = options.action == "reference"
        if not (keep_product or options.chapter or not is_current(chapter)):
            continue
        write(chapter, keep_product=keep_product)
        print(f"{options.action}: {chapter}")
    readme = project_root() / "README.md"
    readme.write_text(fill_readme(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return 0
