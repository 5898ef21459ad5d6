"""Figures in one style: functions take results and an axes, and return the axes.

Colours are Okabe and Ito's, safe for colour-blind eyes; line styles and markers repeat the
distinction so that a figure reads in grey. `show` requires the alternative text.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import PIL.Image
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

STYLE: Any = {
    "figure.figsize": (7.0, 3.6),
    "figure.dpi": 96,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=LINES),
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 10,
}


def axes(
    title: str,
    xlabel: str,
    ylabel: str,
    *,
    columns: int = 1,
    xscale: str = "linear",
    yscale: str = "linear",
) -> Any:
    """New axes in the course's style: one `Axes`, or an array of ``columns`` of them side by side.

    Parameters
    ----------
    title, xlabel, ylabel : str
        Texts of the axes, units included; with several columns the title is the figure's.
    columns : int
        Number of panels.
    xscale, yscale : str
        Matplotlib scale names.
    """
    with mpl.rc_context(STYLE):
        width, height = STYLE["figure.figsize"]
        figure = Figure(figsize=(width * (1.0 if columns == 1 else 1.35), height))
        panels = figure.subplots(1, columns, squeeze=False)[0]
        for panel in panels:
            panel.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    if columns == 1:
        panels[0].set_title(title)
        return panels[0]
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return panels


def band(ax: Axes, x: ArrayLike, lower: ArrayLike, upper: ArrayLike, *, label: str) -> Axes:
    """Shade the interval between ``lower`` and ``upper`` (same length as ``x``)."""
    ax.fill_between(
        np.asarray(x),
        np.asarray(lower),
        np.asarray(upper),
        color=COLORS[5],
        alpha=0.35,
        lw=0,
        label=label,
    )
    return ax


def points(
    ax: Axes, x: ArrayLike, y: ArrayLike, *, label: str, interval: Sequence[ArrayLike] | None = None
) -> Axes:
    """Measured points, with an error bar where ``interval = (lower, upper)`` is given."""
    y = np.asarray(y, dtype=float)
    error = None
    if interval is not None:
        lower, upper = (np.asarray(bound, dtype=float) for bound in interval)
        error = np.clip(np.array([y - lower, upper - y]), 0.0, None)
    ax.errorbar(np.asarray(x), y, yerr=error, fmt="o", ms=4, capsize=3, color="black", label=label)
    return ax


def ecdf(ax: Axes, values: ArrayLike, *, label: str) -> Axes:
    """Empirical distribution function of ``values``."""
    ordered = np.sort(np.asarray(values, dtype=float))
    ax.step(ordered, np.arange(1, ordered.size + 1) / ordered.size, where="post", label=label)
    return ax


def alike(ax: Axes) -> list[tuple[str, ...]]:
    """Labels of the lines in ``ax`` that nothing but colour tells apart: dashes, marker and width agree.

    >>> ax = axes("Two lines", "x", "y")
    >>> for label in ("a", "b"):
    ...     _ = ax.plot([0, 1], linestyle="-", label=label)
    >>> alike(ax)
    [('a', 'b')]
    """
    looks: dict[tuple[object, ...], list[str]] = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        line = handle.lines[0] if isinstance(handle, ErrorbarContainer) else handle
        if isinstance(line, Line2D):
            dashes = line._unscaled_dash_pattern  # type: ignore[attr-defined]
            look = (str(dashes), str(line.get_marker()), line.get_linewidth())
            looks.setdefault(look, []).append(label)
    return [tuple(labels) for labels in looks.values() if len(labels) > 1]


def show(panel: Axes | Sequence[Axes], alt: str) -> None:
    """Display the figure that ``panel`` belongs to, as PNG with its alternative text.

    The PNG has a palette of 128 colours: a third of the size, no difference to the eye.

    Raises
    ------
    ValueError
        ``alt`` is empty or only a word: it must say what the figure shows.
    """
    from IPython.display import Image, display

    if len(alt.split()) < 5:
        raise ValueError(f"the alternative text must say what the figure shows, got {alt!r}")
    first = panel if isinstance(panel, Axes) else panel[0]
    figure = cast(Figure, first.get_figure(root=True))
    for ax in figure.axes:
        labels = ax.get_legend_handles_labels()[1]
        if labels and ax.get_legend() is None:
            columns = min(len(labels), 3)
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=columns, frameon=False)
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=STYLE["figure.dpi"])
    few_colours = PIL.Image.open(drawn).convert("RGB").quantize(128, dither=PIL.Image.Dither.NONE)
    few_colours.save(buffer, format="png", optimize=True)
    display(Image(buffer.getvalue(), format="png", alt=alt), metadata={"image/png": {"alt": alt}})
