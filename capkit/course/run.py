"""Run the chapters in order through papermill, each product handed on through the run folder."""

from __future__ import annotations

import argparse
import difflib
import html
import json
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from capkit import telemetry
from capkit.course.notebooks import select
from capkit.course.parameters import REGISTRY
from capkit.course.products import CHAPTERS, notebook_path, resolve_run_dir
from capkit.datasets import project_root


def parse_parameter(name: str, text: str) -> str | int | float | bool:
    """Value of a parameter given as text, in the type of its default.

    Raises
    ------
    ValueError
        No such parameter (the nearest name is suggested), or the text is not of its type.

    Examples
    --------
    >>> parse_parameter("slo_latency_ms", "30"), parse_parameter("measure", "false")
    (30.0, False)
    """
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(REGISTRY)}"
        raise ValueError(f"no parameter {name!r}{hint}")
    kind = type(REGISTRY[name].default)
    if kind is bool:
        truth = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() in truth:
            return truth[text.lower()]
        raise ValueError(f"{name} is true or false, got {text!r}")
    try:
        value: str | int | float = kind(text)
    except ValueError:
        raise ValueError(f"{name} must be of type {kind.__name__}, got {text!r}") from None
    return value


def _read_parameters(file: Path | None, pairs: Sequence[Sequence[str]]) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    if file is not None:
        import yaml

        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise ValueError(f"{file.name} must hold one name: value a line")
        parameters |= {name: parse_parameter(name, str(value)) for name, value in content.items()}
    return parameters | {name: parse_parameter(name, text) for name, text in pairs}


def _revision() -> str:
    command = ["git", "-C", str(project_root()), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _write_html(notebook: Path, target: Path) -> None:
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter().from_filename(str(notebook))
    target.write_text(body, encoding="utf-8")


def run_chapters(
    chapters: Sequence[str], parameters: Mapping[str, Any], out: Path, *, progress: bool = True
) -> dict[str, float]:
    """Execute chapters in the given order into ``out`` and write each as HTML beside it.

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

    Returns
    -------
    dict
        Seconds that each chapter took.
    """
    import papermill
    from tqdm.auto import tqdm

    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    for chapter in tqdm(chapters, desc="chapters", disable=not progress):
        source = notebook_path(chapter)
        declared = papermill.inspect_notebook(str(source))
        values = {"run_dir": str(out), **parameters}
        started = time.perf_counter()
        papermill.execute_notebook(
            str(source),
            str(out / f"{chapter}.ipynb"),
            parameters={name: value for name, value in values.items() if name in declared},
            cwd=str(out),
            progress_bar={"desc": chapter} if progress else False,
            kernel_name="python3",
        )
        seconds[chapter] = round(time.perf_counter() - started, 1)
        _write_html(out / f"{chapter}.ipynb", out / f"{chapter}.html")
    return seconds


def _write_index(out: Path, chapters: Sequence[str], plan: Path) -> None:
    items = "".join(f'<li><a href="{c}.html">{html.escape(c)}</a></li>' for c in chapters)
    link = (
        f'<p><a href="{plan.relative_to(out).as_posix()}">The plan</a></p>'
        if plan.is_file()
        else ""
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Capacity plan: the run'
        f"</title></head><body><h1>The run</h1>{link}<ol start='0'>{items}</ol></body></html>\n"
    )
    (out / "index.html").write_text(page, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """`python -m capkit run`: the chapters in order, their HTML, and the plan at the end."""
    parser = argparse.ArgumentParser(prog="python -m capkit run", description=main.__doc__)
    parser.add_argument("--params", type=Path, help="YAML file with one name: value a line")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--from", dest="first", default="00", help="first chapter, such as 03")
    parser.add_argument("--to", dest="last", default=CHAPTERS[-1][:2], help="last chapter")
    parser.add_argument("--out", default="", help="run folder; a new one below runs/ without it")
    parser.add_argument("--help-params", action="store_true", help="list the parameters and stop")
    options = parser.parse_args(arguments)
    if options.help_params:
        for p in REGISTRY.values():
            print(f"{p.name:22} {type(p.default).__name__:6} {p.default!r:12} {p.meaning}")
        return 0
    try:
        parameters = _read_parameters(options.params, options.p)
        ends = select([options.first]) + select([options.last])
    except (ValueError, OSError) as error:
        parser.error(str(error))
    chapters = CHAPTERS[CHAPTERS.index(ends[0]) : CHAPTERS.index(ends[1]) + 1]
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    out = resolve_run_dir(options.out) if options.out else resolve_run_dir("").with_name(stamp)
    seconds = run_chapters(chapters, parameters, out)
    manifest = {
        "parameters": parameters,
        "chapters": list(chapters),
        "seconds": seconds,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "revision": _revision(),
        "python": platform.python_version(),
        "versions": {
            d.metadata["Name"]: d.version
            for d in sorted(metadata.distributions(), key=lambda d: d.name)
        },
        "machine": telemetry.machine(),
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    plan = out / "09_capacity_plan" / "plan.html"
    _write_index(out, chapters, plan)
    text = plan.with_suffix(".md")
    if text.is_file():
        print(text.read_text(encoding="utf-8"))
    print(f"all chapters as HTML: {out / 'index.html'}")
    return 0
