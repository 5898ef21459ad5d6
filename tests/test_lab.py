"""`make lab` as a new user meets it: for its owner only, and chapters that run by the menu in a browser."""

import re
import time
import urllib.error
import urllib.request

import pytest
from browser import chromium, open_page, watch
from lab_page import Notebook, copy_course, errors, lab

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def course_copy(tmp_path_factory):
    """A copy of the course with JupyterLab running in it: its folder and the address that it prints."""
    folder = tmp_path_factory.mktemp("lab")
    environment = copy_course(folder)
    with lab(folder, environment) as address:
        yield folder, address


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def answer_of(url):
    """Status of an address; the server prints it shortly before it listens."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            time.sleep(0.2)
    raise TimeoutError(f"no answer from {url}")


def test_lab_opens_the_first_chapter_for_its_owner_only(course_copy):
    _, address = course_copy
    assert "00_start_here.ipynb" in address
    base, token = re.match(r"(http://127\.0\.0\.1:\d+)/.*token=(\w+)", address).groups()
    contents = f"{base}/api/contents/notebooks/00_start_here.ipynb?content=0"
    assert answer_of(f"{contents}&token={token}") == 200
    assert answer_of(contents) == 403


@pytest.fixture
def page(browser):
    opened = open_page(browser, viewport={"width": 1400, "height": 1000})
    yield opened
    opened.close()


def open_and_run(page, course_copy, chapter):
    """A chapter, run by the menu and looked at from top to bottom."""
    folder, address = course_copy
    wrong = watch(page, "http://127.0.0.1")
    notebook = Notebook(page, address, folder, f"notebooks/{chapter}.ipynb")
    ran = notebook.run_all()
    assert not errors(ran)
    code = [c for c in ran.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    figures, formulas, unreadable = notebook.look()
    assert figures == len([o for c in code for o in c.outputs if "image/png" in o.get("data", {})])
    assert bool(formulas) == any("$" in c.source for c in ran.cells if c.cell_type == "markdown")
    assert not unreadable
    notebook.find("h2", "Next")
    assert not [w for w in wrong if not w.startswith("console: ")]
    return notebook


def test_the_first_chapter_runs_by_the_menu(page, course_copy):
    open_and_run(page, course_copy, "01_why_capacity_planning")


def test_chapter_06_runs_by_the_menu_and_its_slider_draws_anew(page, course_copy):
    from playwright.sync_api import expect

    notebook = open_and_run(page, course_copy, "06_queueing")
    slider = notebook.find(".widget-slider", "utilisation")
    figure = page.locator(".jp-CodeCell", has=slider).locator(".jp-OutputArea img")
    page.locator(".widget-slider", has_text="0.85").wait_for()
    before = figure.get_attribute("src")
    notebook.move_slider("utilisation", 2)
    page.locator(".widget-slider", has_text="0.92").wait_for()
    expect(figure).not_to_have_attribute("src", before)
    expect(figure).to_have_count(1)


def test_an_exercise_is_filled_and_its_check_answers(page, course_copy):
    folder, address = course_copy
    path = "notebooks/exercises/01_why_capacity_planning.ipynb"
    notebook = Notebook(page, address, folder, path)
    notebook.run_all()
    for old, new, verdict in (("...", "40", False), ("40", "60", True)):
        notebook.fill(f"bought = {old}", f"bought = {new}")
        check = notebook.cell('exercises.check("01.2"')
        check.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        check.locator(".jp-OutputArea", has_text="01.2").wait_for()
        page.wait_for_timeout(1000)
        assert ("Right." in check.locator(".jp-OutputArea").inner_text()) == verdict
