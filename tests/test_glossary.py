"""The glossary and the chapters agree: each term introduced with its Chinese is there, and nothing else."""

import re
from dataclasses import dataclass

import nbformat
import pytest

from capkit.course import CHAPTERS
from capkit.course.products import notebook_path

GLOSSARY = notebook_path(CHAPTERS[0]).parent / "glossary.md"
HAN = r"[\u4e00-\u9fff]"
COLUMNS = ["term", "中文", "symbol", "unit", "chapter", "meaning"]


@dataclass(frozen=True)
class Row:
    term: str
    chinese: frozenset[str]
    chapters: tuple[str, ...]


def glossary():
    lines = [x for x in GLOSSARY.read_text(encoding="utf-8").splitlines() if x.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == COLUMNS
    links = [re.findall(r"\[(\d\d)\]\((\w+)\.ipynb\)", row[4]) for row in cells[2:]]
    return [
        Row(row[0], frozenset(row[1].split("、")), tuple(name for _, name in chapters))
        for row, chapters in zip(cells[2:], links, strict=True)
    ]


def english(chapter):
    """A chapter's prose without its summary in Chinese, by cell."""
    notebook = nbformat.read(notebook_path(chapter), as_version=4)
    return {
        number: " ".join(cell.source.split("**中文提要**")[0].split())
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
    }


def introduced(texts):
    """What stands in brackets with Chinese in it: cell, the English before it, each Chinese term."""
    for number, text in texts.items():
        for match in re.finditer(rf"\(([^()]*{HAN}[^()]*)\)", text):
            for part in re.split(r"[、,，;；:]", match[1]):
                if re.search(HAN, part):
                    yield number, text[: match.start()][-40:].strip(), part.strip()


ROWS = glossary()
PROSE = {chapter: english(chapter) for chapter in CHAPTERS}
INTRODUCED = {chapter: list(introduced(texts)) for chapter, texts in PROSE.items()}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_term_with_its_chinese_is_in_the_glossary(chapter):
    known = frozenset().union(*(row.chinese for row in ROWS))
    missing = [
        f"cell {n}: ...{before} ({term})"
        for n, before, term in INTRODUCED[chapter]
        if term not in known
    ]
    assert not missing, f"add to notebooks/glossary.md, chapter {chapter}: {missing}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.term)
def test_every_row_is_introduced_where_it_says(row):
    here = {chapter: {term for *_, term in INTRODUCED[chapter]} for chapter in row.chapters}
    assert here, f"{row.term}: no chapter; write it as [06](06_queueing.ipynb)"
    unused = row.chinese - frozenset().union(*here.values())
    assert not unused, f"{row.term}: {unused} stands in none of {row.chapters}"
    for chapter, terms in here.items():
        assert row.chinese & terms, (
            f"{row.term}: chapter {chapter} does not introduce {row.chinese}"
        )
        prose = " ".join(PROSE[chapter].values()).lower()
        for word in row.term.lower().split():
            assert word in prose, f"chapter {chapter} has no {word!r} of {row.term!r}"


def test_rows_are_in_the_order_of_the_alphabet():
    terms = [row.term.lower() for row in ROWS]
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_links_to_the_glossary_once_at_its_top(chapter):
    linked = [number for number, text in PROSE[chapter].items() if "(glossary.md)" in text]
    assert linked == [min(PROSE[chapter])]
    assert PROSE[chapter][linked[0]].count("[glossary](glossary.md)") == 1
