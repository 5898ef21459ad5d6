"""A run as web pages: each executed notebook, and an index."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: beside the tags that bleach allows by itself
TAGS = {
    *(
        "br",
        "caption",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
    ),
    *("hr", "img", "kbd", "p", "pre", "s", "small", "span", "sub", "summary", "sup"),
    *("table", "tbody", "td", "tfoot", "th", "thead", "tr", "u"),
}
CELL = ["colspan", "rowspan", "scope"]
ATTRIBUTES = {
    "*": ["class", "id", "title"],
    "a": ["href"],
    "img": ["alt", "src"],
    "td": CELL,
    "th": CELL,
}
#: jQuery, require.js and mermaid, which the template loads and no page of ours uses, and those of widgets
WITHOUT_SCRIPTS = """{% extends "index.html.j2" %}
{% block html_head_js %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
"""


def clean_html(text: str) -> str:
    """HTML of a cell with nothing left in it that runs: harmless tags and attributes only.

    >>> clean_html('<table onclick="x()"><thead><tr><th>a</th></tr></thead></table><script>x()</script>')
    '<table><thead><tr><th>a</th></tr></thead></table>'
    """
    import bleach

    text = re.sub(r"<(script|style)\b.*?</\1\s*>", "", text, flags=re.DOTALL | re.IGNORECASE)
    return str(bleach.clean(text, tags=bleach.ALLOWED_TAGS | TAGS, attributes=ATTRIBUTES))


def drop_odd_sizes(output: Mapping[str, Any]) -> None:
    """Take widths and heights that are no whole number out of an output, whose page has them without quotes.

    >>> drop_odd_sizes(picture := {"metadata": {"image/png": {"width": 640, "height": "1 onerror=x()"}}})
    >>> picture
    {'metadata': {'image/png': {'width': 640}}}
    """
    metadata = output.get("metadata", {})
    for place in (metadata, *(value for value in metadata.values() if isinstance(value, dict))):
        for size in ("width", "height"):
            if size in place and not str(place[size]).isdecimal():
                del place[size]


def write_notebook(notebook: Path) -> Path:
    """Write an executed notebook as HTML beside it; what its cells put out is cleaned.

    See `clean_html` and `drop_odd_sizes`. Only the formulas need a network: MathJax draws them.
    """
    import nbformat
    from nbconvert import HTMLExporter

    # Of nbconvert's templates "classic" keeps the alternative text of figures; its own filter cuts up tables.
    exporter = HTMLExporter(
        sanitize_html=True, template_name="classic", raw_template=WITHOUT_SCRIPTS
    )
    exporter.register_filter("clean_html", clean_html)
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        for output in cell.get("outputs", []):
            drop_odd_sizes(output)
    title = {"metadata": {"name": notebook.stem}}
    body, _ = exporter.from_notebook_node(content, resources=title)
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
