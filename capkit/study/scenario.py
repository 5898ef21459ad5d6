"""One scenario to one row: by the package alone, or by the notebooks."""

from __future__ import annotations

import contextlib
import functools
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capkit import course, planning
from capkit.course import manifest
from capkit.course.execution import ChapterError, run_chapters
from capkit.course.inspection import inspect
from capkit.course.parameters import Value
from capkit.course.products import notebook_path, product_of, reference_dir
from capkit.datasets import load_catalogue
from capkit.planning.problem import HOURS_A_WEEK

PLAN = "09_capacity_plan"
PURCHASES = ("on_demand", "reserved_1y")
#: parameters of chapter 09 that change nothing: a plan is made from chapter 03's product, and a first answer
#: draws, starts and loses nothing
UNUSED = {"sizing": ("trace", "seed", "startup_s", "detection_s"), "plan": ("trace",)}
#: what `size` answers
SIZES = (
    "cost_usd_week",
    "servers_min",
    "servers_max",
    "needed_max",
    "peak_factor",
    "gap_percent",
)


@dataclass(frozen=True)
class Task:
    """A scenario with all that a worker elsewhere needs to do it.

    Attributes
    ----------
    number : int
        Its place in the study.
    work : str
        As in `Study`.
    parameters : dict
        Values by name.
    run_dir : str
        Run whose products the plan is made from; empty for the reference run.
    chapters : tuple of str
        The notebooks, for "chapters".
    folder : str
        Where a notebook scenario's run goes.
    """

    number: int
    work: str
    parameters: dict[str, Value]
    run_dir: str
    chapters: tuple[str, ...]
    folder: str


def evaluate(task: Task) -> dict[str, Any]:
    """The row of a scenario: number, parameters, results, ``error`` (empty if there is none), ``notebook``.

    An error that the scenario itself brings (no plan, a cell that fails) is part of the row. Anything
    else is raised: the engine tries the scenario again.
    """
    row: dict[str, Any] = {"scenario": task.number, **task.parameters, "error": "", "notebook": ""}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if task.work == "chapters":
                return row | _by_notebooks(task) | task.parameters
            given = _defaults() | task.parameters
            terms = {n: value for n, value in given.items() if n not in UNUSED[task.work]}
            slo_ms = float(terms.pop("slo_latency_ms"))
            slo = planning.SLO(float(terms.pop("slo_percentile")), slo_ms / 1000.0)
            terms["dispatch"] = terms.pop("dispatch_rule")
            work = size if task.work == "sizing" else _plan
            return row | work(task.run_dir, slo, **terms) | task.parameters
    except ChapterError as error:
        return row | {"error": error.reason, "notebook": _place(task, error.notebook)}
    except (ValueError, course.StaleProductError) as error:
        return row | {"error": f"{type(error).__name__}: {error}"}


@functools.cache
def _defaults() -> dict[str, Any]:
    """What chapter 09 declares: the parameters that a plan takes."""
    return {n: d.parameter.default for n, d in inspect([notebook_path(PLAN)]).items()}


def example(work: str, chapters: Sequence[str] = ()) -> dict[str, Any]:
    """Results such as a scenario has: those of the reference run; empty where that made none.

    >>> list(example("chapters", ["06_queueing"]))[:3]
    ['service_rate', 'service_cv2', 'overhead_s']
    """
    if work == "sizing":
        return dict.fromkeys(SIZES, 0.0)
    if work == "plan":
        plan = course.reference(PLAN).folder / "plan.json"
        return _scalars(json.loads(plan.read_text(encoding="utf-8"))["plan"])
    known = (reference_dir() / chapters[-1]).is_dir()
    return _scalars(course.reference(chapters[-1]).data) if known else {}


def _scalars(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if isinstance(value, Value)}


def _plan(run_dir: str, slo: planning.SLO, **terms: Any) -> dict[str, Any]:
    plan, _ = planning.plan_from_products(run_dir, slo, **terms)
    return _scalars(plan.to_dict())


@functools.lru_cache(maxsize=4)
def _inputs(run_dir: str, sha256: tuple[str, ...]) -> Any:
    from capkit.serving import ServiceProfile

    workload, serving, forecast = (course.load(run_dir, name) for name in planning.cli.INPUTS)
    factors = workload.table("minute_factors")["factor"]
    service = ServiceProfile.from_dict(serving.data)
    return service, forecast.table("forecast"), float(factors.max() / factors.mean())


@functools.lru_cache(maxsize=64)
def _catalogue(prices: str, sha256: str, provider: str) -> Any:
    return load_catalogue(prices, provider=provider)


def size(
    run_dir: str,
    slo: planning.SLO,
    *,
    prices: str = "",
    provider: str = "aws",
    zones: int = 2,
    solver: str = "highs",
    level: float = 0.95,
    **queue: Any,
) -> dict[str, Any]:
    """The first three steps of `capkit.planning.plan`: its first answer, which no replay has tried.

    Parameters
    ----------
    run_dir, slo, prices, provider, zones, solver, level
        As in `plan_from_products` and `plan`.
    **queue
        Further arguments of `needed_servers`.

    Returns
    -------
    dict
        One number for each name in `SIZES`.

    Examples
    --------
    >>> with contextlib.redirect_stdout(io.StringIO()):
    ...     loose, tight = (size("", planning.SLO(0.99, s)) for s in (0.05, 0.003))
    >>> loose["cost_usd_week"] <= tight["cost_usd_week"]
    True
    """
    from capkit.tco import optimize

    now = tuple(course.load(run_dir, name).sha256 for name in planning.cli.INPUTS)
    service, forecast, peak_factor = _inputs(run_dir, now)
    one = planning.on_one_vcpu(service)
    rates = planning.forecast_rates(forecast, level)
    needed = planning.needed_servers(rates, one, slo, peak_factor=peak_factor, **queue)
    sha256 = manifest.sha256(Path(prices)) if prices else ""
    options = planning.cpu_options(_catalogue(prices, sha256, provider), service)
    fleet = optimize(options, needed, solver=solver, purchases=PURCHASES, zones=zones)
    servers = fleet.periods["capacity"].to_numpy().astype(np.int64)
    return {
        "cost_usd_week": round(fleet.cost_usd_h * HOURS_A_WEEK, 2),
        "servers_min": int(servers.min()),
        "servers_max": int(servers.max()),
        "needed_max": int(needed.max()),
        "peak_factor": round(peak_factor, 4),
        "gap_percent": round(100.0 * fleet.gap, 4),
    }


def _place(task: Task, notebook: Path) -> str:
    """Where a notebook lies in the study's folder."""
    return Path(task.folder, notebook.name).relative_to(Path(task.folder).parents[1]).as_posix()


def _by_notebooks(task: Task) -> dict[str, Any]:
    """The last product's plain values; a scenario that was begun before goes on."""
    folder = Path(task.folder)
    run_chapters(task.chapters, task.parameters, folder, progress=False, resume=True)
    products = [p for chapter in task.chapters if (p := product_of(folder, chapter)) is not None]
    notebook = folder / f"{task.chapters[-1]}.ipynb"
    return {"notebook": _place(task, notebook), **(_scalars(products[-1].data) if products else {})}
