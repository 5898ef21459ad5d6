"""A class with a company each: `python -m capkit run --classroom roster.csv`.

Each row of the roster is a team. It gets a folder with its company's brief, its raw files and its own exercise
notebook of chapter 11; the teacher gets the reference solution of every team, executed, and ``key.csv``.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd

from capkit.course import inspection
from capkit.course.companies import SCENARIO, found, write_files
from capkit.course.exercises import exercises_dir, solutions_dir
from capkit.course.notebooks import execute
from capkit.course.pages import write_notebook
from capkit.course.parameters import REGISTRY
from capkit.course.rows import read_rows

CHAPTER = "11_capstone"
TEAM = re.compile(r"[^\W_][\w-]{0,39}")
#: what a team without a value of its own draws from
DRAWN: dict[str, tuple[Any, ...]] = {
    "trace": ("chat", "code"),
    "load_scale": (80.0, 120.0, 160.0, 200.0, 250.0, 320.0),
    "slo_percentile": (0.95, 0.99),
    "slo_latency_ms": (20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0),
}


def read_roster(
    path: str | Path, given: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Each team's scenario, by its name.

    Parameters
    ----------
    path : str or Path
        CSV file with a column ``team`` and, if wanted, columns named like the parameters of chapter 11; an empty
        cell leaves the choice to the draw, which hangs on the team's name and on ``seed`` in ``given`` only.
    given : mapping, optional
        Parameters of the whole class; a cell of the roster goes before them.

    Returns
    -------
    dict
        Arguments of `capkit.course.companies.found` by team.

    Raises
    ------
    ValueError
        No such file; no or another column; a value that no column is for; a name that is no folder's, or that comes
        twice; a value that its parameter refuses; two teams with one seed. The row is named.
    """
    file = Path(path)
    table = read_rows(file)
    if "team" not in table or table.empty:
        raise ValueError(
            f"{file} needs a column team with a row a team; it has {len(table)} row(s) and the columns "
            f"{', '.join(table.columns)}"
        )
    unknown = [column for column in table.columns if column not in ("team", *SCENARIO)]
    if unknown:
        raise ValueError(
            f"{file}: no column {unknown[0]!r} is known; beside team there may be {', '.join(SCENARIO)}"
        )
    known = inspection.inspect([exercises_dir() / f"{CHAPTER}.ipynb"])
    teams: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(table.to_dict("records"), 1):
        where = f"{file}, row {number} below the header"
        name = row.pop("team")
        if not TEAM.fullmatch(name):
            raise ValueError(
                f"{where}: team {name!r}; a name of letters, digits, _ and - is needed, which its folder takes"
            )
        if name.lower() in map(str.lower, teams):
            raise ValueError(f"{where}: team {name!r} is there twice")
        cells = {column: cell for column, cell in row.items() if cell}
        try:
            own = inspection.check(dict(given or {}) | cells, known)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        teams[name] = _scenario(name, own, "seed" in cells)
        same = [t for t in teams if t != name and teams[t]["seed"] == teams[name]["seed"]]
        if same:
            raise ValueError(
                f"{where}: team {name!r} has the seed {teams[name]['seed']} of team {same[0]!r}; with one seed two "
                "companies share numbers: give each its own, or none"
            )
    return teams


def _scenario(team: str, own: Mapping[str, Any], has_seed: bool) -> dict[str, Any]:
    """A team's parameters: its own, else drawn; the same roster and class seed give the same."""
    text = f"{own.get('seed', REGISTRY['seed'].default)} {team.lower()}"
    drawn = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    rng = np.random.default_rng(drawn)
    choice = {name: values[int(rng.integers(len(values)))] for name, values in DRAWN.items()}
    defaults = {name: REGISTRY[name].default for name in SCENARIO}
    seed = {} if has_seed else {"seed": drawn}
    return defaults | choice | {n: v for n, v in own.items() if n in SCENARIO} | seed


def make_class(teams: Mapping[str, Mapping[str, Any]], out: Path, *, progress: bool = True) -> Path:
    """Write a folder for each team below ``teams`` and the key below ``teacher``; half a minute a team.

    Parameters
    ----------
    teams : mapping
        From `read_roster`.
    out : Path
        Folder of the class; it must not be there yet.
    progress : bool
        Show a bar.

    Returns
    -------
    Path
        ``teacher/key.csv``.

    Raises
    ------
    ValueError
        The folder is there; a company has no plan, or its reference solution fails (the team is named). The folder is
        made last of all: after an error nothing of the class is left.
    """
    from tqdm.auto import tqdm

    if out.exists():
        raise ValueError(f"{out} is there already: give another --out")
    quiet = not progress
    rows = [
        {"team": team} | dict(scenario) | _key(team, scenario)
        for team, scenario in tqdm(teams.items(), desc="plans", disable=quiet)
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        made = Path(scratch) / out.name
        for team, scenario in tqdm(teams.items(), desc="teams", disable=quiet):
            _write_team(team, scenario, made / "teams" / team)
            _solve(team, scenario, made / "teams" / team, made / "teacher" / team)
        pd.DataFrame(rows).to_csv(made / "teacher" / "key.csv", index=False, lineterminator="\n")
        made.rename(out)
    return out / "teacher" / "key.csv"


def _key(team: str, scenario: Mapping[str, Any]) -> dict[str, Any]:
    from capkit.course.capstone import key

    try:
        return key(**scenario)
    except ValueError as error:
        raise ValueError(f"team {team!r}: its company has no plan: {error}") from error


def _prepare(source: Path, team: str, scenario: Mapping[str, Any], folder: Path) -> Path:
    """Chapter 11's notebook of a folder with the team's parameters, not executed, in another folder."""
    import papermill

    path = folder / f"{CHAPTER}.ipynb"
    papermill.execute_notebook(
        str(source / path.name),
        str(path),
        parameters={"run_dir": f"runs/{team}", **scenario},
        prepare_only=True,
        progress_bar=False,
    )
    return path


def _write_team(team: str, scenario: Mapping[str, Any], folder: Path) -> None:
    """The brief, the raw files, and the exercise with the team's parameters; nothing of the key."""
    write_files(found(**scenario), folder)
    notebook = _prepare(exercises_dir(), team, scenario, folder)
    # The folder is handed out: a link to the chapters would lead nowhere.
    text = notebook.read_text(encoding="utf-8")
    notebook.write_text(re.sub(r"\[([^][\n]+)\]\(\.\./[^)\n]+\)", r"\1", text), encoding="utf-8")


def _solve(team: str, scenario: Mapping[str, Any], files: Path, folder: Path) -> None:
    """The reference solution of a team, executed on its files; `ValueError` where a cell fails or a check is not passed."""
    from nbclient.exceptions import CellExecutionError

    folder.mkdir(parents=True)
    path = _prepare(solutions_dir(), team, scenario, folder)
    solved = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as runs:  # its predictions are not the teacher's own
        try:
            execute(solved, environment={"CAPKIT_RUNS": runs}, folder=files)
        except CellExecutionError as error:
            raise ValueError(
                f"team {team!r}: the reference solution stopped: {error.ename}: {error.evalue}"
            ) from error
    nbformat.write(solved, path)
    write_notebook(path)
    checks = [c for c in solved.cells if "check" in c.metadata.get("tags", [])]
    failed = [c.source for c in checks if "✓" not in str(c.outputs)]
    if failed:
        raise ValueError(f"team {team!r}: the reference solution does not pass {failed[0]}")


def main(roster: Path, given: Mapping[str, Any], out: Path) -> int:
    """Make the class and say where it lies."""
    key = make_class(read_roster(roster, given), out)
    print(f"a folder a team: {out / 'teams'}\nthe key, for the teacher only: {key}")
    return 0
