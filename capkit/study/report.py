"""A study on one page: the trade-off as a figure, the best and the failed scenarios as tables."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from capkit import plots
from capkit.planning.report import STYLE
from capkit.study.design import Study

ROWS = 25
MARKERS = "os^Dv<>"
COST = "cost_usd_week"


def _number(table: pd.DataFrame, column: str) -> bool:
    return is_numeric_dtype(table[column]) and not is_bool_dtype(table[column])


def chosen_columns(study: Study, table: pd.DataFrame) -> dict[str, str]:
    """Columns of the figure: those that the study names; else cost over the first number that varies.

    ``by`` (one line a value) is the next parameter with few values; any of the three may be missing.

    Raises
    ------
    ValueError
        The study names a column that the table does not have, or that holds no numbers.
    """
    columns = dict(study.figure)
    for key, column in columns.items():
        if column not in table or (key != "by" and not _number(table, column)):
            numbers = ", ".join(name for name in table if _number(table, name))
            raise ValueError(f"no column of numbers {column!r} to draw; there are {numbers}")
    results = [c for c in table if c not in ("scenario", *study.varied) and _number(table, c)]
    values = {name: table[name].nunique() for name in study.varied}
    x = [name for name in study.varied if _number(table, name) and values[name] > 1]
    if x:
        columns.setdefault("x", max(x, key=lambda name: values[name]))
    if results:
        columns.setdefault("y", COST if COST in results else results[0])
    by = [n for n in study.varied if n != columns.get("x") and 1 < values[n] <= len(MARKERS)]
    if by:
        columns.setdefault("by", by[0])
    return columns


def plot_tradeoff(table: pd.DataFrame, x: str, y: str, by: str = "") -> Any:
    """Axes with ``y`` over ``x``, a series for each value of ``by``; scenarios without a result left out.

    Each scenario is a point; a line joins the lowest ``y`` at each ``x``, if the values repeat.
    """
    ax = plots.axes(f"{y} over {x}", x, y)
    good = table.dropna(subset=[x, y])
    repeats = good[x].nunique() < max(len(good) / 2, 2)
    groups = list(good.groupby(by)) if by else [("", good)]
    for i, (value, group) in enumerate(groups):
        color = plots.COLORS[i % len(plots.COLORS)]
        label = f"{by} = {value:.4g}" if isinstance(value, float) else f"{by} = {value}"
        marker = MARKERS[i % len(MARKERS)]
        ax.plot(group[x], group[y], marker, ms=4, alpha=0.6, color=color, label=label)
        if repeats or len(good) == good[x].nunique() * len(groups):
            lowest = group.groupby(x)[y].min()
            ax.plot(lowest.index, lowest, color=color, ls=plots.LINES[i % len(plots.LINES)])
    if by:
        ax.legend()
    return ax


def figure_png(ax: Any) -> bytes:
    """The figure of ``ax`` as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _failures(table: pd.DataFrame) -> pd.DataFrame:
    failed = table[table["error"] != ""]
    groups = failed.groupby("error", sort=False)
    counted = groups.agg(scenarios=("scenario", "size"), first=("scenario", "first"))
    return counted.reset_index().sort_values("scenarios", ascending=False).head(ROWS)


def _as_html(table: pd.DataFrame) -> str:
    """A table as HTML, its notebooks as links; every text escaped."""
    shown = table.copy()
    for name in shown.select_dtypes(exclude="number"):
        shown[name] = [html.escape(str(value)) for value in shown[name]]
    if "notebook" in shown:
        shown["notebook"] = [f'<a href="{to}">{to}</a>' if to else "" for to in shown["notebook"]]
    shown.columns = [html.escape(str(name)) for name in shown]
    terms = {"na_rep": "", "float_format": "{:.6g}".format}
    text = shown.to_html(index=False, border=0, escape=False, **terms)
    return f'<div style="overflow-x:auto">{text}</div>'


def write_report(study: Study, table: pd.DataFrame, out: Path, made: Mapping[str, Any]) -> Path:
    """Write ``tradeoff.png`` and ``report.html``, which says why if there is nothing to draw.

    Parameters
    ----------
    study, table
        The study, and its rows.
    out : Path
        Folder of the study.
    made : mapping
        How it was made, as name and text; a table at the end.
    """
    good, failed = table[table["error"] == ""], table[table["error"] != ""]
    columns, undrawn = {}, "no scenario has a result"
    if len(good):
        try:
            columns, undrawn = chosen_columns(study, table), "no number varies"
        except ValueError as error:
            undrawn = str(error)
    y = columns.get("y", "scenario")
    shown = ["scenario", *study.varied, *(c for c in good if c not in _leading(study, good))]
    best = good.sort_values(y, kind="stable")
    if by := columns.get("by"):
        groups = best.groupby(by)
        best = groups.head(max(ROWS // max(groups.ngroups, 1), 3)).sort_values(
            [by, y], kind="stable"
        )
    best = best.head(ROWS)[shown]
    best = best.loc[:, [c for c in best if best[c].astype(str).any()]]
    parts = [f"<h1>Study</h1><p>{len(good)} of {len(table)} scenarios have a result.</p>"]
    if {"x", "y"} <= columns.keys():
        png = figure_png(plot_tradeoff(table, **columns))
        (out / "tradeoff.png").write_bytes(png)
        alt = f"{columns['y']} of every scenario over {columns['x']}"
        image = base64.b64encode(png).decode()
        parts.append(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{image}">')
    else:
        parts.append(f"<p>No figure: {html.escape(undrawn)}.</p>")
    if len(good):
        each = f" for each {html.escape(by)}" if by else ""
        parts.append(f"<h2>Lowest {html.escape(y)}{each}</h2>{_as_html(best)}")
    if len(failed):
        first = failed[["scenario", *study.varied, "error", "notebook"]].head(ROWS)
        parts.append(f"<h2>Failed, by reason</h2>{_as_html(_failures(table))}")
        parts.append(f"<h2>Failed, the first</h2>{_as_html(first)}")
    how = pd.DataFrame({"what": list(made), "": [str(value) for value in made.values()]})
    parts.append(f"<h2>How it was made</h2>{_as_html(how)}")
    head = f'<meta charset="utf-8"><title>Study</title><style>{STYLE}</style>'
    page = out / "report.html"
    body = "\n".join(parts)
    page.write_text(
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n',
        encoding="utf-8",
    )
    return page


def _leading(study: Study, table: pd.DataFrame) -> Sequence[str]:
    """Columns that a table of the best scenarios need not repeat: parameters all share, empty errors."""
    shared = [c for c in table if c not in study.varied and table[c].nunique(dropna=False) == 1]
    return ["scenario", *study.varied, *shared]
