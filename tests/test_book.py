"""The book in a real browser, from disk: no error, no network, no broken link, readable by everyone."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from browser import chromium, inaccessible, open_page, watch

from capkit.course import CHAPTERS
from capkit.course.products import notebook_path
from capkit.datasets import project_root

pytestmark = pytest.mark.browser
ROOT = project_root()
#: text, tables, a drawing, code, figures, formulas, slides
EACH_KIND = (
    "index.html",
    "notebooks/glossary.html",
    "docs/which_model.html",
    "notebooks/01_why_capacity_planning.html",
    "slides/01_why_capacity_planning.html",
)
PHONE = {"width": 390, "height": 844}
#: each formula with what MathJax made of it
FORMULAS = """
[...document.querySelectorAll('.math')].map(e => ({
    source: e.textContent.slice(0, 60),
    drawn: !!e.querySelector('mjx-container') && !e.querySelector('mjx-merror'),
}))
"""
LINKS = "[...document.querySelectorAll('[href], [src]')].map(e => e.href || e.src)"
IDS = "[...document.querySelectorAll('[id]')].map(e => e.id)"
IMAGES = "[...document.images].map(e => ({alt: e.alt, seen: e.complete && e.naturalWidth > 0}))"


def pages(html):
    """All pages and all decks of slides."""
    return [p for p in sorted(html.rglob("*.html")) if "_static" not in p.parts]


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The book, built with the network blocked."""
    pytest.importorskip("myst_nb", reason="pip install -e '.[book]'")
    folder = tmp_path_factory.mktemp("book")
    subprocess.run(
        [sys.executable, ROOT / "book" / "build.py", "--out", folder],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "netblock")},
    )
    return folder / "html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def visit(page, path):
    """Open a page and wait until it stands still: formulas drawn, slides ready, no colour half way to the next."""
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate("window.MathJax && MathJax.startup.promise")
    page.wait_for_function("!window.Reveal || Reveal.isReady()")
    page.wait_for_function(
        "!document.getAnimations().some(a => a instanceof CSSTransition && a.playState === 'running')"
    )


@pytest.fixture(scope="module")
def visits(html, browser):
    """Every page once, opened and read: what went wrong on it, its links, ids, formulas and images."""
    seen = {}
    page = open_page(browser)
    wrong = watch(page, html.as_uri())
    for path in pages(html):
        visit(page, path)
        parts = {"links": LINKS, "ids": IDS, "formulas": FORMULAS, "images": IMAGES}
        seen[path] = {name: page.evaluate(script) for name, script in parts.items()}
        seen[path]["wrong"] = [*wrong]
        wrong.clear()
    page.close()
    return seen


def test_every_page_loads_without_a_complaint_and_without_a_network(visits, html):
    assert len(visits) >= 2 * len(CHAPTERS)
    assert not {p.relative_to(html): v["wrong"] for p, v in visits.items() if v["wrong"]}


def test_no_link_is_broken(visits, html):
    ids = {path.as_uri(): {*seen["ids"]} for path, seen in visits.items()}
    broken = []
    for path, seen in visits.items():
        for link in filter(lambda link: link.startswith("file:"), seen["links"]):
            target, anchor = urldefrag(link)
            there = Path(unquote(target.removeprefix("file://").split("?")[0])).exists()
            # reveal.js writes the address of a slide as #/3/1
            lost = target in ids and anchor.strip("/") and anchor not in ids[target]
            if not there or (lost and not anchor.startswith("/")):
                broken.append(f"{path.relative_to(html)}: {link}")
    assert not broken


def test_every_formula_is_drawn(visits, html):
    drawn = 0
    for path, seen in visits.items():
        bad = [f["source"] for f in seen["formulas"] if not f["drawn"]]
        assert not bad, f"{path.relative_to(html)}: {bad}"
        drawn += len(seen["formulas"])
    assert drawn > 50


def test_every_figure_of_a_chapter_is_shown_with_its_alternative_text(visits, html):
    for chapter in CHAPTERS:
        notebook = nbformat.read(notebook_path(chapter), as_version=4)
        wanted = [
            output.metadata["image/png"]["alt"]
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})
        ]
        for folder in ("notebooks", "slides"):
            images = visits[html / folder / f"{chapter}.html"]["images"]
            assert [image["alt"] for image in images] == wanted, (folder, chapter)
            assert all(image["seen"] for image in images), (folder, chapter)


def test_every_page_is_accessible(html, browser):
    page = open_page(browser)
    found = {}
    for path in pages(html):
        visit(page, path)
        if bad := inaccessible(page, contrast=False):
            found[str(path.relative_to(html))] = bad
    page.close()
    assert not found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough(html, browser, scheme):
    page = open_page(browser, color_scheme=scheme)
    for name in EACH_KIND:
        visit(page, html / name)
        assert not inaccessible(page, contrast=True), name
    page.close()


def test_phone_shows_every_page_without_scrolling_sideways(html, browser):
    page = open_page(browser, viewport=PHONE)
    for path in pages(html):
        visit(page, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
    visit(page, html / "index.html")
    page.get_by_label("Toggle primary sidebar").click()
    page.get_by_role("dialog").get_by_role("link", name="06 Queueing", exact=True).click()
    page.get_by_role("heading", name="06 Queueing").wait_for()
    page.close()


def test_light_and_dark_are_a_click_apart(html, browser):
    page = open_page(browser, color_scheme="light")
    page.goto((html / "index.html").as_uri())

    def brightness():
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    light = brightness()
    page.get_by_role("button", name="Color mode").click()
    page.get_by_role("button", name="Dark").click()
    assert brightness() < light / 2
    page.close()


def test_search_finds_the_chapter(html, browser):
    page = open_page(browser)
    page.goto(f"{(html / 'search.html').as_uri()}?q=Erlang")
    page.locator("#search-results li a").first.wait_for()
    assert any(
        "06_queueing" in a.get_attribute("href") for a in page.locator("#search-results li a").all()
    )
    page.close()


def test_each_page_offers_its_notebook(html, browser):
    page = open_page(browser)
    for chapter in CHAPTERS:
        path = html / "notebooks" / f"{chapter}.html"
        page.goto(path.as_uri())
        link = page.locator("a.btn-download-source-button").get_attribute("href")
        assert (path.parent / link).read_bytes() == notebook_path(chapter).read_bytes()
    page.close()


def test_slides_fit_and_speak(html, browser):
    page = open_page(browser, viewport={"width": 1120, "height": 700})
    for chapter in CHAPTERS:
        visit(page, html / "slides" / f"{chapter}.html")
        total = page.evaluate("Reveal.getTotalSlides()")
        assert total > 5
        notes = 0
        for number in range(total):
            box = page.evaluate(
                "(() => { const s = Reveal.getCurrentSlide(); return {height: s.scrollHeight,"
                " width: s.scrollWidth, notes: !!s.querySelector('aside.notes')}; })()"
            )
            # MathJax's hidden MathML may stand out to the right
            assert box["height"] <= 700, f"{chapter}, slide {number + 1}"
            assert box["width"] <= 1.05 * 1120, f"{chapter}, slide {number + 1}"
            notes += box["notes"]
            page.keyboard.press("Space")
        assert notes >= total / 4, f"{chapter}: {notes} of {total} slides have notes"
    page.close()
