"""A run as web pages: each executed notebook, and an index."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path


def write_notebook(notebook: Path) -> Path:
    """Write an executed notebook as HTML beside it, scripts and event handlers in its cells removed."""
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter(sanitize_html=True).from_filename(str(notebook))
    partial, page = notebook.with_suffix(".partial.html"), notebook.with_suffix(".html")
    partial.write_text(body, encoding="utf-8")
    return partial.replace(page)


def write_index(out: Path, chapters: Sequence[str], plan: Path) -> Path:
    """Write ``index.html``: a link to the plan, if there is one, and to every chapter's page."""
    items = "".join(f'<li><a href="{c}.html">{html.escape(c)}</a></li>' for c in chapters)
    where = plan.relative_to(out).as_posix()
    link = f'<p><a href="{where}">The plan</a></p>' if plan.is_file() else ""
    page = out / "index.html"
    page.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Capacity plan: the run'
        f"</title></head><body><h1>The run</h1>{link}<ul>{items}</ul></body></html>\n",
        encoding="utf-8",
    )
    return page
