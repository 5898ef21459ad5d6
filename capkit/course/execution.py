"""Execute chapters through papermill in order of need, each product handed on through the run folder.

A chapter is done when its notebook ran to the end and its product lies complete in the run folder;
``manifest.json`` says so, and with what. Everything is written under a temporary name first, so that a
run may be killed at any moment and goes on from there.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from capkit.course import manifest
from capkit.course.inspection import inspect
from capkit.course.notebooks import source_hash
from capkit.course.pages import write_notebook
from capkit.course.products import CHAPTERS, Product, is_fresh, notebook_path, product_of


class ChapterError(RuntimeError):
    """A cell of a chapter raised an error, or its kernel died.

    Attributes
    ----------
    chapter : str
        Which chapter.
    notebook : Path
        The notebook as far as it came, with the error in it.
    """

    def __init__(self, chapter: str, notebook: Path, reason: str) -> None:
        super().__init__(f"{chapter} stopped: {reason}; its notebook: {notebook}")
        self.chapter, self.notebook, self.reason = chapter, notebook, reason


def in_order_of_need(chapters: Iterable[str]) -> list[str]:
    """Chapters in the order of a run: those from 03 on, then the tour, 00 to 02.

    The tour is read first and shows what later chapters make. Run first, it would show the reference's
    products, and would be out of date as soon as the run had its own.

    >>> in_order_of_need(["00_start_here", "03_workload_analysis", "09_capacity_plan"])
    ['03_workload_analysis', '09_capacity_plan', '00_start_here']
    """
    return sorted(chapters, key=lambda chapter: (chapter < "03", chapter))


def run_chapters(
    chapters: Sequence[str],
    parameters: Mapping[str, Any],
    out: Path,
    *,
    progress: bool = True,
    resume: bool = False,
    notebooks: Path | None = None,
) -> dict[str, float]:
    """Execute chapters in order of need (`in_order_of_need`) into ``out``, and write each as HTML beside it.

    Parameters
    ----------
    chapters : sequence of str
        Chapter names.
    parameters : mapping
        Values of registered parameters; each notebook gets those that it declares.
    out : Path
        The run folder.
    progress : bool
        Show a bar for the chapters and one for the cells.
    resume : bool
        Leave out the chapters that are done: same notebook, same values, product whole, inputs unchanged.
    notebooks : Path, optional
        Folder of the notebooks, if not the course's own.

    Returns
    -------
    dict
        Seconds that each executed chapter took.

    Raises
    ------
    ChapterError
        A cell failed or the kernel died; the chapters before it stay done.
    """
    from tqdm.auto import tqdm

    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    record = manifest.read(out)
    done: dict[str, Any] = record.get("chapters", {})
    record = {
        "started": record.get("started", manifest.now()) if resume else manifest.now(),
        "finished": None,
        "wanted": list(chapters),
        "notebooks": notebooks and str(notebooks.resolve()),
        "parameters": dict(parameters),
        "chapters": done,
        **manifest.provenance(parameters),
    }
    seconds: dict[str, float] = {}
    for chapter in tqdm(in_order_of_need(chapters), desc="chapters", disable=not progress):
        source = source_path(chapter, notebooks)
        declared = inspect([source])
        values = {name: value for name, value in parameters.items() if name in declared}
        if resume and is_done(out, chapter, done.get(chapter), source, values):
            continue
        for outdated in (chapter, *_pages_after(chapter, done)):
            done.pop(outdated, None)
        manifest.write(out, record)
        done[chapter] = _execute(source, chapter, values, out, progress=progress)
        seconds[chapter] = done[chapter]["seconds"]
        manifest.write(out, record)
    record["finished"] = manifest.now()
    manifest.write(out, record)
    return seconds


def _pages_after(chapter: str, done: Mapping[str, Any]) -> list[str]:
    """Finished chapters that come later and have no product, which would say what they were made from."""
    order = in_order_of_need(CHAPTERS)
    later = order[order.index(chapter) + 1 :]
    return [c for c in later if c in done and done[c]["product"] is None]


def source_path(chapter: str, folder: Path | None = None) -> Path:
    """A chapter's notebook in a folder, or the course's own; `ValueError` if it is not there."""
    path = folder / f"{chapter}.ipynb" if folder else notebook_path(chapter)
    if not path.is_file():
        raise ValueError(f"there is no notebook {path}")
    return path


def is_done(
    out: Path,
    chapter: str,
    entry: Mapping[str, Any] | None,
    source: Path,
    values: Mapping[str, Any],
) -> bool:
    """Whether a chapter needs no other run: see ``resume`` in `run_chapters`."""
    if entry is None or any(entry[key] != value for key, value in _inputs(source, values).items()):
        return False
    if not all((out / f"{chapter}{end}").is_file() for end in (".ipynb", ".html")):
        return False
    product = product_of(out, chapter)
    if product is None:
        return entry["product"] is None
    return product.sha256 == entry["product"] and is_fresh(out, product) and _is_whole(product)


def _is_whole(product: Product) -> bool:
    files = json.loads((product.folder / "product.json").read_text(encoding="utf-8"))["files"]
    paths = {product.folder / name: recorded for name, recorded in files.items()}
    return all(p.is_file() and manifest.sha256(p) == recorded for p, recorded in paths.items())


def _inputs(notebook: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    import nbformat

    source = source_hash(nbformat.read(notebook, as_version=4))
    return {"source": source, "parameters": dict(values), "files": manifest.files(values)}


def _execute(
    source: Path, chapter: str, values: Mapping[str, Any], out: Path, *, progress: bool
) -> dict[str, Any]:
    """Run one notebook; what the manifest says about it."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    for leftover in out.glob(f".{chapter}.*"):  # a product that a killed run was writing
        shutil.rmtree(leftover)
    partial, notebook = out / f"{chapter}.partial.ipynb", out / f"{chapter}.ipynb"
    started = time.perf_counter()
    try:
        executed = papermill.execute_notebook(
            str(source),
            str(partial),
            parameters={"run_dir": str(out), **values},
            cwd=str(out),
            progress_bar={"desc": chapter} if progress else False,
            kernel_name="python3",
        )
    except papermill.PapermillExecutionError as error:
        raise ChapterError(chapter, partial, f"{error.ename}: {error.evalue}") from error
    except DeadKernelError as error:
        raise ChapterError(
            chapter, partial, "its kernel died, perhaps for want of memory"
        ) from error
    partial.replace(notebook)
    write_notebook(notebook)
    product = product_of(out, chapter)
    return {
        "finished": manifest.now(),
        "seconds": round(time.perf_counter() - started, 1),
        "cell_seconds": round(
            sum(cell.metadata.papermill.get("duration") or 0.0 for cell in executed.cells), 1
        ),
        "product": product and product.sha256,
        **_inputs(source, values),
    }
