"""`python -m capkit sweep STUDY.yaml`: many scenarios, one table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from capkit import course, planning
from capkit.course import manifest
from capkit.course.execution import source_path
from capkit.course.notebooks import source_hash
from capkit.course.parameters import Value
from capkit.course.products import resolve_run_dir
from capkit.course.run import new_folder, refuse_others
from capkit.study.design import Study, read_study
from capkit.study.engine import INSTALL, cluster, run_serially, run_tasks
from capkit.study.journal import Journal
from capkit.study.report import write_report
from capkit.study.scenario import PLAN, Task, evaluate

#: scenarios of milliseconds that a worker takes at once, where they are many
GROUP = 10


def tasks(study: Study, out: Path, run_dir: str = "") -> Iterator[Task]:
    """The study's scenarios as tasks, numbered from 0."""
    for number, parameters in enumerate(study.scenarios):
        folder = out / "scenarios" / f"{number:06d}"
        yield Task(number, study.work, parameters, run_dir, study.chapters, str(folder))


def run_study(
    study: Study,
    out: Path,
    *,
    run_dir: str = "",
    client: Any = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Do what is missing of a study and write its table, ``results.parquet``.

    Parameters
    ----------
    study : Study
        From `read_study`.
    out : Path
        Folder of the study; scenarios that its journal holds are not done again.
    run_dir : str
        Run whose products plans are made from; empty for the reference run.
    client : distributed.Client, optional
        Who does it (`capkit.study.cluster`); without one, this process, one scenario after the other.
    progress : bool
        Show a bar.

    Returns
    -------
    DataFrame
        One row a scenario, in order: ``scenario``, its parameters, its results, ``error`` (empty, or why
        there is no result) and ``notebook`` (the last or the failed one).
    """
    from tqdm.auto import tqdm

    out.mkdir(parents=True, exist_ok=True)
    with Journal(out / "rows.jsonl") as journal:
        missing = [t for t in tasks(study, out, run_dir) if t.number not in journal.done]
        if client:
            short = study.work == "sizing"
            group = min(GROUP, 1 + len(missing) // (10 * GROUP)) if short else 1
            rows = run_tasks(client, evaluate, missing, group)
        else:
            rows = run_serially(evaluate, missing)
        done = len(study.scenarios) - len(missing)
        total = len(study.scenarios)
        for row in tqdm(rows, "scenarios", total, initial=done, disable=not progress):
            journal.add(row)
        names = dict.fromkeys(name for scenario in study.scenarios for name in scenario)
        table = journal.table(["scenario", *names])
    partial = out / ".results.parquet"
    table.to_parquet(partial, index=False)
    partial.replace(out / "results.parquet")
    return table


def _values(study: Study) -> dict[str, Value]:
    """Every value that a parameter has in some scenario."""
    return {f"{name}={value}": value for row in study.scenarios for name, value in row.items()}


def _identity(study: Study, run_dir: str) -> dict[str, Any]:
    """What two commands must agree on to go on with one study."""
    import nbformat

    inputs = {}
    if study.work != "chapters":
        names = planning.cli.INPUTS
        here = [course.product_of(run_dir, n) if run_dir else None for n in names]
        inputs = {n: (p or course.reference(n)).sha256 for n, p in zip(names, here, strict=True)}
    sources = {c: source_hash(nbformat.read(source_path(c), as_version=4)) for c in study.chapters}
    return {
        "work": study.work,
        "notebooks": sources,
        "scenarios": manifest.digest(study.scenarios),
        "inputs": inputs,
        "files": manifest.files(_values(study)),
    }


def _begin(study: Study, out: Path, run_dir: str, *, resume: bool) -> dict[str, Any]:
    """The manifest of a study: a new one, or that of the one that goes on."""
    before, identity = manifest.read(out), _identity(study, run_dir)
    if before and not resume:
        raise ValueError(f"{out} holds a study: add --resume to go on, or choose another --out")
    if resume and not before.get("study"):
        raise ValueError(f"{out} holds no study to go on with")
    other = [name for name in identity if resume and before["study"].get(name) != identity[name]]
    if other:
        raise ValueError(
            f"the study in {out} was begun with other {' and '.join(other)}: start a new one"
        )
    provenance = manifest.provenance(_values(study))
    return before or {"started": manifest.now(), "study": identity, **provenance}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m capkit sweep", description=__doc__)
    parser.add_argument("study", type=Path, help="YAML file; README shows one")
    parser.add_argument(
        "--run-dir", default="", help="run that sizing and plan start from; empty: reference"
    )
    parser.add_argument("--out", default="", help="folder of the study; a new one below runs/")
    parser.add_argument("--resume", action="store_true", help="go on with the study in --out")
    engine = parser.add_mutually_exclusive_group()
    engine.add_argument("--workers", type=int, default=0, help="local workers; 0: one a core")
    engine.add_argument("--scheduler", default="", help="tcp://host:port of a Dask cluster")
    engine.add_argument("--serial", action="store_true", help="in this process, without Dask")
    parser.add_argument(
        "--trust", action="store_true", help="run notebooks that are not the course's own"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a study; the status is 1 if no scenario has a result."""
    parser = _parser()
    options = parser.parse_args(arguments)
    out = new_folder(options.out, "study-")
    try:
        import pyarrow  # noqa: F401

        study = read_study(options.study)
        if study.chapters and options.run_dir:
            raise ValueError("--run-dir is for work: sizing and plan; notebooks make their own run")
        run_dir = course.existing_run(options.run_dir) and str(resolve_run_dir(options.run_dir))
        if not options.trust:
            refuse_others(study.chapters or (PLAN,))
        record = _begin(study, out, run_dir, resume=options.resume)
        text = options.study.read_text(encoding="utf-8")
        engine = nullcontext() if options.serial else cluster(options.scheduler, options.workers)
        with engine as client:
            out.mkdir(parents=True, exist_ok=True)
            manifest.write(out, record)
            (out / "study.yaml").write_text(text, encoding="utf-8")
            table = run_study(
                study, out, run_dir=run_dir, client=client, progress=sys.stderr.isatty()
            )
        record["finished"] = manifest.now()
        manifest.write(out, record)
        report = write_report(study, table, out, _made(record))
    except KeyboardInterrupt:
        more = f"; to go on: the same command with --resume --out {out}"
        print(f"stopped{more if manifest.read(out) else ''}", file=sys.stderr)
        return 130
    except ImportError:
        parser.error(INSTALL)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    failed = int((table["error"] != "").sum())
    print(f"{len(table) - failed} scenarios with a result, {failed} without")
    print(f"table: {out / 'results.parquet'}\nreport: {report}")
    return int(failed == len(table))


def _made(record: dict[str, Any]) -> dict[str, Any]:
    machine = record["machine"]
    return {
        "work": record["study"]["work"],
        "chapters": ", ".join(record["study"]["notebooks"]) or "none",
        "begun": record["started"],
        "finished": record["finished"],
        "revision": record["revision"],
        "machine": f"{machine['cpu']}, {machine['cores']} cores",
        **{f"sha256 of {name}": value[:16] for name, value in record["study"]["inputs"].items()},
    }
