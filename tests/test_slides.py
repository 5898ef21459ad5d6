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


def text(lines, name="stdout"):
    return new_output("stream", name=name, text=lines)


def test_code_that_shows_nothing_is_not_on_a_slide(slides):
    nothing = (
        [],
        [text("a warning", name="stderr")],
        [text("05_serving_benchmark: taken from the reference run")],
    )
    for outputs in nothing:
        assert len(slides.read(notebook(new_code_cell("x = 1", outputs=outputs)))) == 1


def test_a_printed_text_stands_under_the_sentence_that_points_to_it(slides):
    said = "## Waits\n\nHow long does one wait?"
    _, section, later = slides.read(
        notebook(
            new_markdown_cell(said),
            new_code_cell("wait", outputs=[text("3 ms")]),
            new_markdown_cell("So much. The second row is the mean."),
            new_code_cell("mean", outputs=[text("2 ms\n"), new_output("display_data")]),
        )
    )
    assert (section.body, [o.text for o in section.outputs]) == (
        ["How long does one wait?"],
        ["3 ms\n"],
    )
    assert later.body == ["The second row is the mean."]
    assert [o.text for o in later.outputs] == ["2 ms\n"]


def test_a_text_beside_a_table_is_on_its_slide(slides):
    reference = "05_serving_benchmark: taken from the reference run\n"
    *_, last = slides.read(
        notebook(new_code_cell("waits", outputs=[text(reference), table(), text("of 7 rows\n")]))
    )
    assert last.outputs == [text(reference), table(), text("of 7 rows\n")]


def test_a_series_is_a_text_and_a_long_text_says_what_is_left_out(slides):
    series = new_output("execute_result", data={"text/plain": "a 1\n" * 50}, execution_count=1)
    *_, last = slides.read(notebook(new_code_cell("series", outputs=[series])))
    lines = last.outputs[0].text.splitlines()
    assert len(lines) == slides.TEXT_LINES
    assert lines[-1] == f"... ({50 - slides.TEXT_LINES + 1} more lines in the notebook)"


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


def seen(slides, made):
    """What a notebook shows, in order: figures and tables, and each text up to the lines that fit."""
    outputs = [o for cell in made.cells for o in cell.get("outputs", [])]
    taken = slides.TAKEN
    for output in outputs:
        if words := slides.printed(output):
            if not all(line.endswith(taken) for line in words.splitlines() if line):
                yield words.splitlines()[: slides.TEXT_LINES - 1]
        elif set(slides.SHOWN) & set(output.get("data", {})):
            yield output


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_everything_that_a_chapter_shows_is_in_its_deck(slides, chapter):
    source = nbformat.read(notebook_path(chapter), as_version=4)
    deck = slides.deck(source)
    assert [*seen(slides, source)] == [*seen(slides, deck)]
    assert deck.cells[0].source.startswith(f"# {chapter[:2]}")
