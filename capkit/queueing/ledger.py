"""The ledger: what a model predicted for a load, what was measured, and how far apart they are.

A measured run is short, and even a perfect model would miss its figures by sampling noise. So each
entry says, beside the signed error, whether the measured value lies where 95 % of such runs would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.simulation import simulate_fcfs

FIGURES = ("mean", "p50", "p95", "p99")
SHARES = (0.5, 0.95, 0.99)


def latency_figures(latency_ms: ArrayLike) -> NDArray[np.float64]:
    """Mean, p50, p95 and p99 (ms) of one run's latencies.

    >>> latency_figures([1.0, 2.0, 3.0]).round(2).tolist()
    [2.0, 2.0, 2.9, 2.98]
    """
    values = np.asarray(latency_ms, dtype=float)
    return np.array([values.mean(), *np.quantile(values, SHARES)])


def predicted_figures(queue: Any, overhead_s: float = 0.0) -> NDArray[np.float64]:
    """The same figures (ms) from a queueing model, with latency that occupies no server added.

    >>> from capkit.queueing import MMc
    >>> predicted_figures(MMc(50.0, 100.0, 1), overhead_s=0.001).round(1).tolist()
    [21.0, 14.9, 60.9, 93.1]
    """
    tails = queue.response_quantile(np.array(SHARES))
    return 1e3 * (np.array([queue.mean_response, *tails]) + overhead_s)


def sampling_interval(
    arrival_rate: float,
    requests: int,
    service_times_s: ArrayLike,
    servers: int,
    rng: np.random.Generator,
    *,
    overhead_s: float = 0.0,
    runs: int = 200,
) -> NDArray[np.float64]:
    """Where the figures of a run of ``requests`` fall if the model is right: Poisson, FCFS, this service law.

    ``service_times_s`` is a sample or equally likely quantiles of the service time, drawn with replacement;
    ``overhead_s`` is latency that occupies no server. Returns (3, 4): median, 2.5 % and 97.5 % point (ms)
    over the simulated ``runs`` of mean, p50, p95, p99.

    >>> found = sampling_interval(50.0, 500, [0.01], 1, np.random.default_rng(1))
    >>> bool(found[1, 0] < 15.0 < found[2, 0])  # M/D/1 at .5: 10 ms + 5 ms
    True
    """
    law, figures = np.asarray(service_times_s, dtype=float), []
    for generator in rng.spawn(runs):
        arrivals = np.cumsum(generator.exponential(1.0 / arrival_rate, requests))
        services = generator.choice(law, requests)
        responses = simulate_fcfs(arrivals, services, servers) + services
        figures.append(latency_figures(1e3 * (responses + overhead_s)))
    found: NDArray[np.float64] = np.quantile(figures, [0.5, 0.025, 0.975], axis=0)
    return found


def ledger_entries(
    server: str,
    load: float,
    measured_ms: ArrayLike,
    intervals_ms: ArrayLike,
    predictions_ms: Mapping[str, ArrayLike],
    sampling_ms: NDArray[np.float64],
) -> pd.DataFrame:
    """One row a figure and model, for one measured ``load`` (utilisation) of one ``server``.

    ``measured_ms`` (4,) holds mean, p50, p95, p99; ``intervals_ms`` (4, 2) their ends, NaN where there were
    too few requests; ``predictions_ms`` the same four figures by model; ``sampling_ms`` comes from
    `sampling_interval`. Column error_percent is negative where the model was too fast; ``inside`` says
    whether the measured value lies within the sampling interval.
    """
    measured, bounds = np.asarray(measured_ms, dtype=float), np.asarray(intervals_ms, dtype=float)
    rows = [
        (server, load, FIGURES[i], model, value, measured[i], *bounds[i])
        for model, values in predictions_ms.items()
        for i, value in enumerate(np.asarray(values, dtype=float))
    ]
    names = [
        "server",
        "load",
        "quantity",
        "model",
        "predicted_ms",
        "measured_ms",
        "low_ms",
        "high_ms",
    ]
    table = pd.DataFrame(rows, columns=names)
    table["error_percent"] = 100.0 * (table["predicted_ms"] / table["measured_ms"] - 1.0)
    inside = (sampling_ms[1] <= measured) & (measured <= sampling_ms[2])
    return table.assign(inside=np.tile(inside, len(predictions_ms)))


def error_table(ledger: pd.DataFrame) -> pd.DataFrame:
    """One server's ledger for reading: one row a load and quantity, one column of errors (%) a model."""
    rows = ["load", "quantity"]
    errors = ledger.pivot_table(index=rows, columns="model", values="error_percent", sort=False)
    rest = ledger.groupby(rows, sort=False)[["measured_ms", "inside"]].first()
    table = errors.round(1).join(rest.round({"measured_ms": 2})).reset_index()
    return table.rename_axis(columns=None).round({"load": 2})
