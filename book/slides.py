"""Slides of a chapter: what its notebook shows, in its order, with the prose as the speaker's notes.

A deck is a notebook again, so that the book's own renderer makes the slides. Each heading opens a slide, and
so does each figure and each table that the code shows; the code itself stays in the notebook. A heading's first
paragraph goes on its slide, and so do lists, tables and display formulas; other paragraphs go to the notes of
the slide that is open. A note's last sentence that points forward, ending in ``:`` or ``?``, leads the next slide.
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
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HIDDEN = {"tags": ["remove-input"]}
SHOWN = ("image/png", "text/html", "text/markdown")


@dataclass
class Slide:
    """One slide: heading (its marks give the level), Markdown, outputs of a cell, speaker's notes."""

    heading: str
    body: list[str] = field(default_factory=list)
    outputs: list[NotebookNode] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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


def forward(paragraph: str) -> str:
    """The last sentence of a paragraph if it points to what follows, else nothing.

    >>> forward("All times are in s. How full may a pool be?")
    'How full may a pool be?'
    >>> forward("The curve rises.")
    ''
    """
    sentence = re.split(r"(?<=[.?!])\s+", paragraph)[-1]
    return sentence if sentence.endswith((":", "?")) else ""


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
            outputs = [o for o in cell.outputs if set(SHOWN) & set(o.get("data", {}))]
            if outputs:
                slides.append(Slide(f"### {section}", [lead] if lead else [], outputs))
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
                lead = forward(text)
            elif slides[-1].outputs:
                slides.append(Slide(f"### {section}", [lead, text] if lead else [text]))
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
