"""A plan on one page: the decision first, then why, then the evidence; as Markdown and as HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from capkit.planning.capacity_plan import CapacityPlan

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.15rem .7rem;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child{text-align:left}img{max-width:100%}h1{font-size:1.5rem}h2{font-size:1.15rem}
@media print{body{margin:0;font-size:10px}img{max-height:5cm}}"""
DISPATCH_TEXT = {
    "random": "random choice, and wait there, as behind a Kubernetes Service",
    "round_robin": "turns (round robin), and wait there",
    "central": "one queue that all of them share",
}
ALT = (
    "Servers hour by hour: the planned fleet, what is left of it when a zone is lost, and the servers "
    "that the planned demand needs, which the surviving ones never fall below"
)


def purchase_table(plan: CapacityPlan) -> pd.DataFrame:
    """What to buy: one row a machine type and purchase, with the most at once in each zone, dearest first."""
    counts, keys = plan.fleet.counts, ["name", "purchase"]
    week = plan.cost_usd_week / plan.fleet.total_cost_usd
    zones = counts.pivot_table("count", keys, "zone", aggfunc="sum", fill_value=0).astype(int)
    zones.columns = [f"most in zone {zone}" for zone in zones]
    totals = counts.groupby(keys)[["instance_hours", "cost_usd"]].sum() * week
    table = zones.join(totals.round(2)).sort_values(["cost_usd", "name"], ascending=[False, True])
    table = table.reset_index().assign(purchase=lambda t: t["purchase"].str.replace("_", " "))
    return table.rename(
        columns={
            "name": "machine",
            "instance_hours": "instance-hours a week",
            "cost_usd": "USD a week",
        }
    )


def day_table(plan: CapacityPlan) -> pd.DataFrame:
    """When: servers and demand by day, and the day's busiest hour."""
    hours = plan.hours.assign(time=pd.to_datetime(plan.hours["time"]))
    busiest = hours.loc[hours.groupby(hours["time"].dt.date)["planned_rps"].idxmax()]
    servers = hours.groupby(hours["time"].dt.date)["servers"]
    return pd.DataFrame(
        {
            "day": busiest["time"].dt.strftime("%a %Y-%m-%d").to_numpy(),
            "servers, least": servers.min().to_numpy(),
            "servers, most": servers.max().to_numpy(),
            "busiest hour": busiest["time"].dt.strftime("%H:%M").to_numpy(),
            "forecast, requests/s": busiest["mean_rps"].round().astype(int).to_numpy(),
            "planned, requests/s": busiest["planned_rps"].round().astype(int).to_numpy(),
        }
    )


def evidence_table(plan: CapacityPlan) -> pd.DataFrame:
    """What was tried, and what came out."""
    facts, name = plan.to_dict(), f"p{100 * plan.slo.percentile:g}"
    rows = {
        f"{name} in replay, all zones, ms": facts["percentile_ms"],
        f"{name} in replay, one zone lost, ms": facts["zone_lost_percentile_ms"],
        "late requests in replay, %": facts["late_percent"],
        "hours expected to outgrow what all zones carry": facts["expected_hours_missed"],
        "the same, were a zone away all the time": facts["expected_hours_missed_zone_lost"],
        "room above the mean forecast, one zone lost, %": facts["headroom_percent"],
        "rounds of mending after a failed replay": facts["mending_rounds"],
        "gap of the optimum, %": facts["gap_percent"],
    }
    if plan.zones == 1:
        rows = {name: value for name, value in rows.items() if "zone " not in name}
    return pd.DataFrame({"quantity": list(rows), "value": [f"{v:.3g}" for v in rows.values()]})


def plot_plan(plan: CapacityPlan) -> Any:
    """Axes with the servers hour by hour: the fleet, what survives a zone, and what demand needs."""
    from capkit import plots

    ax = plots.axes("The plan, hour by hour", "hour of the plan", "servers")
    hour = np.arange(len(plan.hours) + 1)
    labels = {"servers": "fleet", "surviving": "one zone lost", "needed": "needed for the SLO"}
    for column, label in labels.items():
        values = plan.hours[column].to_numpy()
        ax.step(hour, np.append(values, values[-1]), where="post", label=label)
    ax.set_ylim(0, 1.2 * plan.hours["servers"].max())
    ax.legend(ncols=3, loc="upper center")
    return ax


def _blocks(plan: CapacityPlan, sources: Mapping[str, str]) -> list[tuple[str, Any]]:
    least, most = plan.hours["servers"].min(), plan.hours["servers"].max()
    zones = f"{plan.zones} zones, the loss of any one covered" if plan.zones > 1 else "one zone"
    bound = "; ".join(
        f"{row.constraint} ({row.periods} of {len(plan.hours)} hours)"
        for row in plan.binding.itertuples()
    )
    hashes = {"made from": list(sources), "sha256": [value[:16] for value in sources.values()]}
    return [
        ("h1", "Capacity plan"),
        (
            "p",
            f"{least} to {most} servers in {zones}, for {plan.cost_usd_week:,.2f} USD a week: as long as "
            f"demand stays within its planned {100 * plan.level:g} % quantile, {100 * plan.slo.percentile:g} % "
            f"of the requests of every hour are answered within {1000 * plan.slo.latency_s:g} ms.",
        ),
        ("h2", "How many of what"),
        ("table", purchase_table(plan)),
        ("h2", "When"),
        ("figure", plan),
        ("table", day_table(plan)),
        ("h2", "Why"),
        (
            "p",
            f"Every hour carries the {100 * plan.level:g} % quantile of its forecast, times "
            f"{plan.peak_factor:.3g} for its busiest minute. What keeps the fleet from being smaller: "
            f"{bound or 'nothing'}.",
        ),
        ("p", f"Requests reach the servers by {DISPATCH_TEXT[plan.dispatch]}."),
        ("h2", "Evidence"),
        ("table", evidence_table(plan)),
        *([("table", pd.DataFrame(hashes))] if sources else []),
    ]


def to_markdown(plan: CapacityPlan, sources: Mapping[str, str] | None = None) -> str:
    """The plan as Markdown; ``sources`` are the products it was made from, with their sha256."""
    parts = []
    for kind, content in _blocks(plan, sources or {}):
        if kind == "table":
            lines = [list(content), ["---"] + ["---:"] * (content.shape[1] - 1)]
            lines += content.astype(str).to_numpy().tolist()
            parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
        elif kind != "figure":
            parts.append({"h1": "# ", "h2": "## ", "p": ""}[kind] + content)
    return "\n\n".join(parts) + "\n"


def to_html(plan: CapacityPlan, sources: Mapping[str, str] | None = None) -> str:
    """The plan as one HTML page that needs nothing else; ``sources`` as in `to_markdown`."""
    parts = []
    for kind, content in _blocks(plan, sources or {}):
        if kind == "table":
            parts.append(content.to_html(index=False, border=0))
        elif kind == "figure":
            buffer = io.BytesIO()
            plot_plan(content).figure.savefig(buffer, format="png", metadata={"Software": None})
            image = base64.b64encode(buffer.getvalue()).decode()
            parts.append(f'<img alt="{ALT}" src="data:image/png;base64,{image}">')
        else:
            parts.append(f"<{kind}>{html.escape(content)}</{kind}>")
    head = f'<meta charset="utf-8"><title>Capacity plan</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'
