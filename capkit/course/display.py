"""What notebooks show: numbers computed into prose, and figures that answer to a knob."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def answer(template: str, **values: Any) -> None:
    """Show a sentence with its numbers filled in, as Markdown.

    Parameters
    ----------
    template : str
        Markdown with ``str.format`` fields, e.g. ``"Buy **{servers}** servers for {cost:,.0f} USD a week."``
    **values
        The computed values, by field name.
    """
    from IPython.display import Markdown, display

    display(Markdown(template.format(**values)))


def is_live() -> bool:
    """Whether somebody can move a slider: a Jupyter server started the kernel, and ipywidgets is there.

    papermill, nbval and `capkit notebooks write` start their kernels themselves.
    """
    return "JPY_SESSION_NAME" in os.environ and importlib.util.find_spec("ipywidgets") is not None


def knob(
    draw: Callable[[Any], Any], name: str, positions: Sequence[Any], start: Any, *, alt: str
) -> None:
    """Show a figure, and in JupyterLab a slider that draws it anew in its place.

    Where nobody can (`is_live`) the figure at ``start`` is all there is: what is stored, tested and printed. The
    knob's position stays inside ``draw``, so that no later cell depends on it.

    Parameters
    ----------
    draw : callable
        Takes a position, returns the axes; from a table or a formula, so that the slider does not wait.
    name : str
        What the knob turns, with its unit.
    positions : sequence
        Where the knob can stand, in order.
    start : object
        Where it stands first.
    alt : str
        What the figure shows, at every position.

    Raises
    ------
    ValueError
        ``start`` is not one of the positions.
    """
    from capkit import plots

    if start not in positions:
        raise ValueError(f"the knob starts at {start!r}, which is none of {list(positions)}")
    if not is_live():
        plots.show(draw(start), alt)
        return
    import ipywidgets
    from IPython.display import display

    metadata = {"image/png": {"alt": alt}}
    shown = display(plots.picture(draw(start), alt), metadata=metadata, display_id=True)
    slider = ipywidgets.SelectionSlider(
        options=[(f"{p:g}" if isinstance(p, float) else str(p), p) for p in positions],
        value=start,
        description=name,
        style={"description_width": "initial"},
        layout={"width": "32em"},
    )

    def turn(change: Mapping[str, Any]) -> None:
        shown.update(plots.picture(draw(change["new"]), alt), metadata=metadata)

    slider.observe(turn, names="value")
    display(slider)
