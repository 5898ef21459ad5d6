"""The way of the teacher's guide through nbgrader: a class's version, right and wrong submissions, their points."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from conftest import require

from capkit.course.exercises import exercises_dir, solutions_dir
from capkit.datasets import project_root

pytestmark = pytest.mark.more
ROOT = project_root()


def script(name):
    """A marked block of shell of the guide."""
    guide = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    return re.search(rf"<!-- {name} -->\n+```sh\n(.+?)```", guide, flags=re.DOTALL)[1]


def answers(chapter):
    """The sources of the solution's answers, in order."""
    cells = nbformat.read(solutions_dir() / f"{chapter}.ipynb", as_version=4).cells
    is_answer = [c for c in cells if "solution" in c.metadata.get("tags", [])]
    return [cell.source for cell in is_answer if cell.cell_type == "code"]


def submit(folder, chapter, learner, count):
    """Fill in the first answers of the class's version, as a learner would."""
    notebook = nbformat.read(folder / "release" / chapter / f"{chapter}.ipynb", as_version=4)
    to_fill = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("solution")]
    given = answers(chapter)
    assert len(to_fill) == len(given)
    for cell, source in list(zip(to_fill, given, strict=True))[:count]:
        cell.source = source
    path = folder / "submitted" / learner / chapter / f"{chapter}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def shell(tmp_path):
    require(find_spec("nbgrader"), "nbgrader", "pip install -e '.[grading]'")

    def run(chapter, *commands):
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        settings = {"GRADING": str(tmp_path), "NB": chapter, "CAPKIT_RUNS": str(tmp_path / "runs")}
        environment = {**os.environ, **settings, "PATH": programs}
        subprocess.run(["bash", "-ec", "\n".join(commands)], cwd=ROOT, env=environment, check=True)
        return tmp_path

    return run


def points(folder):
    grades = pd.read_csv(folder / "grades.csv").set_index("student_id")
    assert (grades["max_score"] == grades["max_score"].iloc[0]).all()
    return grades["score"].to_dict(), float(grades["max_score"].iloc[0])


@pytest.mark.parametrize("chapter", [path.stem for path in sorted(exercises_dir().glob("*.ipynb"))])
def test_right_gets_all_points_and_untouched_none(shell, chapter):
    folder = shell(chapter, script("release"))
    submit(folder, chapter, "right", None)
    submit(folder, chapter, "untouched", 0)
    shell(chapter, 'cd "$GRADING"', script("grade"))
    found, most = points(folder)
    checks = nbformat.read(exercises_dir() / f"{chapter}.ipynb", as_version=4).cells
    assert most == sum("check" in cell.metadata.get("tags", []) for cell in checks)
    assert found == {"right": most, "untouched": 0.0}


def test_wrong_answers_cost_their_points_and_changed_checks_and_givens_count_as_they_were(shell):
    chapter = "02_architecture_resources_metrics"
    folder = shell(chapter, script("release"))
    submit(folder, chapter, "partly", 3)
    changed = submit(folder, chapter, "changed", None)
    notebook = nbformat.read(changed, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.source = "print('right')"
        elif cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = "pass"
    nbformat.write(notebook, changed)
    unlocked = submit(folder, chapter, "unlocked", 0)
    notebook = nbformat.read(unlocked, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and not cell.metadata.get("tags"):
            cell.source += "\nexercises.check = print"
    nbformat.write(notebook, unlocked)
    shutil.copytree(folder / "submitted" / "partly", folder / "submitted" / "again")
    shell(chapter, 'cd "$GRADING"', script("grade"))
    found, most = points(folder)
    assert 0.0 < found["partly"] < most
    assert found["again"] == found["partly"] and found["changed"] == found["unlocked"] == 0.0
    pages = {path.parts[-3] for path in (folder / "feedback").rglob("*.html")}
    assert pages == {"partly", "again", "changed", "unlocked"}


def test_each_learner_has_a_ledger_and_the_teacher_s_stays_as_it_was(shell):
    chapter = "02_architecture_resources_metrics"
    folder = shell(chapter, script("release"))
    for learner in ("first", "second"):
        submit(folder, chapter, learner, None)
    shell(chapter, 'cd "$GRADING"', script("grade"))
    for learner in ("first", "second"):
        page = (folder / "feedback" / learner / chapter / f"{chapter}.html").read_text("utf-8")
        assert "Noted: you expect" in page and "you said" in page
        assert "You have seen the answer before" not in page
    assert not (folder / "runs").exists()
