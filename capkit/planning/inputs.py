"""A plan from the reader's own files: hourly counts, a request log, latencies or a profile, prices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capkit.datasets import arrival_times, load_catalogue, load_demand
from capkit.planning.accelerators import accelerator_options
from capkit.planning.capacity_plan import CapacityPlan
from capkit.planning.planner import plan
from capkit.planning.sizing import SLO, cpu_options
from capkit.serving import ServiceProfile
from capkit.workload import characterize

if TYPE_CHECKING:
    from capkit.forecasting import Forecast


def forecast_table(forecast: Forecast) -> pd.DataFrame:
    """A forecast of hourly requests as a plan reads it: ``time``, and ``mean_rps`` and bounds in 1/s."""
    table = forecast.table().add_suffix("_rps") / 3600.0
    return table.rename_axis("time").reset_index()


def read_profile(path: str | Path) -> ServiceProfile:
    """A `ServiceProfile` from JSON: its fields, or a product of chapter 05; `ValueError` names what is wrong."""
    file = Path(path)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"there is no profile {file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{file} must hold an object with the fields of a service profile")
    try:
        return ServiceProfile.from_dict(content.get("data", content))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error


def plan_from_files(
    slo: SLO,
    *,
    demand: str,
    log: str,
    latencies: str = "",
    profile: str = "",
    prices: str = "",
    provider: str | None = None,
    accelerator: str = "",
    load_scale: float = 1.0,
    model: str = "seasonal_naive",
    horizon_h: int = 168,
    seed: int = 1,
    **terms: Any,
) -> CapacityPlan:
    """Forecast, profile and prices from files, and the plan they give.

    Parameters
    ----------
    slo : SLO
        Percentile and latency.
    demand : str
        CSV file of hourly counts, columns ``time`` and ``requests`` (`capkit.datasets.load_demand`).
    log : str
        CSV file with one row a request, column ``timestamp`` (`arrival_times`), or the name of a trace that ships.
    latencies, profile : str
        Exactly one: a CSV file of service times in ms, column ``latency_ms`` (`ServiceProfile.from_csv`), or
        a profile as JSON (`read_profile`).
    prices, provider : str
        Price table (empty: the one that ships), and whose rows of it are used (None: all).
    accelerator : str
        Name of the accelerator that each server takes; empty: one vCPU each.
    load_scale : float
        Factor on the counts.
    model, horizon_h : str, int
        Model of `capkit.forecasting`, and hours to plan.
    seed : int
        Seed of the replay.
    **terms
        Further arguments of `plan`.

    Raises
    ------
    ValueError
        A file cannot be used: the message says which column, row and unit.
    """
    from capkit import forecasting

    if bool(latencies) == bool(profile):
        raise ValueError("give either latencies (a CSV file) or profile (a JSON file)")
    rng = np.random.default_rng(seed)
    counts = load_demand(demand) * load_scale
    workload = characterize(arrival_times(log, rng))
    service = ServiceProfile.from_csv(latencies) if latencies else read_profile(profile)
    catalogue = load_catalogue(prices, provider=provider)
    options = (
        accelerator_options(catalogue, accelerator)
        if accelerator
        else cpu_options(catalogue, service)
    )
    ahead = forecasting.fit(counts, model).forecast(horizon_h)
    return plan(workload, service, forecast_table(ahead), options, slo, rng=rng, **terms)
