"""A plan on one page: the decision, why, what would change it, the evidence; as Markdown, HTML and JSON."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capkit.planning.problem import HOURS_A_WEEK
from capkit.planning.trials import starts

if TYPE_CHECKING:
    from capkit.planning.capacity_plan import CapacityPlan
    from capkit.planning.uncertainty import Outlook

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.15rem .7rem;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child{text-align:left}img{max-width:100%}h1{font-size:1.5rem}h2{font-size:1.15rem}
@page{size:A4;margin:12mm}
@media print{body{margin:0;max-width:none;font-size:9px;line-height:1.3}img{max-height:45mm}
h1{font-size:15px;margin:0}h2{font-size:11px;margin:.5em 0 .2em}p{margin:.3em 0}th,td{padding:0 .7rem}}"""
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
    zones = counts.pivot_table("count", keys, "zone", aggfunc="sum", fill_value=0).astype(int)
    zones.columns = [f"most in zone {zone}" for zone in zones]
    totals = (
        counts.groupby(keys)[["instance_hours", "cost_usd"]].sum() * HOURS_A_WEEK / len(plan.hours)
    )
    table = zones.join(totals.round(2)).sort_values(["cost_usd", "name"], ascending=[False, True])
    table = table.reset_index().assign(purchase=lambda t: t["purchase"].str.replace("_", " "))
    if plan.ahead_s:
        started = {"name": "all that start", "purchase": f"ordered {plan.ahead_s:g} s ahead"}
        hours = starts(plan.fleet)["starts"].sum() * plan.ahead_s / 3600.0
        week = HOURS_A_WEEK / len(plan.hours)
        paid = {
            "instance_hours": round(hours * week, 2),
            "cost_usd": round(plan.start_cost_usd_week, 2),
        }
        table = pd.concat([table, pd.DataFrame([started | paid])], ignore_index=True)
        most = [column for column in table if column.startswith("most in")]
        table[most] = table[most].map(lambda count: "" if np.isnan(count) else f"{count:.0f}")
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
        "late or lost in the hour in which a zone fails, %": facts["zone_failure_late_percent"],
        "hours that miss the SLO if machines are ordered on the hour": plan.late_start_hours,
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


def change_table(plan: CapacityPlan) -> pd.DataFrame:
    """What would change the plan: one requirement at a time, and the cost of the fleet by formula."""
    table = plan.changes
    return pd.DataFrame(
        {
            "with": table["change"],
            "USD a week": [_number(value, ",.2f") for value in table["cost_usd_week"]],
            "difference, %": [_number(value, "+.1f") for value in table["difference_percent"]],
        }
    )


def _number(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form)


def _decision(plan: CapacityPlan) -> str:
    least, most = plan.hours["servers"].min(), plan.hours["servers"].max()
    zones = f"{plan.zones} zones, the loss of any one covered" if plan.zones > 1 else "one zone"
    done = "answered" if plan.slo.until == "answer" else "given their first token"
    ahead = f" Machines are ordered {plan.ahead_s:g} s before their hour." if plan.ahead_s else ""
    return (
        f"{least} to {most} servers in {zones}, for {plan.cost_usd_week:,.2f} USD a week: as long as "
        f"demand stays within its planned {100 * plan.level:g} % quantile, {100 * plan.slo.percentile:g} % "
        f"of the requests of every hour are {done} within {1000 * plan.slo.latency_s:g} ms.{ahead}"
    )


def _reasons(plan: CapacityPlan) -> list[str]:
    bound = "; ".join(
        f"{row.constraint} ({row.periods} of {len(plan.hours)} hours)"
        for row in plan.binding.itertuples()
    )
    document = plan.beside.iloc[0]
    return [
        f"Every hour carries the {100 * plan.level:g} % quantile of its forecast, times {plan.peak_factor:.3g} "
        f"for its busiest minute. Requests reach the servers by {DISPATCH_TEXT[plan.dispatch]}. What keeps "
        f"the fleet from being smaller: {bound or 'nothing'}.",
        "The document's plan, mean demand over the mean rate of a server, would cost "
        f"{document['cost_usd_week']:,.2f} USD and miss the SLO in {document['hours_missed']} of "
        f"{len(plan.hours)} hours, {document['late_percent']:.3g} % of the requests late, if demand were "
        "just what the forecast's mean says.",
    ]


def _prospects(outlook: Outlook) -> str:
    best = outlook.table().iloc[outlook.best]
    return (
        f"With what is not known exactly, and {outlook.missed_hour_usd:,.2f} USD for an hour that misses, the "
        f"plan of least regret carries the {best['plan']}: {best['cost_low']:,.2f} to "
        f"{best['cost_high']:,.2f} USD a week, and an hour meets the SLO with a zone lost with a probability "
        f"of {best['hour_met_percent']:.1f} %."
    )


def _blocks(
    plan: CapacityPlan, sources: Mapping[str, str], outlook: Outlook | None
) -> list[tuple[str, Any]]:
    hashes = {"made from": list(sources), "sha256": [value[:16] for value in sources.values()]}
    known = [("p", _prospects(outlook)), ("p", outlook.next_measurement())] if outlook else []
    return [
        ("h1", "Capacity plan"),
        ("p", _decision(plan)),
        ("table", purchase_table(plan)),
        ("figure", plan),
        ("table", day_table(plan)),
        ("h2", "Why"),
        *(("p", reason) for reason in _reasons(plan)),
        ("h2", "What would change it"),
        ("table", change_table(plan)),
        *known[:1],
        ("h2", "Evidence"),
        ("table", evidence_table(plan)),
        *([("table", pd.DataFrame(hashes))] if sources else []),
        *known[1:],
    ]


def to_markdown(
    plan: CapacityPlan,
    sources: Mapping[str, str] | None = None,
    outlook: Outlook | None = None,
) -> str:
    """The plan as Markdown.

    ``sources`` are the products it was made from, with their sha256; ``outlook`` (`capkit.planning.outlook`)
    adds what is not known, and as the last line what to measure next.
    """
    parts = []
    for kind, content in _blocks(plan, sources or {}, outlook):
        if kind == "table":
            lines = [list(content), ["---"] + ["---:"] * (content.shape[1] - 1)]
            lines += content.astype(str).to_numpy().tolist()
            parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
        elif kind != "figure":
            parts.append({"h1": "# ", "h2": "## ", "p": ""}[kind] + content)
    return "\n\n".join(parts) + "\n"


def to_html(
    plan: CapacityPlan,
    sources: Mapping[str, str] | None = None,
    outlook: Outlook | None = None,
) -> str:
    """The plan as one HTML page that needs nothing else; arguments as in `to_markdown`."""
    parts = []
    for kind, content in _blocks(plan, sources or {}, outlook):
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


def to_json(
    plan: CapacityPlan,
    sources: Mapping[str, str] | None = None,
    outlook: Outlook | None = None,
) -> str:
    """The same page as JSON: the plan's numbers, then each part; arguments as in `to_markdown`."""
    content: dict[str, Any] = {
        "decision": _decision(plan),
        "plan": plan.to_dict(),
        "purchases": purchase_table(plan).to_dict("records"),
        "why": _reasons(plan),
        "what_would_change_it": change_table(plan).to_dict("records"),
        "evidence": dict(evidence_table(plan).to_numpy().tolist()),
        "inputs": dict(sources or {}),
    }
    if outlook is not None:
        content["uncertainty"] = outlook.table().round(4).to_dict("records")
        content["next"] = outlook.next_measurement()
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
