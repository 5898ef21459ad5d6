"""Exercises from solutions: `python -m capkit exercises` writes ``notebooks/exercises`` from ``notebooks/solutions``.

In a cell with the tag ``solution`` the answers become three dots: of ``servers = min_servers(...)`` is left
``servers = ...`` if a cell of the same exercise that is not a solution uses the name; a function keeps its
signature and docstring. Leading comments stay, all else goes. A Markdown cell with the tag ``solution`` explains
the answer and is dropped. Cells with the tag ``check`` get nbgrader's metadata, one point each; code without a tag
is given, and nbgrader locks it. ``own`` is the tag of givens that a learner is asked to replace. Outputs are left
out; those of a solution whose source has changed are written first.
"""

from __future__ import annotations

import argparse
import ast
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import nbformat

from capkit.course.notebooks import clean, execute, has_own_outputs
from capkit.datasets import project_root

Node = nbformat.NotebookNode
DESCRIPTION = __doc__ or ""


def solutions_dir() -> Path:
    """Folder of the solutions, the source."""
    return project_root() / "notebooks" / "solutions"


def exercises_dir() -> Path:
    """Folder of the exercises, which are generated."""
    return project_root() / "notebooks" / "exercises"


def stub(source: str, used: Collection[str]) -> str:
    """A solution's code with its answers, the names in ``used``, taken out, and with nothing else.

    >>> print(stub("# Servers for the peak:\\nload = 3 / 2\\nservers = min_servers(load, 1.0)", {"servers"}))
    # Servers for the peak:
    servers = ...
    >>> print(stub("def wait(rho):\\n    return rho / (1 - rho)", {"wait"}))
    def wait(rho):
        return ...
    """
    lines = source.splitlines()
    kept = []
    for line in lines:
        if not line.startswith("#"):
            break
        kept.append(line)
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            names = [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            kept += [f"{name} = ..." for name in names if name in used]
        elif isinstance(node, ast.FunctionDef) and node.name in used:
            first = node.body[0].lineno - 1
            kept += lines[node.lineno - 1 : first]
            if (text := ast.get_docstring(node)) is not None:
                kept.append(f'    """{text}"""')
            kept.append("    return ...")
    return "\n".join(kept)


def _grading(cell: Node, kind: str, number: int) -> dict[str, Any]:
    """nbgrader's metadata, schema 3, of the cell ``number``: an ``answer``, a ``check``, or a ``given``."""
    graded, solution = kind == "check", kind == "answer"
    roles = {"grade": graded, "solution": solution, "locked": not solution, "task": False}
    name = {"cell_type": cell.cell_type, "grade_id": f"{kind}-{number}", "schema_version": 3}
    return name | roles | ({"points": 1} if graded else {})


def parts(notebook: Node) -> list[list[Node]]:
    """The cells of a notebook, cut before each heading of the second level: an exercise is one part."""
    found: list[list[Node]] = [[]]
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            found.append([])
        found[-1].append(cell)
    return found


def names_read(cells: Iterable[Node]) -> set[str]:
    """The names that code cells use, solutions left out."""
    return {
        node.id
        for cell in cells
        if cell.cell_type == "code" and "solution" not in cell.metadata.get("tags", [])
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def generate(solutions: Node) -> Any:
    """The exercise notebook of a solutions notebook; `ValueError` where a check follows no solution."""
    cells: list[Node] = []
    open_solution = False
    for cell, used in ((c, names_read(part)) for part in parts(solutions) for c in part):
        tags = cell.metadata.get("tags", [])
        if "solution" in tags and cell.cell_type == "markdown":
            continue
        made = nbformat.from_dict(dict(cell))
        metadata: dict[str, Any] = {"tags": tags} if tags else {}
        if "solution" in tags:
            made.source, open_solution = stub(cell.source, used), True
            metadata["nbgrader"] = _grading(cell, "answer", len(cells) + 1)
        elif "check" in tags:
            if not open_solution:
                raise ValueError(f"a check without a solution before it: {cell.source}")
            open_solution = False
            metadata["nbgrader"] = _grading(cell, "check", len(cells) + 1)
        elif cell.cell_type == "code" and not tags:
            metadata["nbgrader"] = _grading(cell, "given", len(cells) + 1)
        made.metadata = nbformat.from_dict(metadata)
        if cell.cell_type == "code":
            made.outputs, made.execution_count = [], None
        made.id = f"e{len(cells) + 1:03d}"
        cells.append(made)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.from_dict(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    )


def main(arguments: list[str] | None = None) -> int:
    """Run every solution that has changed, and write every exercise anew."""
    argparse.ArgumentParser(prog="python -m capkit exercises", description=DESCRIPTION).parse_args(
        arguments
    )
    exercises_dir().mkdir(exist_ok=True)
    for path in sorted(solutions_dir().glob("*.ipynb")):
        solutions = nbformat.read(path, as_version=4)
        if not has_own_outputs(solutions):
            with tempfile.TemporaryDirectory() as runs:
                execute(solutions, environment={"CAPKIT_RUNS": runs})
            nbformat.write(clean(solutions, path.stem), path)
        nbformat.write(generate(solutions), exercises_dir() / path.name)
        print(f"exercises: {path.stem}")
    return 0
