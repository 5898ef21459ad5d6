"""The one place where numbers are computed into prose: a chapter's closing answer."""

from __future__ import annotations

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
