"""Products: what a chapter hands to the next one.

A product is a folder ``run_dir/NN_name`` with a ``product.json`` (schema, parameters, sha256 of every
input product, where it was measured, the data) and, beside it, CSV tables and files. The same
parameters and seed give the same bytes; times and versions go to ``manifest.json``, which is not part
of the product's hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from capkit.datasets import project_root

CHAPTERS = (
    "00_start_here",
    "01_why_capacity_planning",
    "02_architecture_resources_metrics",
    "03_workload_analysis",
    "04_training_benchmark",
    "05_serving_benchmark",
    "06_queueing",
    "07_forecasting",
    "08_cost_optimization",
    "09_capacity_plan",
    "10_autoscaling_and_monitoring",
    "11_capstone",
)


class StaleProductError(RuntimeError):
    """A product was made from an input that has changed since."""


@dataclass(frozen=True)
class Product:
    """One chapter's product, as read from disk.

    Attributes
    ----------
    chapter, schema : str
        Folder name (``06_queueing``) and ``name@version`` of the data.
    data : dict
        The product itself; units are in the keys.
    parameters : dict
        The notebook's parameters when it was made.
    inputs : dict of str
        sha256 of each input product by chapter.
    measured : dict or None
        Server back end and machine, where something was measured.
    folder : Path
        Where it lies.
    sha256 : str
        Hash of ``product.json``, which holds the hashes of all its files.
    """

    chapter: str
    schema: str
    data: dict[str, Any]
    parameters: dict[str, Any]
    inputs: dict[str, str]
    measured: dict[str, Any] | None
    folder: Path = field(repr=False)
    sha256: str

    def table(self, name: str) -> pd.DataFrame:
        """Read the CSV table ``name`` that lies beside the product."""
        return pd.read_csv(self.path(f"{name}.csv"))

    def path(self, name: str) -> Path:
        """Path of the file or folder ``name`` of this product."""
        path = self.folder / name
        if not path.exists():
            present = ", ".join(sorted(p.name for p in self.folder.iterdir()))
            raise FileNotFoundError(f"{self.chapter} has no {name}; it has: {present}")
        return path


def notebook_path(chapter: str) -> Path:
    """Path of a chapter's notebook."""
    return project_root() / "notebooks" / f"{chapter}.ipynb"


def reference_dir() -> Path:
    """Folder of the reference run that ships."""
    return project_root() / "data" / "reference"


def resolve_run_dir(run_dir: str | Path) -> Path:
    """Folder that a run writes to: ``runs/local`` if empty; relative to the project, never to the notebook.

    The environment variable ``CAPKIT_RUNS`` moves ``runs`` elsewhere; a relative path lies below the working directory.
    """
    runs = Path(os.environ.get("CAPKIT_RUNS") or project_root() / "runs")
    if not str(run_dir):
        return runs / "local"
    return project_root() / Path(run_dir).expanduser()


def _read(folder: Path) -> Product:
    raw = (folder / "product.json").read_bytes()
    content = json.loads(raw)
    return Product(
        chapter=content["chapter"],
        schema=content["schema"],
        data=content["data"],
        parameters=content["parameters"],
        inputs=content["inputs"],
        measured=content["measured"],
        folder=folder,
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def _find(run_dir: str | Path, chapter: str) -> Product:
    if chapter not in CHAPTERS:
        raise ValueError(f"no chapter {chapter!r}; the chapters are {', '.join(CHAPTERS)}")
    if str(run_dir):
        folder = resolve_run_dir(run_dir) / chapter
        if (folder / "product.json").is_file():
            return _read(folder)
    folder = reference_dir() / chapter
    if not (folder / "product.json").is_file():
        raise FileNotFoundError(
            f"{chapter} has no product yet: run notebooks/{chapter}.ipynb first"
        )
    return _read(folder)


def load(run_dir: str | Path, chapter: str) -> Product:
    """Read a chapter's product, from the run if it is there, else from the reference run (and say so).

    Raises
    ------
    ValueError
        No such chapter.
    StaleProductError
        An input of this product has changed since; the message names the chapter to run again.
    """
    product = _find(run_dir, chapter)
    if product.folder.parent == reference_dir():
        print(f"{chapter}: taken from the reference run")
    for name in _changed_inputs(run_dir, product):
        raise StaleProductError(
            f"{chapter} was made from another {name} than the one here now: run {chapter} again"
        )
    return product


def _changed_inputs(run_dir: str | Path, product: Product) -> list[str]:
    return [n for n, sha256 in product.inputs.items() if _find(run_dir, n).sha256 != sha256]


def is_fresh(run_dir: str | Path, product: Product) -> bool:
    """Whether the products that it was made from are still the ones here."""
    return not _changed_inputs(run_dir, product)


def product_of(run_dir: str | Path, chapter: str) -> Product | None:
    """The product that a run itself made of a chapter, the reference run left aside; None without one."""
    folder = resolve_run_dir(run_dir) / chapter
    return _read(folder) if (folder / "product.json").is_file() else None


def existing_run(run_dir: str | Path) -> str:
    """The folder of a run that must be there: for whoever reads a run and writes none.

    `load` takes what a run lacks from the reference run; a misspelt folder lacks everything.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or no product in it. Empty stands for the reference run and passes.

    Examples
    --------
    >>> existing_run("runs/misspelt")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: no product of a run in .../runs/misspelt; give the folder that `run --out` named
    """
    if str(run_dir) and not any(product_of(run_dir, chapter) for chapter in CHAPTERS):
        raise FileNotFoundError(
            f"no product of a run in {resolve_run_dir(run_dir)}; give the folder that `run --out` named"
        )
    return str(run_dir)


def reference(chapter: str) -> Product:
    """The product of the reference run: what ``measure = False`` takes its measurements from."""
    return _find("", chapter)


def save(
    run_dir: str | Path,
    chapter: str,
    schema: str,
    data: Mapping[str, Any],
    *,
    parameters: Mapping[str, Any],
    inputs: Iterable[Product] = (),
    measured: Mapping[str, Any] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    files: Mapping[str, Path] | None = None,
) -> Product:
    """Write a chapter's product under a temporary name, then rename it into place.

    Parameters
    ----------
    run_dir : str or Path
        Folder of the run; empty writes to ``runs/local``. Never the reference run.
    chapter, schema : str
        Folder name and ``name@version``.
    data : mapping
        JSON content with units in the keys; no NaN.
    parameters : mapping
        What the notebook was run with (`used_parameters`).
    inputs : iterable of Product
        The products this one was made from.
    measured : mapping, optional
        Back end and machine, where something was measured.
    tables, files : mapping, optional
        Tables (written as CSV without their index) and files or folders to put beside it, by name.
    """
    if chapter not in CHAPTERS:
        raise ValueError(f"no chapter {chapter!r}; the chapters are {', '.join(CHAPTERS)}")
    if "@" not in schema:
        raise ValueError(f"schema must read name@version, got {schema!r}")
    folder = resolve_run_dir(run_dir) / chapter
    partial = folder.with_name(f".{chapter}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, table in (tables or {}).items():
        table.to_csv(partial / f"{name}.csv", index=False, lineterminator="\n")
    for name, path in (files or {}).items():
        if path.is_dir():
            shutil.copytree(path, partial / name)
        else:
            shutil.copy2(path, partial / name)
    content = {
        "schema": schema,
        "chapter": chapter,
        "parameters": dict(parameters),
        "inputs": {product.chapter: product.sha256 for product in inputs},
        "measured": None if measured is None else dict(measured),
        "files": {
            p.relative_to(partial).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(partial.rglob("*"))
            if p.is_file()
        },
        "data": dict(data),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (partial / "product.json").write_text(text, encoding="utf-8")
    manifest = {
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("numpy", "scipy", "pandas")},
    }
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    if folder.exists():
        old = folder.with_name(f".{chapter}.{os.getpid()}.old")
        folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old)
    else:
        partial.rename(folder)
    return _read(folder)
