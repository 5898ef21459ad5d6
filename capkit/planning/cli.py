"""`python -m capkit plan`: the plan from the products of a run."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from capkit.planning.capacity_plan import CapacityPlan, plan
from capkit.planning.replay import DISPATCH
from capkit.planning.report import to_html, to_markdown
from capkit.planning.sizing import SLO, cpu_options

INPUTS = ("03_workload_analysis", "05_serving_benchmark", "07_forecasting")


def plan_from_products(
    run_dir: str, slo: SLO, *, prices: str = "", provider: str = "aws", seed: int = 1, **terms: Any
) -> tuple[CapacityPlan, dict[str, str]]:
    """The plan from the products of chapters 03, 05 and 07, and the sha256 of each.

    Parameters
    ----------
    run_dir : str
        Folder of a run; empty for the reference run.
    slo : SLO
        Percentile and latency.
    prices, provider : str
        Price table (empty: the one that ships), and whose rows of it are used.
    seed : int
        Seed of the replay.
    **terms
        Further arguments of `plan`, such as ``zones`` and ``solver``.

    Raises
    ------
    FileNotFoundError
        There is no run in ``run_dir``.
    """
    from capkit import course
    from capkit.datasets import load_catalogue
    from capkit.serving import ServiceProfile
    from capkit.workload import Workload

    run_dir = course.existing_run(run_dir)
    workload, serving, forecast = products = [course.load(run_dir, name) for name in INPUTS]
    service = ServiceProfile.from_dict(serving.data)
    result = plan(
        Workload.from_dict(workload.data),
        service,
        forecast.table("forecast"),
        cpu_options(load_catalogue(prices, provider=provider), service),
        slo,
        rng=np.random.default_rng(seed),
        minute_factors=workload.table("minute_factors")["factor"],
        service_times=serving.table("service_times"),
        **terms,
    )
    return result, {product.chapter: product.sha256 for product in products}


def main(argv: list[str] | None = None) -> int:
    """Print the plan as Markdown, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(prog="python -m capkit plan", description=__doc__)
    parser.add_argument("--run-dir", default="", help="folder of a run; empty: the reference run")
    parser.add_argument("--slo-latency-ms", type=float, default=50.0)
    parser.add_argument("--slo-percentile", type=float, default=0.99)
    parser.add_argument("--prices", default="", help="CSV price table; empty: the one that ships")
    parser.add_argument("--provider", default="aws")
    parser.add_argument("--zones", type=int, default=2)
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--dispatch", default="central", choices=DISPATCH, help="of the requests")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="FILE.html, FILE.md or FILE.json")
    given = vars(parser.parse_args(argv))
    out, latency_ms, percentile = (
        given.pop(name) for name in ("out", "slo_latency_ms", "slo_percentile")
    )
    if out is not None and out.suffix not in (".html", ".md", ".json"):
        parser.error(f"--out must end in .html, .md or .json, got {out.name}")
    try:
        slo = SLO(percentile, latency_ms / 1000.0)
        with contextlib.redirect_stdout(sys.stderr):  # what the plan is made from is not the plan
            result, sources = plan_from_products(given.pop("run_dir"), slo, **given)
    except (ValueError, FileNotFoundError) as problem:
        print(f"no plan: {problem}", file=sys.stderr)
        return 1
    text = to_markdown(result, sources)
    print(text)
    if out is not None:
        if out.suffix == ".html":
            text = to_html(result, sources)
        elif out.suffix == ".json":
            text = json.dumps({**result.to_dict(), "inputs": sources}, indent=1) + "\n"
        out.write_text(text, encoding="utf-8")
    return 0
