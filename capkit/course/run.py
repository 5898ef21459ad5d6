"""`python -m capkit run`: the chapters from 03 on, then the tour (00 to 02), their HTML, and the plan at the end."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capkit.course import classroom, inspection, manifest
from capkit.course.execution import ChapterError, run_chapters, source_path
from capkit.course.notebooks import own_source, select, source_hash
from capkit.course.pages import write_index
from capkit.course.products import CHAPTERS, resolve_run_dir

__all__ = ["main", "run_chapters"]


def read_parameters(file: Path | None, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Parameters as given: a YAML file with one ``name: value`` a line, then name and value pairs over them."""
    parameters: dict[str, Any] = {}
    if file is not None:
        import yaml

        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise ValueError(f"{file.name} cannot be read as YAML: {error}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{file.name} must hold one name: value a line")
        parameters |= {str(name): value for name, value in content.items()}
    return parameters | dict(pairs)


def refuse_others(chapters: Sequence[str], folder: Path | None = None) -> None:
    """Stop before a notebook that is not the course's own: notebooks are code.

    Parameters
    ----------
    chapters : sequence of str
        Chapter names.
    folder : Path, optional
        Where the notebooks lie, if not in the course.

    Raises
    ------
    ValueError
        A notebook is missing, or its source is not the one whose outputs the course stores.
    """
    import nbformat

    for chapter in chapters:
        path = source_path(chapter, folder)
        if source_hash(nbformat.read(path, as_version=4)) != own_source(chapter):
            raise ValueError(
                f"{path} is not the course's own (its code or text was changed). Notebooks are code: "
                "read it, then say --trust to run it"
            )


def new_folder(out: str, kind: str = "") -> Path:
    """The folder that ``--out`` names, or a new one of this second below ``runs``."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return resolve_run_dir(out) if out else resolve_run_dir("").with_name(kind + stamp)


def prepare_folder(out: Path, chapters: Sequence[str], folder: Path | None = None) -> None:
    """Make the run folder, or stop before a run writes its notebooks over others (chapters as `refuse_others` has them).

    Raises
    ------
    ValueError
        ``out`` holds notebooks that no run made or that this one reads; or something there is no folder.
    """
    for chapter in chapters:
        written = out / f"{chapter}.ipynb"
        read = source_path(chapter, folder)
        if written.is_file() and (not manifest.read(out) or written.samefile(read)):
            raise ValueError(f"the run would write over {written}: choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"--out must name a folder, and a file is in the way of {out}") from error


def help_params(known: Mapping[str, inspection.Declared]) -> str:
    """A table of parameters: name, type, default, chapters, range, meaning."""
    lines = []
    for name, declared in known.items():
        p = declared.parameter
        numbers = " ".join(notebook[:2] for notebook in declared.notebooks)
        within = "" if p.within is None else f" [{p.within}]"
        kind = type(p.default).__name__
        lines.append(f"{name:20} {kind:5} {p.default!r:12} {numbers:23} {p.meaning}{within}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m capkit run", description=__doc__)
    parser.add_argument("--params", type=Path, help="YAML file with one name: value a line")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--from", dest="first", help="first chapter, such as 03")
    parser.add_argument("--to", dest="last", help="last chapter")
    parser.add_argument("--out", default="", help="run folder; a new one below runs/ without it")
    parser.add_argument(
        "--resume", action="store_true", help="go on in --out: run only what is missing or changed"
    )
    parser.add_argument("--notebooks", type=Path, help="folder of other notebooks; needs --trust")
    parser.add_argument(
        "--trust", action="store_true", help="run notebooks that are not the course's own"
    )
    parser.add_argument(
        "--classroom",
        type=Path,
        metavar="ROSTER",
        help="CSV file with a row a team: give each a company of chapter 11, and the teacher the key",
    )
    parser.add_argument("--help-params", action="store_true", help="list the parameters and stop")
    return parser


def _resumed(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Parameters and chapters of the run that goes on; nothing for a new one."""
    record = manifest.read(resolve_run_dir(options.out)) if options.out else {}
    if not options.resume:
        if record:
            raise ValueError(
                f"{options.out} holds a run or a study: add --resume to go on, or choose another --out"
            )
        return {}, []
    if "wanted" not in record:
        raise ValueError("--resume goes on in a run: --out must name its folder")
    before = record.get("notebooks")
    if before != (options.notebooks and str(options.notebooks.resolve())):
        where = (
            f"in {before}: say --notebooks" if before else "the course's own: leave out --notebooks"
        )
        raise ValueError(f"the notebooks of this run are {where}, or choose another --out")
    ends = options.first or options.last
    return record["parameters"], [] if ends else record["wanted"]


def _chapters(options: argparse.Namespace) -> list[str]:
    """The chapters from ``--from`` to ``--to``."""
    (first,), (last,) = select([options.first or "00"]), select([options.last or CHAPTERS[-1]])
    if first > last:
        raise ValueError(f"--from {options.first} comes after --to {options.last}: nothing to run")
    return list(CHAPTERS[CHAPTERS.index(first) : CHAPTERS.index(last) + 1])


def _to_go_on(options: argparse.Namespace, out: Path) -> str:
    """The command that goes on with a run that stopped."""
    words = ["python", "-m", "capkit", "run", "--resume", "--out", str(out)]
    if options.notebooks:
        words += ["--notebooks", str(options.notebooks.resolve())]
    if options.trust:
        words.append("--trust")
    return shlex.join(words)


def main(arguments: list[str] | None = None) -> int:
    """Run the chapters and print the plan; the status is 1 if a chapter stopped."""
    parser = _parser()
    options = parser.parse_args(arguments)
    out = new_folder(options.out, "class-" if options.classroom else "")
    try:
        if options.classroom:
            given = read_parameters(options.params, options.p)
            return classroom.main(options.classroom, given, out)
        before, chapters = _resumed(options)
        chapters = chapters or _chapters(options)
        if not options.trust:
            refuse_others(chapters, options.notebooks)
        used = dict.fromkeys((*chapters, *(() if options.notebooks else CHAPTERS)))
        known = inspection.inspect(source_path(c, options.notebooks) for c in used)
        if options.help_params:
            print(help_params(known))
            return 0
        given = read_parameters(options.params, options.p)
        parameters = inspection.check(before | given, known)
        prepare_folder(out, chapters, options.notebooks)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    terms = {"resume": options.resume, "notebooks": options.notebooks}
    try:
        run_chapters(chapters, parameters, out, **terms)
    except (ChapterError, KeyboardInterrupt) as error:
        told = f"{error}\n" if isinstance(error, ChapterError) else "stopped\n"
        print(f"{told}to go on: {_to_go_on(options, out)}", file=sys.stderr)
        return 1
    plan = out / "09_capacity_plan" / "plan.html"
    finished = [c for c in CHAPTERS if c in manifest.read(out)["chapters"]]
    index = write_index(out, finished, plan)
    text = plan.with_suffix(".md")
    if text.is_file():
        print(text.read_text(encoding="utf-8"))
    print(f"all chapters as HTML: {index}")
    return 0
