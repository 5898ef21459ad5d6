"""Slides of a chapter: what its notebook shows, in its order, with the prose as the speaker's notes.

A deck is a notebook again, so that the book's own renderer makes the slides. Each heading opens a slide, and
so does each figure, each table and each text that the code shows; the code itself stays in the notebook. A
heading's first paragraph goes on its slide, and so do lists, tables and display formulas, and a printed text
that follows at once; other paragraphs go to the notes of the slide that is open. A note's last sentence that
points forward, ending in ``:`` or ``?``, leads the next slide; so does any last sentence where a text follows,
which says nothing alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import nbformat
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

HIDDEN = {"tags": ["remove-input"]}
SHOWN = ("image/png", "text/html", "text/markdown")
#: what a slide has room for
TEXT_LINES = 20
#: how a cell says that it shows the reference's numbers and none of its own
TAKEN = ": taken from the reference run"


@dataclass
class Slide:
    """One slide: heading (its marks give the level), Markdown, outputs of a cell, speaker's notes."""

    heading: str
    body: list[str] = field(default_factory=list)
    outputs: list[NotebookNode] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def has_room(self) -> bool:
        """Whether the slide says one thing so far, so that a printed text belongs under it."""
        return len(self.body) == 1 and not self.outputs and not self.notes


def blocks(markdown: str) -> Iterator[tuple[str, str]]:
    """Kind and source of each top-level block of a Markdown text.

    >>> list(blocks("## Waits\\n\\nOne line.\\n\\n- a\\n- b"))
    [('heading', '## Waits'), ('paragraph', 'One line.'), ('bullet_list', '- a\\n- b')]
    """
    parser = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
    lines = markdown.splitlines()
    for token in parser.parse(markdown):
        if token.level == 0 and token.nesting >= 0:
            start, end = token.map
            yield token.type.removesuffix("_open"), "\n".join(lines[start:end]).strip()


def last_sentence(paragraph: str) -> str:
    """How a paragraph ends.

    >>> last_sentence("All times are in s. How full may a pool be?")
    'How full may a pool be?'
    """
    return re.split(r"(?<=[.?!])\s+", paragraph)[-1]


def forward(sentence: str) -> str:
    """The sentence if it points to what follows, else nothing.

    >>> forward("How full may a pool be?")
    'How full may a pool be?'
    >>> forward("The curve rises.")
    ''
    """
    return sentence if sentence.endswith((":", "?")) else ""


def printed(output: NotebookNode) -> str:
    """The text that an output shows as text, else nothing.

    >>> printed(new_output("stream", text="rate 3\\n"))
    'rate 3'
    >>> printed(new_output("display_data", {"text/html": "<table>", "text/plain": "1"}))
    ''
    """
    if output.output_type == "stream":
        text = output.text if output.name == "stdout" else ""
    else:
        data = output.get("data", {})
        text = "" if set(SHOWN) & set(data) else data.get("text/plain", "")
    return str(text).rstrip("\n")


def short(text: str) -> NotebookNode:
    """A text as an output that a slide has room for; a long one ends with how much is left out.

    >>> short("line\\n" * 25).text.splitlines()[-2:]
    ['line', '... (6 more lines in the notebook)']
    """
    lines = text.splitlines()
    if len(lines) > TEXT_LINES:
        left = len(lines) - TEXT_LINES + 1
        lines = [*lines[: TEXT_LINES - 1], f"... ({left} more lines in the notebook)"]
    return new_output("stream", name="stdout", text="\n".join(lines) + "\n")


def shown(cell: NotebookNode) -> list[NotebookNode]:
    """The outputs of a cell that go on a slide: nothing where it only says whose measurement it takes."""
    texts = [printed(output) for output in cell.outputs]
    says = [text for text in "\n".join(texts).splitlines() if text and not text.endswith(TAKEN)]
    if not says and not any(set(SHOWN) & set(o.get("data", {})) for o in cell.outputs):
        return []
    return [
        short(text) if text else output
        for output, text in zip(cell.outputs, texts, strict=True)
        if text or set(SHOWN) & set(output.get("data", {}))
    ]


def read(notebook: NotebookNode) -> list[Slide]:
    """The slides of a chapter, in order; the first one carries the title.

    Raises
    ------
    ValueError
        The notebook does not begin with its title.
    """
    slides: list[Slide] = []
    section, lead, section_open = "", "", False
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = shown(cell)
            text_only = all(map(printed, outputs))
            if outputs and text_only and slides and slides[-1].has_room():
                slides[-1].outputs = outputs
            elif outputs:
                leading = lead if text_only else forward(lead)
                slides.append(Slide(f"### {section}", [leading] if leading else [], outputs))
            if outputs:
                lead = ""
            continue
        for kind, text in blocks(cell.source):
            if kind == "heading":
                section, lead = text.lstrip("# "), ""
                section_open = bool(slides)
                slides.append(Slide(text))
            elif not slides:
                raise ValueError(f"a chapter begins with its title, got {text[:60]!r}")
            elif re.fullmatch(r"\*\*[^*]+\*\*", text):
                level = "###" if section_open else "##"
                slides.append(Slide(f"{level} {text.strip('*')}"))
            elif kind == "blockquote":
                slides.append(Slide(f"### {section}", [text]))
            elif kind == "paragraph" and (slides[-1].body or slides[-1].outputs):
                slides[-1].notes.append(text)
                lead = last_sentence(text)
            elif slides[-1].outputs:
                leading = forward(lead)
                slides.append(Slide(f"### {section}", [leading, text] if leading else [text]))
                lead = ""
            else:
                slides[-1].body.append(text)
    return slides


def to_pages(markdown: str) -> str:
    """The same text with links to other folders and to texts leading to the book's pages: beside a deck lie decks only.

    >>> to_pages("[try](exercises/06_queueing.ipynb), [word](glossary.md), [next](07_forecasting.ipynb)")
    '[try](page:notebooks/exercises/06_queueing), [word](page:notebooks/glossary), [next](07_forecasting.ipynb)'
    """

    def lead(match: re.Match[str]) -> str:
        return f"](page:{posixpath.normpath(posixpath.join('notebooks', match[1] or match[2]))})"

    return re.sub(r"\]\((?:((?:[\w.-]+/)+\w+)\.ipynb|([\w./-]+)\.md)\)", lead, markdown)


def notes(paragraphs: list[str]) -> str:
    """The directive for the speaker's notes."""
    return ":::{revealjs-notes}\n" + "\n\n".join(paragraphs) + "\n:::"


def deck(notebook: NotebookNode) -> NotebookNode:
    """The slides of a chapter as a notebook: Markdown cells, and code cells of which only the output is seen."""
    cells = []
    for slide in read(notebook):
        cells.append(new_markdown_cell(to_pages("\n\n".join([slide.heading, *slide.body]))))
        if slide.outputs:
            cells.append(new_code_cell("...", outputs=slide.outputs, metadata=HIDDEN))
        if slide.notes:
            cells.append(new_markdown_cell(to_pages(notes(slide.notes))))
    for number, cell in enumerate(cells, 1):
        cell.id = f"s{number:03d}"
    made = new_notebook(cells=cells, metadata=dict(notebook.metadata))
    nbformat.validate(made)
    return made
