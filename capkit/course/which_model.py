"""Which model when: the decision tree of the course, as a page (``docs/which_model.md``) and a figure beside it.

`python -m capkit.course.which_model` writes both anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from capkit.course.products import CHAPTERS
from capkit.datasets import project_root
from capkit.plots import COLORS

PAGE = "docs/which_model.md"
FIGURE = "docs/which_model.svg"
START, END = "<!-- tree -->\n", "<!-- /tree -->"


@dataclass(frozen=True)
class Leaf:
    """What to use: in words, the functions (names below ``capkit``), the chapter that shows it."""

    use: str
    functions: tuple[str, ...]
    chapter: str


@dataclass(frozen=True)
class Branch:
    """What somebody wants to know, and the questions to ask in this order: the first yes decides."""

    want: str
    questions: tuple[tuple[str, Leaf], ...]
    otherwise: Leaf


TREE = (
    Branch(
        "How fast is it? Measure",
        (
            (
                "Is it a training?",
                Leaf(
                    "two batch sizes give the line for all others",
                    ("training.epoch_times", "training.fit_epoch_time"),
                    "04",
                ),
            ),
            (
                "Is it the limit of a server, not its latency?",
                Leaf("a closed loop, clients that wait", ("loadtest.run_closed",), "05"),
            ),
            (
                "Does one request carry many inputs?",
                Leaf("the line of a batch, and its range", ("serving.fit_batches",), "05"),
            ),
        ),
        Leaf(
            "an open loop, timed from when a request was due",
            ("loadtest.run", "loadtest.sweep"),
            "05",
        ),
    ),
    Branch(
        "How long will requests wait? How many servers?",
        (
            (
                "Bursts: is the dispersion of the log far above 1 within seconds?",
                Leaf(
                    "replay the log itself",
                    ("simulation.simulate_fcfs", "workload.servers_needed"),
                    "03",
                ),
            ),
            (
                "Drift: does the dispersion grow with the window?",
                Leaf(
                    "minute by minute, the busiest first",
                    ("queueing.pointwise_wait", "workload.minute_factors"),
                    "06",
                ),
            ),
            (
                "Has each server a line of its own?",
                Leaf(
                    "the dispatch that you run",
                    ("simulation.simulate_dispatch", "queueing.min_servers"),
                    "06",
                ),
            ),
            (
                "Is a request refused when the room is full?",
                Leaf("M/M/c/K", ("queueing.MMcK", "simulation.simulate_loss"), "06"),
            ),
            (
                "Does a server take several requests at once?",
                Leaf("batch service", ("simulation.simulate_batches",), "06"),
            ),
            (
                "Are the CV2 of gaps and of service times near 1?",
                Leaf("M/M/c", ("queueing.MMc", "queueing.min_servers"), "06"),
            ),
        ),
        Leaf("M/G/c or G/G/c, and a simulation", ("queueing.MGc", "queueing.GGc"), "06"),
    ),
    Branch(
        "What load will come?",
        (
            (
                "Has the level just shifted?",
                Leaf(
                    "a model that forgets, from the alarm on",
                    ("monitoring.cusum", "forecasting.Ets"),
                    "10",
                ),
            ),
            (
                "Is it the value to plan for, not the likely one?",
                Leaf("the quantile from two costs", ("forecasting.newsvendor_ratio",), "07"),
            ),
            (
                "Is the history shorter than some weeks?",
                Leaf("the same hour of last week, seasonal_naive", ("forecasting.fit",), "07"),
            ),
        ),
        Leaf(
            "the model with the least error in a backtest",
            ("forecasting.backtest", "forecasting.fit"),
            "07",
        ),
    ),
    Branch(
        "What shall we buy?",
        (
            (
                "Is it one machine, own or rent?",
                Leaf("total cost of ownership", ("tco.Ownership",), "08"),
            ),
            (
                "Is there a plan, and doubt about what it rests on?",
                Leaf("the plan of least regret", ("planning.outlook",), "09"),
            ),
            (
                "Is it the whole week, with zones and late starts?",
                Leaf("a plan that is tried before it is believed", ("planning.plan",), "09"),
            ),
        ),
        Leaf("an integer program; let it explain itself", ("tco.optimize", "tco.Fleet"), "08"),
    ),
    Branch(
        "Who follows the load, who rings?",
        (
            (
                "Is it an alarm, not a number of servers?",
                Leaf(
                    "a detector that knows the season",
                    ("monitoring.robust_z", "monitoring.cusum"),
                    "10",
                ),
            ),
            (
                "Do servers start faster than the load rises?",
                Leaf("a reactive autoscaler", ("autoscaling.HPA",), "10"),
            ),
            (
                "Must no hour miss its target, for more server-hours?",
                Leaf(
                    "a schedule for the busiest minutes, ordered ahead",
                    ("autoscaling.Scheduled",),
                    "10",
                ),
            ),
        ),
        Leaf(
            "a floor from the forecast, reactive on top",
            ("autoscaling.Hybrid", "autoscaling.simulate"),
            "10",
        ),
    ),
)


def rows(branch: Branch) -> list[tuple[str, Leaf]]:
    """The questions of a branch with their leaves, and the last one, without a question.

    >>> [question for question, _ in rows(TREE[0])][-1]
    'Otherwise'
    """
    return [*branch.questions, ("Otherwise", branch.otherwise)]


def tables() -> str:
    """The tree as Markdown: one table a branch, with links to the chapters."""
    parts = []
    for branch in TREE:
        lines = [
            f"## {branch.want}",
            "",
            "| ask in this order | if yes, use | function | chapter |",
        ]
        lines.append("|---|---|---|---|")
        for question, leaf in rows(branch):
            name = next(c for c in CHAPTERS if c.startswith(leaf.chapter))
            functions = ", ".join(f"`capkit.{function}`" for function in leaf.functions)
            link = f"[{leaf.chapter}](../notebooks/{name}.ipynb)"
            lines.append(f"| {question} | {leaf.use} | {functions} | {link} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def draw() -> Figure:
    """The tree as one page: questions on the left, read downwards; what to use on the right."""
    height = sum(len(rows(branch)) + 0.9 for branch in TREE)
    figure = Figure(figsize=(10.5, 0.42 * height))
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(0.0, 100.0), ylim=(height, -0.2))
    ax.set_axis_off()

    def box(x: float, y: float, width: float, text: str, colour: str) -> None:
        shape = FancyBboxPatch((x, y + 0.1), width, 0.66, boxstyle="round,pad=0.04")
        shape.set(facecolor=colour, edgecolor="black", linewidth=0.8)
        ax.add_patch(shape)
        ax.text(x + 0.8, y + 0.44, text, va="center", fontsize=8)

    y = 0.0
    for branch in TREE:
        ax.text(0.5, y + 0.5, branch.want, va="center", fontsize=10, weight="bold", color=COLORS[0])
        y += 0.9
        for question, leaf in rows(branch):
            last = question == "Otherwise"
            box(1.0, y, 40.0, question, "white" if not last else "#eeeeee")
            arrow = {"arrowstyle": "->", "lw": 0.8}
            ax.annotate("", (48.0, y + 0.43), (41.2, y + 0.43), arrowprops=arrow)
            if not last:
                ax.text(44.3, y + 0.24, "yes", ha="center", va="center", fontsize=7)
                ax.annotate("", (5.0, y + 1.06), (5.0, y + 0.82), arrowprops=arrow)
            text = f"{leaf.chapter}  {leaf.use}: {', '.join(leaf.functions)}"
            box(48.2, y, 51.0, text, "#e6f0f7")
            y += 1.0
    return figure


def fill(text: str) -> str:
    """The page with its tables between the marks; `ValueError` without them."""
    if START not in text or END not in text:
        raise ValueError(f"{PAGE} has no part marked {START.strip()} ... {END}")
    before, rest = text.split(START, 1)
    return f"{before}{START}\n{tables()}\n\n{END}{rest.split(END, 1)[1]}"


def main() -> None:
    """Write the tables into the page, and the figure."""
    page = project_root() / PAGE
    page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "capkit", "font.family": "sans-serif"}
    with mpl.rc_context(style):
        draw().savefig(project_root() / FIGURE, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
