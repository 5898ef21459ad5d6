"""`python -m capkit plan`: the plan from the products of a run, or from the reader's own files."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from capkit.planning.capacity_plan import CapacityPlan
from capkit.planning.inputs import plan_from_files
from capkit.planning.planner import plan
from capkit.planning.replay import DISPATCH
from capkit.planning.report import to_html, to_json, to_markdown
from capkit.planning.sizing import SLO, cpu_options
from capkit.planning.uncertainty import outlook

FORMS = {".html": to_html, ".md": to_markdown, ".json": to_json}
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
    made_from = {product.chapter: product.sha256 for product in products}
    return result, made_from | ledger_hashes(run_dir)


def ledger_hashes(run_dir: str) -> dict[str, str]:
    """Locks of the ledger of errors that stands behind the queueing formula (chapter 06), by subject.

    Empty where that chapter was not run on the present benchmark: then it is no evidence for this plan.
    """
    from capkit import course

    try:
        ledger = course.load(run_dir, "06_queueing").data["ledger"]
    except course.StaleProductError:
        return {}
    return {f"ledger of errors: {subject}": sha256 for subject, sha256 in ledger.items()}


FILES = ("demand", "log", "latencies", "profile", "accelerator")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m capkit plan", description=__doc__)
    parser.add_argument("--run-dir", default="", help="folder of a run; empty: the reference run")
    parser.add_argument("--slo-latency-ms", type=float, default=50.0)
    parser.add_argument("--slo-percentile", type=float, default=0.99)
    parser.add_argument("--prices", default="", help="CSV price table; empty: the one that ships")
    parser.add_argument("--provider", default="aws")
    parser.add_argument("--zones", type=int, default=2)
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--dispatch", default="random", choices=DISPATCH, help="of the requests")
    parser.add_argument("--startup-s", type=float, default=120.0, help="from order to first answer")
    parser.add_argument(
        "--detection-s", type=float, default=10.0, help="until a lost zone is noticed"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="FILE.html, FILE.md or FILE.json")
    own = parser.add_argument_group("instead of a run, your own files")
    own.add_argument("--demand", default="", help="CSV of hourly counts: time, requests")
    own.add_argument("--log", default="", help="CSV with one row a request: timestamp")
    own.add_argument("--latencies", default="", help="CSV of service times: latency_ms")
    own.add_argument(
        "--profile", default="", help="JSON of a service profile, such as one on a GPU"
    )
    own.add_argument("--accelerator", default="", help="one of it for each server, such as T4")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Print the plan as Markdown, and write it where ``--out`` says."""
    parser = _parser()
    given = vars(parser.parse_args(argv))
    out, latency_ms, percentile, run_dir = (
        given.pop(name) for name in ("out", "slo_latency_ms", "slo_percentile", "run_dir")
    )
    if out is not None and out.suffix not in FORMS:
        parser.error(f"--out must end in {', '.join(FORMS)}, got {out.name}")
    files = {name: given.pop(name) for name in FILES}
    if any(files.values()) and not (files["demand"] and files["log"]):
        parser.error("your own files need --demand and --log, and --latencies or --profile")
    try:
        slo = SLO(percentile, latency_ms / 1000.0)
        with contextlib.redirect_stdout(sys.stderr):  # what the plan is made from is not the plan
            if any(files.values()):
                result = plan_from_files(slo, **files, **given)
                names = [name for name in FILES if name != "accelerator"]
                sources = {
                    files[name]: hashlib.sha256(Path(files[name]).read_bytes()).hexdigest()
                    for name in names
                    if Path(files[name]).is_file()
                }
            else:
                result, sources = plan_from_products(run_dir, slo, **given)
            prospects = outlook(result, np.random.default_rng(given["seed"]))
    except (ValueError, FileNotFoundError) as problem:
        print(f"no plan: {problem}", file=sys.stderr)
        return 1
    print(to_markdown(result, sources, prospects))
    if out is not None:
        out.write_text(FORMS[out.suffix](result, sources, prospects), encoding="utf-8")
    return 0
