"""Figures that answer to a knob: a plain figure where nobody can turn it, a slider in JupyterLab."""

import ast

import nbformat
import pytest

from capkit import course, plots
from capkit.course import CHAPTERS
from capkit.course.products import notebook_path

ALT = "A line through the origin, as steep as the knob says."
#: what each chapter's knob turns
KNOBS = {"05": "time-out (ms)", "06": "utilisation", "07": "horizon (h)", "08": "spot price, times"}


class Screen(list):
    """What is displayed, and what is put in its place afterwards."""

    def __init__(self):
        self.updates = []

    def display(self, shown, metadata=None, display_id=None):
        self.append(shown)
        return self

    def update(self, shown, metadata):
        self.updates.append((shown, metadata["image/png"]["alt"]))


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr("IPython.display.display", screen.display)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return screen


@pytest.fixture
def drawn():
    return []


@pytest.fixture
def draw(drawn):
    def line(steepness):
        drawn.append(steepness)
        ax = plots.axes("A line", "x", "y")
        ax.plot([0, 1], [0, steepness], label="line")
        return ax

    return line


def test_without_a_jupyter_server_there_is_one_figure_and_no_slider(screen, drawn, draw):
    course.knob(draw, "steepness", [1, 2, 3], 2, alt=ALT)
    assert drawn == [2]
    assert [type(shown).__name__ for shown in screen] == ["Image"]
    assert screen[0].alt == ALT


def test_the_slider_draws_in_the_figure_s_place(screen, drawn, draw, monkeypatch):
    pytest.importorskip("ipywidgets")
    monkeypatch.setenv("JPY_SESSION_NAME", "06_queueing.ipynb")
    course.knob(draw, "steepness", [1, 2.5, 3], 1, alt=ALT)
    figure, slider = screen
    assert (slider.description, slider.index, screen.updates) == ("steepness", 0, [])
    slider.value = 2.5
    assert drawn == [1, 2.5]
    ((anew, alt),) = screen.updates
    assert anew.data != figure.data
    assert alt == ALT


def test_a_knob_starts_at_one_of_its_positions(draw):
    with pytest.raises(ValueError, match=r"starts at 4, which is none of \[1, 2\]"):
        course.knob(draw, "steepness", [1, 2], 4, alt=ALT)


def test_what_is_read_off_is_what_the_line_says():
    ax = plots.axes("Two lines", "x", "y")
    ax.plot([0, 1, 3], [0, 2, 4], label="up")
    ax.plot([0, 3], [30, 0], label="down")
    plots.read_off(ax, 2)
    assert ax.get_legend_handles_labels()[1] == ["up: 3", "down: 10"]


def knobs(chapter):
    """The calls of `course.knob` in a chapter: cell number and call."""
    notebook = nbformat.read(notebook_path(chapter), as_version=4)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            for statement in ast.parse(cell.source).body:
                for call in (n for n in ast.walk(statement) if isinstance(n, ast.Call)):
                    if getattr(call.func, "attr", "") == "knob":
                        yield notebook, number, statement, call


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_knob_changes_nothing_that_comes_after_it(chapter):
    """Its result goes nowhere, and what it draws with assigns no name of the notebook."""
    found = list(knobs(chapter))
    assert [call.args[1].value for *_, call in found] == [
        name for number, name in KNOBS.items() if chapter.startswith(number)
    ]
    for notebook, _, statement, call in found:
        assert isinstance(statement, ast.Expr)
        source = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
        (function,) = (
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef) and node.name == call.args[0].id
        )
        kinds = ast.Global | ast.Nonlocal
        assert not [node for node in ast.walk(function) if isinstance(node, kinds)]
        assert "rng" not in {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_stored_knob_is_a_figure(chapter):
    notebook = nbformat.read(notebook_path(chapter), as_version=4)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert not [kind for kind in output.get("data", {}) if "widget" in kind]
    for _, number, *_ in knobs(chapter):
        (output,) = notebook.cells[number].outputs
        assert output.data["image/png"]
