"""The notebooks' parameters: one name, one meaning, one default in every notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Value = str | int | float | bool

SHARE = pd.Interval(0.0, 1.0, closed="neither")
POSITIVE = pd.Interval(0.0, np.inf, closed="neither")
FROM_ZERO = pd.Interval(0, np.inf, closed="left")
FROM_ONE = pd.Interval(1, np.inf, closed="left")


@dataclass(frozen=True)
class Parameter:
    """One parameter: its default (whose type is the parameter's type), what it means, its range."""

    name: str
    default: Value
    meaning: str
    within: pd.Interval | None = None


REGISTRY: dict[str, Parameter] = {
    p.name: p
    for p in (
        Parameter("run_dir", "", "folder of this run's products; empty: read the reference run"),
        Parameter("seed", 1, "seed of every random draw", FROM_ZERO),
        Parameter("trace", "chat", "request log: chat, code, or a CSV file with one row a request"),
        Parameter("trace_column", "timestamp", "column of a CSV request log that holds the time"),
        Parameter("demand", "", "hourly counts: empty for the application server, or a CSV file"),
        Parameter("demand_time_column", "time", "column of a CSV demand file that holds the hour"),
        Parameter("demand_count_column", "requests", "column of a CSV demand file with the count"),
        Parameter("load_scale", 200.0, "factor on the hourly counts", POSITIVE),
        Parameter(
            "slo_percentile", 0.99, "share of the requests that must meet the latency target", SHARE
        ),
        Parameter(
            "slo_latency_ms", 50.0, "latency target in ms, from intended send to answer", POSITIVE
        ),
        Parameter("prices", "", "price table: empty for the catalogue that ships, or a CSV file"),
        Parameter("provider", "aws", "cloud whose rows of the price table are used"),
        Parameter("solver", "highs", "solver of the integer program"),
        Parameter("zones", 2, "availability zones; the plan carries the loss of one", FROM_ONE),
        Parameter(
            "dispatch_rule", "random", "how requests reach servers: random, round_robin, central"
        ),
        Parameter(
            "detection_s", 10.0, "seconds until a lost zone gets no more requests", FROM_ZERO
        ),
        Parameter(
            "startup_s", 120.0, "seconds from ordering a server to its first answer", FROM_ZERO
        ),
        Parameter(
            "days", 0.25, "days that the controllers are simulated for, the busiest ones", POSITIVE
        ),
        Parameter("horizon_h", 168, "hours to forecast and to plan", FROM_ONE),
        Parameter("mnist", "bundled", "digits: bundled (5,000), keras (download), or a folder"),
        Parameter("epochs", 3, "passes over the training digits", FROM_ONE),
        Parameter("measure", True, "measure here; False takes the reference's measurements"),
        Parameter("measure_s", 2.0, "seconds of load at each measured level", POSITIVE),
        Parameter("target", "", "host:port of a running server; empty starts one here"),
    )
}


def response_budget_s(slo_latency_ms: float, slo_percentile: float, overhead_s: float) -> float:
    """What the latency target leaves for waiting and service, in seconds: the target less the overhead.

    Raises
    ------
    ValueError
        ``slo_percentile`` is no share between 0 and 1, or ``slo_latency_ms`` is not above ``overhead_s``.

    Examples
    --------
    >>> response_budget_s(50.0, 0.99, 0.002)
    0.048
    """
    if slo_percentile not in SHARE:
        raise ValueError(
            f"slo_percentile is a share between 0 and 1, such as 0.99 for p99, got {slo_percentile:g}"
        )
    if not slo_latency_ms / 1e3 > overhead_s:
        raise ValueError(
            f"slo_latency_ms = {slo_latency_ms:g} is not above the overhead of {1e3 * overhead_s:.3g} ms, "
            "which occupies no server: no number of servers helps; allow more"
        )
    return slo_latency_ms / 1e3 - overhead_s


def used_parameters(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The registered parameters among a notebook's ``globals()``, the run folder left out.

    Raises
    ------
    ValueError
        A variable has a parameter's name but holds something else: rename the variable.

    Examples
    --------
    >>> used_parameters({"seed": 3, "run_dir": "runs/a", "other": 5})
    {'seed': 3}
    """
    used = {name: namespace[name] for name in REGISTRY if name in namespace and name != "run_dir"}
    for name, value in used.items():
        if not isinstance(value, str | int | float):
            kind = type(value).__name__
            raise ValueError(f"{name} is a parameter but holds a {kind}: rename the variable")
    return used
