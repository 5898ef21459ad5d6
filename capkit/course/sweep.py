"""`python -m capkit sweep STUDY.yaml`: the plan under every combination of some parameters, as one table."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from capkit.course.parameters import REGISTRY
from capkit.course.run import parse_parameter

PLAN_PARAMETERS = (
    *("slo_percentile", "slo_latency_ms", "prices", "provider", "zones", "solver", "seed"),
)


def read_study(file: Path) -> list[dict[str, Any]]:
    """Scenarios of a study: every combination of the values listed for each parameter.

    Parameters
    ----------
    file : Path
        YAML with one ``name: [values]`` a line; the names are those of `PLAN_PARAMETERS`.

    Raises
    ------
    ValueError
        No such parameter, one that the plan does not take, a value of the wrong type, no value.
    """
    import yaml

    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{file.name} must hold one name: [values] a line")
    grid: dict[str, list[Any]] = {}
    for name, values in content.items():
        listed = values if isinstance(values, list) else [values]
        grid[name] = [parse_parameter(name, str(value)) for value in listed]
        if name not in PLAN_PARAMETERS:
            raise ValueError(
                f"the plan does not take {name}; it takes {', '.join(PLAN_PARAMETERS)}. "
                "For the others, run the chapters: python -m capkit run"
            )
        if not listed:
            raise ValueError(f"{name} has no value")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def sweep(
    scenarios: Sequence[Mapping[str, Any]], run_dir: str = "", *, progress: bool = False
) -> pd.DataFrame:
    """Plan each scenario on the products of one run.

    Parameters
    ----------
    scenarios : sequence of mapping
        Parameters by name (`read_study`).
    run_dir : str
        Run whose products are used; empty for the reference run.
    progress : bool
        Show a bar.

    Returns
    -------
    DataFrame
        One row a scenario: its parameters, the plan's numbers, and ``error``, which says why there
        is no plan and is empty where there is one.
    """
    from tqdm.auto import tqdm

    from capkit.planning import SLO
    from capkit.planning.cli import plan_from_products

    rows = []
    for scenario in tqdm(scenarios, desc="scenarios", disable=not progress):
        terms = dict(scenario)
        row: dict[str, Any] = {**scenario, "error": ""}
        try:
            slo = SLO(
                float(terms.pop("slo_percentile", REGISTRY["slo_percentile"].default)),
                float(terms.pop("slo_latency_ms", REGISTRY["slo_latency_ms"].default)) / 1000.0,
            )
            with contextlib.redirect_stdout(io.StringIO()):
                plan, _ = plan_from_products(run_dir, slo, **terms)
            row |= {k: v for k, v in plan.to_dict().items() if not isinstance(v, dict)} | scenario
        except ValueError as error:
            row["error"] = str(error)
        rows.append(row)
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> int:
    """Print the table of a study, and write it as CSV; the status is 1 if no scenario has a plan."""
    parser = argparse.ArgumentParser(prog="python -m capkit sweep", description=__doc__)
    parser.add_argument("study", type=Path, help="YAML file, one name: [values] a line")
    parser.add_argument("--run-dir", default="", help="folder of a run; empty: the reference run")
    parser.add_argument("--out", type=Path, help="FILE.csv")
    options = parser.parse_args(arguments)
    try:
        scenarios = read_study(options.study)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    table = sweep(scenarios, options.run_dir, progress=sys.stderr.isatty())
    shown = [*scenarios[0], "cost_usd_week", "servers_min", "servers_max", "percentile_ms", "error"]
    print(table.reindex(columns=shown).to_string(index=False, na_rep="-"))
    if options.out is not None:
        table.to_csv(options.out, index=False, lineterminator="\n")
    return int(bool(table["error"].all()))
