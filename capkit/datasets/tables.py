"""Loaders of the shipped tables. Columns, units, sources and licences: ``data/README.md``."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from capkit.datasets.files import data_dir

TRACES = ("chat", "code")


@cache
def _stored(name: str) -> pd.DataFrame:
    return pd.read_csv(data_dir() / name)


def _check_trace(trace: str) -> None:
    if trace not in TRACES:
        raise ValueError(f"the shipped traces are {', '.join(TRACES)}; got {trace!r}")


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


def load_gap_quantiles(trace: str) -> pd.DataFrame:
    """Quantiles of the gaps between requests, as measured, finest in the upper tail.

    Parameters
    ----------
    trace : {"chat", "code"}
        As in `load_arrivals`.

    Returns
    -------
    DataFrame
        ``probability`` (rank / (count - 1), from 0 to 1), ``gap_s`` (s); linear in between.

    Raises
    ------
    ValueError
        The trace is neither of the two.

    Examples
    --------
    >>> float(load_gap_quantiles("code")["gap_s"].max().round(1))
    217.2
    """
    return _rows_of("azure_llm_2023_gap_quantiles.csv.gz", trace)


def gap_moments(quantiles: pd.DataFrame) -> tuple[float, float]:
    """Mean (s) and squared coefficient of variation of the gaps that a quantile table describes.

    The quantile function is taken as linear between the rows, so that both moments are sums of
    exact integrals over the probability.

    Examples
    --------
    >>> uniform = pd.DataFrame({"probability": [0.0, 1.0], "gap_s": [0.0, 2.0]})
    >>> mean_s, cv2 = gap_moments(uniform)
    >>> round(mean_s, 6), round(cv2, 6)
    (1.0, 0.333333)
    """
    share = np.diff(quantiles["probability"].to_numpy())
    gap = quantiles["gap_s"].to_numpy()
    low, high = gap[:-1], gap[1:]
    mean = float(np.sum(share * (low + high) / 2))
    square = float(np.sum(share * (low**2 + low * high + high**2) / 3))
    return mean, square / mean**2 - 1


def load_token_histogram(trace: str) -> pd.DataFrame:
    """Requests by token count, in bins about equally wide on a log scale.

    Parameters
    ----------
    trace : {"chat", "code"}
        As in `load_arrivals`.

    Returns
    -------
    DataFrame
        ``kind`` ("context" or "generated"), ``low_tokens`` (in the bin), ``high_tokens`` (the
        first count above the bin), ``requests``.

    Raises
    ------
    ValueError
        The trace is neither of the two.

    Examples
    --------
    >>> load_token_histogram("chat").groupby("kind")["requests"].sum().to_dict()
    {'context': 19366, 'generated': 19366}
    """
    return _rows_of("azure_llm_2023_token_histogram.csv", trace)


def _rows_of(name: str, trace: str) -> pd.DataFrame:
    _check_trace(trace)
    table = _stored(name)
    return table[table["trace"] == trace].drop(columns="trace").reset_index(drop=True)


def load_servegen() -> pd.DataFrame:
    """Request rates of five model services of a public cloud, in 10-minute windows.

    Returns
    -------
    DataFrame
        ``service``, ``t_s`` (s from a midnight), ``rate_rps`` (requests/s; 0 is a gap in the
        data, not an idle service), ``active_clients``, ``rate_weighted_cv`` (coefficient of
        variation of the gaps, mean over the clients weighted by rate).

    Examples
    --------
    >>> load_servegen()["service"].nunique()
    5
    """
    return _stored("servegen_service_rates_10min.csv.gz").copy()


def load_asg_cpu() -> pd.DataFrame:
    """Mean CPU of an autoscaling group every 5 minutes, with one labelled anomaly at the end.

    Returns
    -------
    DataFrame
        ``time``, ``cpu_percent``, ``anomaly`` (True inside the labelled window).

    Examples
    --------
    >>> int(load_asg_cpu()["anomaly"].sum())
    1499
    """
    table = _stored("asg_cpu_5min.csv.gz")
    return table.assign(time=pd.to_datetime(table["time"]), anomaly=table["anomaly"] == 1)


def load_mlperf_resnet50() -> pd.DataFrame:
    """MLPerf Inference server runs of ResNet-50: the highest rate that kept p99 within 15 ms.

    ``server_qps_per_accelerator`` is the measured ``server_qps`` of the system divided by its
    ``accelerators``: derived here, not an official MLPerf result.

    Examples
    --------
    >>> runs = load_mlperf_resnet50()
    >>> bool((runs["p99_ms"] <= runs["latency_limit_ms"]).all())
    True
    """
    return _stored("mlperf_resnet50_server.csv").copy()


def load_llm_latency() -> pd.DataFrame:
    """Measured time to first token and per output token of LLM replicas, by concurrency.

    Returns
    -------
    DataFrame
        ``model``, ``system``, ``precision``, ``backend``, ``backend_version``, ``isl`` and
        ``osl`` (input and output tokens), ``tp`` (accelerators of the replica), ``concurrency``
        (requests in flight), ``ttft_ms``, ``tpot_ms``, ``measured_on``.

    Examples
    --------
    >>> llm = load_llm_latency()
    >>> bool((llm["tpot_ms"] > 0).all())
    True
    """
    return _stored("llm_serving_latency.csv.gz").copy()
