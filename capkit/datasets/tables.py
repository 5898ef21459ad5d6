"""Loaders of the shipped tables. Columns, units, sources and licences: ``data/README.md``."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capkit.datasets.files import data_dir

TRACES = ("chat", "code")


def load_arrivals(trace: str) -> pd.DataFrame:
    """Requests and token sums of every second of an Azure LLM trace (2023, about one hour).

    Parameters
    ----------
    trace : {"chat", "code"}
        Chat service (close to Poisson in the small) or code completion (very bursty).

    Returns
    -------
    DataFrame
        ``second`` (s from the first request, empty seconds included), ``requests`` (count),
        ``context_tokens`` and ``generated_tokens`` (sums over the requests of that second).

    Raises
    ------
    ValueError
        The trace is neither of the two.

    Examples
    --------
    >>> int(load_arrivals("chat")["requests"].sum())
    19366
    """
    _check_trace(trace)
    return _stored(f"azure_llm_2023_{trace}_per_second.csv.gz").copy()


def load_fine_counts(trace: str) -> NDArray[np.int64]:
    """Requests in every tenth of a second of an Azure LLM trace: what windows below 1 s need.

    Parameters and errors as in `load_arrivals`, whose seconds these are, ten values each.

    >>> seconds = load_fine_counts("chat").reshape(-1, 10).sum(axis=1)
    >>> bool((seconds == load_arrivals("chat")["requests"]).all())
    True
    """
    table = _rows_of("azure_llm_2023_per_tenth.csv.gz", trace)
    seconds = len(load_arrivals(trace))
    return np.bincount(table["tenth"], table["requests"], 10 * seconds).astype(np.int64)


def load_gap_quantiles(trace: str) -> pd.DataFrame:
    """Quantiles of the measured gaps between requests, the longest 250 gaps one by one.

    Parameters and errors as in `load_arrivals`. Columns: ``probability`` (0 to 1), ``gap_s`` (s).

    >>> float(load_gap_quantiles("code")["gap_s"].max().round(1))
    217.2
    """
    return _rows_of("azure_llm_2023_gap_quantiles.csv.gz", trace)


def gap_moments(quantiles: pd.DataFrame) -> tuple[float, float]:
    """Mean (s) and squared coefficient of variation of the gaps in a quantile table.

    Both moments are integrals of the quantile function over the probability (trapezoid rule).

    >>> share = np.linspace(0, 1, 1001)
    >>> mean_s, cv2 = gap_moments(pd.DataFrame({"probability": share, "gap_s": 2 * share}))
    >>> round(mean_s, 3), round(cv2, 3)
    (1.0, 0.333)
    """
    probability, gap = quantiles["probability"].to_numpy(), quantiles["gap_s"].to_numpy()
    mean = float(np.trapezoid(gap, probability))
    return mean, float(np.trapezoid(gap**2, probability)) / mean**2 - 1


def load_token_histogram(trace: str) -> pd.DataFrame:
    """Requests by token count, in bins about equally wide on a log scale.

    Parameters and errors as in `load_arrivals`. Columns: ``kind`` ("context" or "generated"),
    ``low_tokens`` (in the bin), ``high_tokens`` (first count above the bin), ``requests``.

    >>> load_token_histogram("chat").groupby("kind")["requests"].sum().to_dict()
    {'context': 19366, 'generated': 19366}
    """
    return _rows_of("azure_llm_2023_token_histogram.csv", trace)


def load_servegen() -> pd.DataFrame:
    """Request rates of five model services of a public cloud, in 10-minute windows.

    Columns: ``service``, ``t_s`` (s from a midnight), ``rate_rps`` (requests/s; 0 is a gap in
    the data, not an idle service), ``active_clients``, ``rate_weighted_cv`` (coefficient of
    variation of the gaps, mean over the clients weighted by rate).

    >>> load_servegen()["service"].nunique()
    5
    """
    return _stored("servegen_service_rates_10min.csv.gz").copy()


def load_asg_cpu() -> pd.DataFrame:
    """Mean CPU of an autoscaling group every 5 minutes, with one labelled anomaly at the end.

    Columns: ``time``, ``cpu_percent``, ``anomaly`` (True inside the labelled window).

    >>> int(load_asg_cpu()["anomaly"].sum())
    1499
    """
    table = _stored("asg_cpu_5min.csv.gz")
    return table.assign(time=pd.to_datetime(table["time"]), anomaly=table["anomaly"] == 1)


def load_mlperf_resnet50() -> pd.DataFrame:
    """MLPerf Inference server runs of ResNet-50: the highest rate that kept p99 within 15 ms.

    ``server_qps_per_accelerator`` is the measured ``server_qps`` of the system divided by its
    ``accelerators``: derived here, not an official MLPerf result.

    >>> runs = load_mlperf_resnet50()
    >>> bool((runs["p99_ms"] <= runs["latency_limit_ms"]).all())
    True
    """
    return _stored("mlperf_resnet50_server.csv").copy()


def load_llm_latency() -> pd.DataFrame:
    """Measured time to first token and per output token of LLM replicas, by concurrency.

    Columns: ``model``, ``system``, ``precision``, ``backend``, ``backend_version`` (may be
    empty), ``isl`` and ``osl`` (input and output tokens), ``tp`` (accelerators of the replica),
    ``ep`` (expert-parallel groups among them), ``concurrency`` (requests in flight), ``ttft_ms``,
    ``tpot_ms``, ``measured_on``.

    >>> llm = load_llm_latency()
    >>> bool((llm["tpot_ms"] > 0).all())
    True
    """
    return _stored("llm_serving_latency.csv.gz").fillna({"backend_version": ""})


@cache
def _stored(name: str) -> pd.DataFrame:
    return pd.read_csv(data_dir() / name)


def _rows_of(name: str, trace: str) -> pd.DataFrame:
    _check_trace(trace)
    table = _stored(name)
    return table[table["trace"] == trace].drop(columns="trace").reset_index(drop=True)


def _check_trace(trace: str) -> None:
    if trace not in TRACES:
        raise ValueError(f"the shipped traces are {', '.join(TRACES)}; got {trace!r}")
