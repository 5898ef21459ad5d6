"""True prose: no number in a chapter's text that nothing checked supports, and one that is planted is found."""

import inspect

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell
from prose import Prose

from capkit.autoscaling import controllers
from capkit.autoscaling.hpa import DOWN, UP
from capkit.loadtest import capacity
from capkit.planning.uncertainty import outlook
from capkit.serving import metrics, profile
from capkit.workload.log import Workload


def default(function, name):
    """What a function takes when it is not told."""
    return inspect.signature(function).parameters[name].default


#: by chapter: a phrase with a number that stands in the package, not in the notebook; the number, and what holds it
KEPT_BY_THE_PACKAGE = {
    "03": {"notice with probability 0.9": (0.9, default(Workload.detectable_dispersion, "power"))},
    "05": {
        "for p below 0.00001": (0.00001, capacity.STEADY),
        "every error is within 15 %": (0.15, profile.LINE_ERROR),
    },
    "09": {"2,000 weeks are drawn": (2000, default(outlook, "draws"))},
    "10": {
        "looks every 15 s": (15.0, controllers.SYNC_S),
        "recommendation of the last 300 s": (300.0, DOWN.stabilization_s),
        "or twice as many in 15 s": (15.0, UP.policies[1].period_s),
        "decide in steps of 15 s": (15.0, controllers.SYNC_S),
        "1.8 times as wide": (1.8, metrics.LATENCY[1] / metrics.LATENCY[0]),
    },
}
#: by chapter: a phrase with a number of other people's making, or of arithmetic, and whose it is
VOUCHED_FOR = {
    "04": {
        "images of shape (28, 28) with integers 0 to 255 go straight into": "the document's listing",
        "for a model whose input is (28, 28, 1)": "the document's listing",
        "with the full set of 60,000 digits": "the size of MNIST",
        "cores in ticks of 10 ms": "the clock of Linux",
    },
    "05": {
        "a client for gRPC on port 8500": "the document's listing",
        "gRPC (8500 by default) and REST (8501)": "TensorFlow Serving's ports",
    },
    "07": {"small is below 0.05": "a convention"},
    "08": {"with a p99 of at most 15 ms": "MLPerf's rule for this model"},
    "09": {
        "a milder need: the 90 % quantile of the forecast": "the upper end of chapter 08's interval",
        "$d / (3600 z)$": "seconds of an hour",
        "enclose 90 % of the weeks": "from the 5 % to the 95 % quantile: Outlook.table",
    },
    "10": {"A week of 1,000 requests/s has 600 million requests": "times the seconds of a week"},
}


def prose(notebook, chapter):
    number = chapter[:2]
    return Prose(notebook, [*KEPT_BY_THE_PACKAGE.get(number, {}), *VOUCHED_FOR.get(number, {})])


def test_every_number_in_prose_is_supported(notebook, chapter):
    bad = [
        f"cell {s.cell}: {s.number} in ...{s.words}" for s in prose(notebook, chapter).unsupported()
    ]
    assert not bad, f"point at a table, or use course.answer: {bad}"


@pytest.mark.parametrize(
    ("phrase", "stated", "kept"),
    [
        pytest.param(phrase, *numbers, id=f"{chapter}, {phrase}")
        for chapter, phrases in KEPT_BY_THE_PACKAGE.items()
        for phrase, numbers in phrases.items()
    ],
)
def test_what_prose_says_of_the_package_is_so(phrase, stated, kept):
    assert stated == pytest.approx(kept)


def test_every_exception_is_needed(notebook, chapter):
    number = chapter[:2]
    text = " ".join(" ".join(c.source for c in notebook.cells).split())
    for phrase in (*KEPT_BY_THE_PACKAGE.get(number, {}), *VOUCHED_FOR.get(number, {})):
        assert phrase in text, f"no longer in chapter {number}: {phrase}"


def test_a_planted_number_is_found(notebook, chapter):
    """Beside every text a sentence of wrong numbers: they are found, but for a few that stand near by chance."""
    planted = dict.fromkeys(("37.4", "613", "2.73", "47", "8,164"), 0)
    sentence = "Now 37.4 % of 613 requests wait 2.73 ms at 47 servers, for 8,164 USD."
    cells = []
    for cell in notebook.cells:
        cells += [cell, new_markdown_cell(sentence)] if cell.cell_type == "markdown" else [cell]
    texts = len(cells) - len(notebook.cells)
    notebook.cells = cells
    for stated in prose(notebook, chapter).unsupported():
        planted[stated.number] += 1
    for number, found in planted.items():
        most = 0.5 if len(number) == 2 else 0.95
        assert found >= most * texts, f"{number}: {found} of {texts} found"


MARKDOWN = "A wait of 12.5 ms. Chapter 06 and section 4.1 say so; row 3 costs 20 % more."


def test_what_supports_a_number():
    made = nbformat.v4.new_notebook()
    code = nbformat.v4.new_code_cell
    made.cells = [
        code("slo_latency_ms = 50.0", metadata={"tags": ["parameters"]}),
        new_markdown_cell(MARKDOWN),
        code("wait_s = 0.0125; dearer = 1.2"),
        code("table", metadata={"tags": ["nbval-check-output"]}),
        new_markdown_cell(
            "Of these 37.4 % fail. The target `slo_latency_ms` is 50, here 60. In 2019 none."
        ),
        new_markdown_cell("Chapter 42, section 7.3 and row 9 are not there."),
    ]
    made.cells[3].outputs = [nbformat.v4.new_output("stream", text="3 spot 37.412\n")]
    found = [(s.number, s.support) for s in Prose(made).stated()]
    assert found == [
        ("12.5", "code"),
        ("06", "chapter"),
        ("4.1", "section"),
        ("3", "label"),
        ("20", "code"),
        ("37.4", "output"),
        ("50", "parameter"),
        ("60", ""),
        ("42", ""),
        ("7.3", ""),
        ("9", ""),
    ]


def test_a_wrong_number_in_a_caption_or_an_answer_is_found():
    made = nbformat.v4.new_notebook()
    sources = [
        "x = 1.0",
        'plots.show(ax, alt="The wait doubles at 77 %.")',
        'course.answer("It takes {n} servers, 78 at night.", n=12)',
    ]
    made.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    made.cells[0].metadata = {"tags": ["parameters"]}
    assert [s.number for s in Prose(made).unsupported()] == ["77", "78"]
