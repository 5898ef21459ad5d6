"""A server's own metrics page in the Prometheus text format, and what its histograms can tell."""

from __future__ import annotations

from urllib.request import urlopen

import numpy as np
import pandas as pd


def read_metrics(text: str) -> pd.DataFrame:
    """Samples of a page in the Prometheus text format: ``name``, ``labels`` (dict), ``value``.

    >>> page = ':tensorflow:serving:request_count{model_name="m",status="OK"} 7\\n'
    >>> read_metrics(page).to_dict("records")
    [{'name': ':tensorflow:serving:request_count', 'labels': {'model_name': 'm', 'status': 'OK'}, 'value': 7.0}]
    """
    from prometheus_client.parser import text_string_to_metric_families

    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    rows = []
    for sample in samples:  # the parser adds a suffix to counters that the page does not have
        name = sample.name if sample.name in text else sample.name.removesuffix("_total")
        rows.append({"name": name, "labels": dict(sample.labels), "value": float(sample.value)})
    return pd.DataFrame(rows, columns=["name", "labels", "value"])


def scrape(rest_url: str, *, timeout_s: float = 10.0) -> str:
    """The metrics page of a server of TensorFlow Serving's API, from its REST address, as text."""
    with urlopen(f"{rest_url}/monitoring/prometheus/metrics", timeout=timeout_s) as answer:
        return str(answer.read().decode())


def bucket_percentile(
    samples: pd.DataFrame, histogram: str, percentile: float
) -> tuple[float, float]:
    """The two bucket limits that a percentile lies between: all that a Prometheus histogram knows.

    Parameters
    ----------
    samples : DataFrame
        From `read_metrics`; buckets of all labels are added up.
    histogram : str
        Name without ``_bucket``.
    percentile : float
        Share, between 0 and 1.

    Raises
    ------
    ValueError
        The page has no such histogram, or it is empty.

    >>> page = "".join(f'h_bucket{{le="{le}"}} {n}\\n' for le, n in (("10", 2), ("18", 9), ("+Inf", 10)))
    >>> bucket_percentile(read_metrics(page), "h", 0.5)
    (10.0, 18.0)
    """
    counts = _cumulative(samples, histogram)
    if counts.empty or counts.iloc[-1] <= 0.0:
        names = ", ".join(
            sorted({n.removesuffix("_bucket") for n in samples["name"] if n.endswith("_bucket")})
        )
        raise ValueError(
            f"no requests in a histogram {histogram!r}; the page has: {names or 'none'}"
        )
    position = int(np.searchsorted(counts.to_numpy(), percentile * counts.iloc[-1]))
    lower = float(counts.index[position - 1]) if position else 0.0
    return lower, float(counts.index[position])


def histogram_quantile(samples: pd.DataFrame, histogram: str, percentile: float) -> float:
    """A percentile as Prometheus computes it: its bucket (`bucket_percentile`), and a straight line inside.

    In the highest bucket, which has no upper limit, it is the lower limit.

    >>> page = "".join(f'h_bucket{{le="{le}"}} {n}\\n' for le, n in (("10", 2), ("18", 9), ("+Inf", 10)))
    >>> round(histogram_quantile(read_metrics(page), "h", 0.5), 2)
    13.43
    """
    lower, upper = bucket_percentile(samples, histogram, percentile)
    counts = _cumulative(samples, histogram)
    if np.isinf(upper):
        return lower
    below, within = float(counts.get(lower, 0.0)), float(counts[upper])
    rank = percentile * float(counts.iloc[-1])
    return lower + (upper - lower) * (rank - below) / (within - below)


def _cumulative(samples: pd.DataFrame, histogram: str) -> pd.Series:
    """Requests up to each bucket limit, all labels together."""
    rows = samples[samples["name"] == f"{histogram}_bucket"]
    limits = rows["labels"].map(lambda labels: float(labels["le"]))
    return rows["value"].groupby(limits).sum().sort_index()
