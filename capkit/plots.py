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
from matplotlib.collections import PolyCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
HATCHES = (None, "//", "..", "xx")

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
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    *,
    label: str,
    interval: Sequence[ArrayLike] | None = None,
    marker: str = "o",
) -> Axes:
    """Measured points, with an error bar where ``interval = (lower, upper)`` is given."""
    y = np.asarray(y, dtype=float)
    error = None
    if interval is not None:
        lower, upper = (np.asarray(bound, dtype=float) for bound in interval)
        error = np.clip(np.array([y - lower, upper - y]), 0.0, None)
    look: Any = {"fmt": marker, "ms": 4, "capsize": 3, "color": "black"}
    ax.errorbar(np.asarray(x), y, yerr=error, label=label, **look)
    return ax


def ecdf(ax: Axes, values: ArrayLike, *, label: str) -> Axes:
    """Empirical distribution function of ``values``."""
    ordered = np.sort(np.asarray(values, dtype=float))
    ax.step(ordered, np.arange(1, ordered.size + 1) / ordered.size, where="post", label=label)
    return ax


def alike(ax: Axes) -> list[tuple[str, ...]]:
    """Labels of what nothing but colour tells apart in ``ax``: lines by dashes, marker and width, areas by hatch.

    >>> ax = axes("Two lines", "x", "y")
    >>> for label in ("a", "b"):
    ...     _ = ax.plot([0, 1], linestyle="-", label=label)
    >>> alike(ax)
    [('a', 'b')]
    """
    looks: dict[tuple[object, ...], list[str]] = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        line = handle.lines[0] if isinstance(handle, ErrorbarContainer) else handle
        area = handle.patches[0] if isinstance(handle, BarContainer) else handle
        if isinstance(line, Line2D):
            dashes = line._unscaled_dash_pattern  # type: ignore[attr-defined]
            look = (str(dashes), str(line.get_marker()), line.get_linewidth())
            looks.setdefault(look, []).append(label)
        elif isinstance(area, Rectangle | PolyCollection):
            looks.setdefault(("area", area.get_hatch()), []).append(label)
    return [tuple(labels) for labels in looks.values() if len(labels) > 1]


def read_off(ax: Axes, at: float) -> Axes:
    """Mark ``x = at`` in ``ax`` and print into each line's label its value there (linear between its points).

    >>> ax = axes("A line", "x", "y")
    >>> _ = ax.plot([0, 10], [0, 5], label="half")
    >>> [line.get_label() for line in read_off(ax, 4).get_lines()][:1]
    ['half: 2']
    """
    for line in ax.get_lines():
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        value = float(np.interp(at, x, y))
        line.set_label(f"{line.get_label()}: {value:.3g}")
        ax.plot([at], [value], "o", color=line.get_color(), label="")
    ax.axvline(at, color="black", linestyle=":", lw=1)
    return ax


def picture(panel: Axes | Sequence[Axes], alt: str) -> Any:
    """The figure that ``panel`` belongs to, as an `IPython.display.Image` with its alternative text.

    The PNG has a palette of 128 colours: a third of the size, no difference to the eye.

    Raises
    ------
    ValueError
        ``alt`` is empty or only a word: it must say what the figure shows.
    """
    from IPython.display import Image

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
    return Image(buffer.getvalue(), format="png", alt=alt)


def show(panel: Axes | Sequence[Axes], alt: str) -> None:
    """Display the `picture` of a figure."""
    from IPython.display import display

    display(picture(panel, alt), metadata={"image/png": {"alt": alt}})
