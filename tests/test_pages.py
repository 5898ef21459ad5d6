"""Pages of a run: no script of a notebook in them, nothing loaded but MathJax, and the index."""

import re

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from capkit.course import pages

FIRST = "03_workload_analysis"


def test_pages_hold_no_script_of_a_notebook(tmp_path):
    bad = '<b onclick="x()">kept</b><script>alert(1)</script><img src="x" onerror="alert(2)">'
    output = new_output("display_data", {"text/html": bad})
    sizes = {"height": "1 onerror=alert(22)", "width": 20}
    pictures = [
        new_output("display_data", {kind: "AAAA"}, metadata=metadata)
        for kind in ("image/png", "image/jpeg")
        for metadata in (sizes, {kind: sizes})
    ]
    cells = [new_markdown_cell(bad), new_code_cell("1", outputs=[output, *pictures])]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    page = pages.write_notebook(tmp_path / "a.ipynb").read_text(encoding="utf-8")
    assert page.count("<b>kept</b>") == 2
    assert "<script>alert" not in page
    body = page.split("<main", 1)[1]
    assert not re.search(r"<[^>]*\son\w+=", body)
    assert body.count('width="20"') == len(pictures)


def test_pages_load_nothing_but_mathjax(tmp_path):
    widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2}}
    notebook = new_notebook(cells=[new_markdown_cell("$x$")], metadata={"widgets": widgets})
    nbformat.write(notebook, tmp_path / "a.ipynb")
    page = pages.write_notebook(tmp_path / "a.ipynb").read_text(encoding="utf-8")
    assert "<title>a</title>" in page
    (address,) = re.findall(
        r"https?://(?!www\.w3\.org)[^\s\"']+",
        re.sub(r"<style.*?</style>", "", page, flags=re.DOTALL),
    )
    assert "mathjax" in address


def test_the_index_names_what_a_run_made(tmp_path):
    plan = tmp_path / "09_capacity_plan" / "plan.html"
    assert "plan.html" not in pages.write_index(tmp_path, [FIRST], plan).read_text()
    plan.parent.mkdir()
    plan.touch()
    page = pages.write_index(tmp_path, [FIRST], plan).read_text()
    assert '<a href="09_capacity_plan/plan.html">' in page
    assert f'<a href="{FIRST}.html">' in page
