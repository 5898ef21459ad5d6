"""`make lab` as a new user meets it: for its owner only, and chapters that run by the menu in a browser."""

import re
import time
import urllib.error
import urllib.request

import nbformat
import pytest
from browser import chromium, open_page, watch
from lab_page import Notebook, copy_course, errors, lab
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.browser
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
SLIDER = """
import ipywidgets

ipywidgets.interact(lambda load: print(f"wait {load / (100 - load):.2f}"), load=(1, 99))
"""


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


@pytest.mark.parametrize("chapter", ["01_why_capacity_planning", "06_queueing"])
def test_chapter_runs_by_the_menu(course_copy, browser, chapter):
    folder, address = course_copy
    page = open_page(browser, viewport={"width": 1400, "height": 1000})
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
    page.get_by_role("heading", name="Next").wait_for()
    assert not [w for w in wrong if not w.startswith("console: ")]
    page.close()


def test_a_cell_can_be_filled_and_answers(course_copy, browser):
    folder, address = course_copy
    page = open_page(browser)
    notebook = Notebook(page, address, folder, "notebooks/00_start_here.ipynb")
    notebook.fill('run_dir = ""', "print(6 * 7)")
    notebook.page.locator(".jp-OutputArea", has_text="42").first.wait_for()
    page.close()


def test_a_slider_moves(course_copy, browser):
    pytest.importorskip("ipywidgets")
    folder, address = course_copy
    path = "notebooks/slider.ipynb"
    cells = [new_code_cell(SLIDER.strip())]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), folder / path)
    page = open_page(browser)
    notebook = Notebook(page, address, folder, path)
    notebook.menu("Run", "Run All Cells")
    page.get_by_text("wait 1.00").wait_for()
    assert notebook.move_slider("load", 40) == "90"
    page.get_by_text("wait 9.00").wait_for()
    page.close()
