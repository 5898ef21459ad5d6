"""The chapters for every reader: figures said in words, headings in order, tables with headers, safe colours."""

import itertools
import re

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.colors import to_rgb
from nbformat.v4 import new_code_cell

from capkit import plots
from capkit.course import CHAPTERS
from capkit.course.notebooks import execute
from capkit.course.products import notebook_path

FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
TABLE_HEAD = re.compile(r"^\|(.+)\|\s*\n\|[-:| ]+\|\s*$", re.MULTILINE)
SAYS_NOTHING = re.compile(r"^(a |the )?(figure|plot|image|chart|graph|picture)\b", re.IGNORECASE)
#: Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
VISION = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
#: runs before a chapter's first figure; a chapter then stops at the figure that fails
CHECK_FIGURES = """
from capkit import plots

def checked(panel, alt, show=plots.show):
    show(panel, alt)
    first = panel[0] if isinstance(panel, (list, tuple)) or hasattr(panel, "shape") else panel
    found = [labels for ax in first.get_figure(root=True).axes for labels in plots.alike(ax)]
    assert not found, f"only colour tells these lines apart: {found}"

plots.show = checked
measure = False
"""


@pytest.fixture(params=CHAPTERS, scope="module")
def cells(request):
    """A chapter's cells with their names, such as ``06_queueing, cell 24``."""
    notebook = nbformat.read(notebook_path(request.param), as_version=4)
    return [(f"{request.param}, cell {n}", cell) for n, cell in enumerate(notebook.cells)]


def test_every_figure_says_in_words_what_it_shows(cells):
    said, bad = set(), []
    for name, cell in cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                if len(alt.split()) < 8 or SAYS_NOTHING.match(alt) or alt in said:
                    bad.append(f"{name}: {alt!r}")
                said.add(alt)
    assert not bad, f"say what the figure shows, each its own: {bad}"


def test_headings_do_not_skip_a_level(cells):
    headings = [
        (name, len(mark), text)
        for name, cell in cells
        if cell.cell_type == "markdown"
        for mark, text in re.findall(
            r"^(#+) (.+)$", FENCED.sub("", cell.source), flags=re.MULTILINE
        )
    ]
    assert [level for _, level, _ in headings].count(1) == 1
    for (_, above, _), (name, level, text) in itertools.pairwise(headings):
        assert level - above <= 1, f"{name}: {text!r} skips a level"


def header_of_each_column(rows):
    """The header cells of a table's head by column, all its lines joined."""
    columns = {}
    for row in rows:
        place = 0
        for cell in row.find_all(["th", "td"]):
            for _ in range(int(cell.get("colspan", 1))):
                columns[place] = columns.get(place, "") + cell.get_text(strip=True)
                place += 1
    return columns


def test_every_column_of_values_has_a_header(cells):
    bad = []
    for name, cell in cells:
        if cell.cell_type == "markdown":
            heads = TABLE_HEAD.findall(cell.source)
            bad += [
                f"{name}: {head}"
                for head in heads
                if not all(x.strip() for x in head.split("|")[1:])
            ]
        for output in cell.get("outputs", []):
            page = BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser")
            for table in page.find_all("table"):
                headers = header_of_each_column(table.select("thead tr"))
                body = table.select_one("tbody tr")
                values = (
                    [k for k, c in enumerate(body.find_all(["th", "td"])) if c.name == "td"]
                    if body
                    else []
                )
                bad += [
                    f"{name}: column {k + 1} of {[*headers.values()]}"
                    for k in values
                    if not headers.get(k)
                ]
    assert not bad, f"name these columns: {bad}"


def linear(colour):
    share = np.array(to_rgb(colour))
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lightness_and_hue(light):
    """CIE L*a*b* of linear RGB, white D65."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(to_xyz @ np.clip(light, 1e-4, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_colours_differ_for_colour_blind_eyes(vision):
    seen = {c: lightness_and_hue(np.array(VISION[vision]) @ linear(c)) for c in plots.COLORS}
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 8, (one, other)


def test_lines_stand_out_from_the_page_and_differ_in_grey():
    for colour in (
        *plots.COLORS[:4],
        "black",
    ):  # the rest fill areas; seldom does a figure have five lines
        contrast = 1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05)
        assert contrast >= 3, colour  # WCAG 1.4.11
    ax = plots.axes("Lines", "x", "y")
    for number in range(len(plots.COLORS)):
        ax.plot([0, number], label=str(number))
    assert plots.alike(ax) == []


@pytest.mark.browser
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_line_is_told_apart_by_colour_alone(chapter, tmp_path):
    notebook = nbformat.read(notebook_path(chapter), as_version=4)
    parameters = next(
        n for n, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])
    )
    notebook.cells.insert(parameters + 1, new_code_cell(CHECK_FIGURES))
    execute(notebook, environment={"CAPKIT_RUNS": str(tmp_path)})
