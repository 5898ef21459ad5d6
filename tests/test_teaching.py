"""What a teacher uses: the decision tree, the minutes of a chapter, the guide and its paths."""

import re
from operator import attrgetter

import nbformat
import pytest

import capkit.autoscaling
import capkit.forecasting
import capkit.loadtest
import capkit.monitoring
import capkit.planning
import capkit.queueing
import capkit.serving
import capkit.simulation
import capkit.tco
import capkit.training
import capkit.workload
from capkit import course
from capkit.__main__ import COMMANDS
from capkit.course import reading_time, which_model
from capkit.course.exercises.checks import find
from capkit.course.products import notebook_path
from capkit.course.which_model import TREE, rows
from capkit.datasets import project_root

ROOT = project_root()
GUIDE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
LEAVES = [leaf for branch in TREE for _, leaf in rows(branch)]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.use)
def test_each_leaf_names_a_function_that_its_chapter_uses(leaf):
    (chapter,) = (c for c in course.CHAPTERS if c.startswith(leaf.chapter))
    for function in leaf.functions:
        assert callable(attrgetter(function)(capkit))
    used = notebook_path(chapter).read_text(encoding="utf-8")
    assert any(function.split(".")[1] in used for function in leaf.functions)


def test_tree_stands_on_its_page_with_its_figure():
    page = (ROOT / which_model.PAGE).read_text(encoding="utf-8")
    assert which_model.fill(page) == page, "run: python -m capkit.course.which_model"
    drawn = (ROOT / which_model.FIGURE).read_text(encoding="utf-8")
    for branch in TREE:
        assert branch.want in drawn
        for question, leaf in rows(branch):
            assert f">{question}<" in drawn and leaf.use in drawn
    with pytest.raises(ValueError, match="no part marked"):
        which_model.fill("no marks")


def test_text_of_the_figure_stays_in_its_boxes():
    figure = which_model.draw()
    figure.draw_without_rendering()
    (ax,) = figure.axes
    for text in ax.texts:
        right = ax.transData.inverted().transform(text.get_window_extent())[1, 0]
        assert right < (40.5 if text.get_position()[0] < 40 else 99.0), text.get_text()


def test_tree_is_linked_from_where_one_starts():
    assert "(docs/which_model.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    start = notebook_path(course.CHAPTERS[0]).read_text(encoding="utf-8")
    assert "(../docs/which_model.md)" in start


def test_stated_minutes_are_within_a_third_of_a_read_through():
    table = reading_time.reading_time()
    assert table.index.tolist() == [chapter[:2] for chapter in course.CHAPTERS]
    off = table["stated"] / table["minutes"] - 1
    assert not off[off.abs() > 1 / 3].to_dict(), "change **Minutes:** in the chapter's head"


def test_minutes_by_hand():
    table = reading_time.reading_time()
    row = table.loc["02"]
    words = row["words"] + row["code_words"]
    looks = row["figures"] / 2 + row["tables"] / 3 + row["formulas"] / 2
    assert row["minutes"] == pytest.approx(words / 145 + looks + row["run_s"] / 60)
    assert reading_time.count_words("two words, 1,234 and `mean_wait_ms` 延迟 ($x^2$)") == 9


def table(name):
    """The rows of a marked table of the guide, as lists of cells."""
    part = GUIDE.split(f"<!-- {name} -->", 1)[1].split(f"<!-- /{name} -->", 1)[0]
    lines = [line.strip("| ") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def headings(chapter):
    cells = nbformat.read(notebook_path(chapter), as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.findall(r"^#{2,3} (.+)$", prose, flags=re.M)


def test_lecture_takes_90_minutes_and_opens_sections_that_are_there():
    rows_of_lecture = table("lecture")
    assert sum(int(row[0]) for row in rows_of_lecture) == 90
    opened = []
    for _, link, section, say in rows_of_lecture:
        number, path = re.fullmatch(r"\[(\d\d)\]\(\.\./notebooks/(\w+)\.ipynb\)", link).groups()
        assert path.startswith(number) and section in headings(path)
        assert say.endswith((".", "?"))
        opened.append(number)
    assert opened == sorted(opened)


def test_day_has_six_hours():
    assert sum(int(row[0]) for row in table("day")) == 6 * 60


@pytest.mark.parametrize("chapter", course.CHAPTERS)
def test_guide_says_of_each_chapter_what_to_say_and_to_ask(chapter):
    part = re.split(rf"^### {chapter[:2]} .+$", GUIDE, flags=re.M)[1]
    part = re.split(r"^##", part, flags=re.M)[0]
    assert "*Say.*" in part and "*Cures:*" in part and "*Ask.*" in part
    questions = re.findall(r"^\d\. (.+?)(?=^\d\. |\Z|^\n)", part, flags=re.M | re.S)
    assert len(questions) >= 2
    for question in questions:
        assert re.fullmatch(r".+[?.] \*[^*]+\*\s*", question, flags=re.S), question


def test_what_the_guide_says_of_the_shipped_ledger_holds():
    said = "M/M/1 mostly errs with a plus, M/G/c and G/G/c, which know more of the service times, mostly with a minus"
    assert said in " ".join(GUIDE.split())
    ledger = course.reference("06_queueing").table("ledger")
    shown = ledger.query("server == 'real model' and quantity == 'p99'")
    plus = (shown["error_percent"] > 0).groupby(shown["model"]).mean()
    assert plus["1 M/M/1"] > 0.5
    assert plus["4 M/G/c"] < 0.5 and plus["5 G/G/c"] < 0.5
    # a column that errs less although the data reject its law
    error = shown.pivot(index="load", columns="model", values="error_percent").abs()
    assert "In some rows M/M/c errs less than the replay" in GUIDE
    assert (error["2 M/M/c"] < error["8 replay"]).any()


def test_what_the_guide_says_of_the_shipped_intervals_holds():
    said = "the 80 % interval covers more hours than it promises, the 95 % interval fewer"
    assert said in " ".join(GUIDE.split())
    product = course.reference("07_forecasting")
    forecast, came = product.table("forecast"), product.table("actual")["requests_per_s"]
    backtest = product.table("backtest").query(
        f"model == '{product.data['model']}' and horizon == {product.data['horizon_h']}"
    )
    inside = {
        level: came.between(forecast[f"lower_{level}_rps"], forecast[f"upper_{level}_rps"]).mean()
        for level in (80, 95)
    }
    assert inside[80] > 0.80 and inside[95] < 0.95
    assert "over many weeks both cover less than they promise" in " ".join(GUIDE.split())
    assert (backtest[["coverage_80", "coverage_95"]].iloc[0] < [0.80, 0.95]).all()


def test_the_guide_reads_well_without_what_the_book_adds():
    marked = re.search(r"(.+)\n\n<!-- minutes -->\n", GUIDE)[1]
    assert not marked.rstrip().endswith(":")
    build = (ROOT / "book" / "build.py").read_text(encoding="utf-8")
    assert '"<!-- minutes -->"' in build


def test_what_the_guide_names_is_there():
    assert {key for key in re.findall(r"\b(\d\d\.\d)\b", GUIDE) if find(key)}
    commands = set(re.findall(r"python -m capkit ([\w-]+)", GUIDE))
    assert commands and commands <= set(COMMANDS)
    for path in re.findall(r"\]\(([^)#]+)\)", GUIDE):
        assert (ROOT / "docs" / path).exists(), path


def test_run_time_of_every_chapter_is_on_record():
    seconds = reading_time.run_seconds()
    assert set(seconds) == set(course.CHAPTERS) and min(seconds.values()) > 1.0
