"""The slides that are made of a chapter: what goes on a slide, what goes to the speaker's notes."""

import doctest
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from capkit.course import CHAPTERS
from capkit.course.products import notebook_path
from capkit.datasets import project_root

pytestmark = pytest.mark.browser

TEXT = """
## Waits

How long does one wait?

Only the speaker says this. Measured for one server:
"""


@pytest.fixture(scope="module")
def slides():
    pytest.importorskip("mdit_py_plugins", reason="pip install -e '.[book]'")
    sys.path.insert(0, str(project_root() / "book"))
    import slides

    return slides


def table(html="<table><tr><td>1</td></tr></table>"):
    return new_output("display_data", data={"text/html": html, "text/plain": "1"})


def notebook(*cells):
    return new_notebook(cells=[new_markdown_cell("# 06 Queueing\n\n*How many?*"), *cells])


def test_headings_and_outputs_open_slides_and_paragraphs_are_notes(slides):
    title, section, result = slides.read(
        notebook(
            new_markdown_cell(TEXT),
            new_code_cell("waits", outputs=[table()]),
            new_markdown_cell("Read it."),
        )
    )
    assert (title.heading, title.body) == ("# 06 Queueing", ["*How many?*"])
    assert (section.heading, section.body) == ("## Waits", ["How long does one wait?"])
    assert section.notes == ["Only the speaker says this. Measured for one server:"]
    assert (result.heading, result.body) == ("### Waits", ["Measured for one server:"])
    assert result.outputs == [table()]
    assert result.notes == ["Read it."]


def test_code_without_a_figure_or_a_table_is_not_on_a_slide(slides):
    printed = new_output("stream", text="1")
    made = slides.read(
        notebook(new_code_cell("print(1)", outputs=[printed]), new_code_cell("x = 1"))
    )
    assert len(made) == 1


def test_a_list_after_a_result_has_its_own_slide(slides):
    *_, last = slides.read(
        notebook(
            new_markdown_cell("## Waits"),
            new_code_cell("waits", outputs=[table()]),
            new_markdown_cell("Two things follow:\n\n- a\n- b"),
        )
    )
    assert (last.heading, last.body) == ("### Waits", ["Two things follow:", "- a\n- b"])
    assert not last.outputs


def test_examples_run(slides):
    assert doctest.testmod(slides).attempted
    assert not doctest.testmod(slides).failed


def test_a_notebook_without_a_title_is_refused(slides):
    with pytest.raises(ValueError, match="a chapter begins with its title, got 'text'"):
        slides.read(new_notebook(cells=[new_markdown_cell("text")]))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_figure_and_table_of_a_chapter_is_in_its_deck(slides, chapter):
    source = nbformat.read(notebook_path(chapter), as_version=4)
    deck = slides.deck(source)
    shown = [
        [
            o
            for cell in made.cells
            for o in cell.get("outputs", [])
            if set(slides.SHOWN) & set(o.get("data", {}))
        ]
        for made in (source, deck)
    ]
    assert shown[0] == shown[1]
    assert deck.cells[0].source.startswith(f"# {chapter[:2]}")
