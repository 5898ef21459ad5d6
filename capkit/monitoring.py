"""Watching a plan: residuals against what the plan expects, alarms, and what an alarm is worth.

Detectors are causal: what they say of a moment uses that moment and earlier ones only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.request import urlopen

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.planning import SLO

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MAD_TO_SIGMA = 1.4826  # of a normal distribution


def robust_z(values: ArrayLike, *, season: int = 1, history: int, floor: float = 1e-9) -> Floats:
    """How unusual each value is, in robust standard deviations of its own place in the season.

    ``(value - median) / (1.4826 * median absolute deviation)``, shape (n,); 0 until the history is there
    (Iglewicz and Hoaglin, How to Detect and Handle Outliers, ASQC 1993).

    Parameters
    ----------
    values : array-like of shape (n,)
        Observations, or residuals of a forecast, at even steps.
    season : int
        Steps a season; 1 for values without one.
    history : int
        How many earlier values of the same place are compared with; `ValueError` if they are not there.
    floor : float
        Least standard deviation, in units of the values: a measure that hardly moves is not an alarm.

    >>> robust_z([10, 20, 11, 21, 12, 22, 11, 40], season=2, history=3, floor=1.0).round(1)
    array([ 0. ,  0. ,  0. ,  0. ,  0. ,  0. ,  0. , 12.8])
    """
    observed = np.asarray(values, dtype=float)
    if season < 1 or history < 3 or observed.size <= season * history:
        raise ValueError(
            f"{observed.size} values are too few for a history of {history} (at least 3) seasons of {season}"
        )
    score = np.zeros(observed.size)
    for place in range(season):
        own = observed[place::season]
        windows = np.lib.stride_tricks.sliding_window_view(own, history)[:-1]
        middle = np.median(windows, axis=1)
        spread = MAD_TO_SIGMA * np.median(np.abs(windows - middle[:, None]), axis=1)
        score[place + season * history :: season] = (own[history:] - middle) / np.maximum(
            spread, floor
        )
    return score


def cusum(
    scores: ArrayLike,
    *,
    allowance: float = 0.5,
    limit: float = 4.0,
    ceiling: float = 100.0,
    upward: bool = False,
) -> Floats:
    """Cumulative sum of standardised scores, shape (n,): small shifts that last add up.

    Page, Biometrika 41 (1954) 100-115; tabular form as in Montgomery, Statistical Quality Control.

    Parameters
    ----------
    scores : array-like of shape (n,)
        Standardised residuals; each counts at most ``limit``, so that one outlier is not a shift.
    allowance : float
        What is taken off at each step: half the shift that matters, in standard deviations.
    limit : float
        Bound on a single score.
    ceiling : float
        Bound on the sums: twice the alarm's threshold lets an alarm end soon after the shift does.
    upward : bool
        Only shifts upwards count; otherwise the larger of the two directions.

    >>> cusum([0, 0, 2, 2, 2, 0, 0]).tolist()
    [0.0, 0.0, 1.5, 3.0, 4.5, 4.0, 3.5]
    """
    bounded = np.clip(np.asarray(scores, dtype=float), -limit, limit)
    total = np.zeros(bounded.size)
    up = down = 0.0
    for step, score in enumerate(bounded):
        up = min(max(0.0, up + score - allowance), ceiling)
        down = min(max(0.0, down - score - allowance), ceiling)
        total[step] = up if upward else max(up, down)
    return total


def alarms(statistic: ArrayLike, threshold: float, *, persistence: int = 1) -> Flags:
    """Moments at which a statistic has been at or above a threshold for some steps in a row.

    >>> alarms([1, 5, 5, 1, 5], 4, persistence=2).tolist()
    [False, False, True, False, False]
    """
    above = np.asarray(statistic, dtype=float) >= threshold
    run = np.zeros(above.size, dtype=int)
    for step in range(above.size):
        run[step] = (run[step - 1] + 1 if step else 1) if above[step] else 0
    return np.asarray(run >= persistence)


@dataclass(frozen=True)
class Detection:
    """How good alarms are against labels."""

    precision: float
    """Share of the alarmed steps that are labelled; 0 without an alarm."""
    recall: float
    """Share of the labelled steps that are alarmed."""
    delay_h: float | None
    """Hours from the start of the label to the first alarm inside it; None if there is none."""
    false_episodes: int
    """Uninterrupted runs of alarms that begin outside the label."""


def judge(alarmed: ArrayLike, labelled: ArrayLike, *, step_s: float) -> Detection:
    """Compare alarms with one labelled anomaly, step by step (bool arrays of one shape, ``step_s`` apart).

    >>> judge([1, 0, 0, 1, 1], [0, 0, 1, 1, 1], step_s=3600)
    Detection(precision=0.6666666666666666, recall=0.6666666666666666, delay_h=1.0, false_episodes=1)
    """
    alarm = np.asarray(alarmed, dtype=bool)
    label = np.asarray(labelled, dtype=bool)
    if alarm.shape != label.shape or not label.any():
        raise ValueError("alarms and labels must be of one shape, with something labelled")
    hits = int((alarm & label).sum())
    inside = np.flatnonzero(alarm & label)
    starts = alarm & ~np.concatenate([[False], alarm[:-1]])
    return Detection(
        precision=hits / int(alarm.sum()) if alarm.any() else 0.0,
        recall=hits / int(label.sum()),
        delay_h=float(inside[0] - np.flatnonzero(label)[0]) * step_s / 3600.0 if hits else None,
        false_episodes=int((starts & ~label).sum()),
    )


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
    rows = samples[samples["name"] == f"{histogram}_bucket"]
    limits = rows["labels"].map(lambda labels: float(labels["le"]))
    counts = rows["value"].groupby(limits).sum().sort_index()
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


def alert_rules(slo: SLO, *, name: str, planned_rate: float) -> str:
    """Prometheus alert rules of a plan, as YAML: the SLO's error budget burns, demand leaves the plan.

    Windows and burn rates as in Beyer et al., The Site Reliability Workbook, ch. 5: 2 % of a month's
    budget in an hour is 14.4 times the allowed rate, 5 % in six hours is 6 times.

    Parameters
    ----------
    slo : SLO
        Latency objective; requests beyond the next lower bucket limit of TensorFlow Serving
        (10 us times powers of 1.8) count as late, which errs on the safe side.
    name : str
        Model name.
    planned_rate : float
        Largest arrival rate in 1/s that the plan carries; `ValueError` if it is not positive.

    >>> print(alert_rules(SLO(0.99, 0.05), name="digits", planned_rate=30000.0).splitlines()[3])
      - alert: LatencyBudgetBurnsFast
    """
    import yaml

    if not planned_rate > 0.0:
        raise ValueError(f"planned_rate must be positive, got {planned_rate}")
    limit_us = 10.0 * 1.8 ** math.floor(math.log(slo.latency_s * 1e6 / 10.0) / math.log(1.8) + 1e-9)
    chosen = f'model_name="{name}"'
    latency = ":tensorflow:serving:request_latency"

    def late(window: str) -> str:
        fast = f'sum(rate({latency}_bucket{{{chosen},le="{limit_us:.6g}"}}[{window}]))'
        return f"(1 - {fast} / sum(rate({latency}_count{{{chosen}}}[{window}])))"

    def burn(alert: str, factor: float, long: str, short: str, severity: str) -> dict[str, object]:
        allowed = f"{factor * (1.0 - slo.percentile):.4g}"
        return {
            "alert": alert,
            "expr": f"{late(long)} > {allowed} and {late(short)} > {allowed}",
            "labels": {"severity": severity},
            "annotations": {
                "summary": f"more than {allowed} of the requests to {name} are late, over {long} and {short}"
            },
        }

    rules = [
        burn("LatencyBudgetBurnsFast", 14.4, "1h", "5m", "page"),
        burn("LatencyBudgetBurnsSlowly", 6.0, "6h", "30m", "ticket"),
        {
            "alert": "DemandAbovePlan",
            "expr": f"sum(rate(:tensorflow:serving:request_count{{{chosen}}}[5m])) > {planned_rate:.6g}",
            "for": "15m",
            "labels": {"severity": "ticket"},
            "annotations": {
                "summary": f"{name} is asked for more than the plan carries: plan again"
            },
        },
    ]
    groups = [{"name": name, "rules": rules}]
    return str(yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000))
