"""What Prometheus is told: whom to scrape, the questions of a plan (PromQL), and when to ring."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from capkit.planning import SLO

LATENCY = ":tensorflow:serving:request_latency"
EXECUTION = ":tensorflow:serving:runtime_latency"
COUNT = ":tensorflow:serving:request_count"
#: (alert, burn rate, long window, short window, severity): The Site Reliability Workbook, ch. 5
BURNS = (
    ("LatencyBudgetBurnsFast", 14.4, "1h", "5m", "page"),
    ("LatencyBudgetBurnsSteadily", 6.0, "6h", "30m", "page"),
    ("LatencyBudgetBurnsSlowly", 1.0, "3d", "6h", "ticket"),
)


def queries(name: str, percentile: float, *, window: str = "5m") -> dict[str, str]:
    """The questions of a plan to a server of TensorFlow Serving's metrics, in PromQL.

    Parameters
    ----------
    name : str
        Model name.
    percentile : float
        The SLO's percentile, as a share.
    window : str
        How far back the rates reach; at least four scrapes, so that two are in it when one fails.

    Returns
    -------
    dict
        ``rate`` (1/s, by instance), ``percentile_us`` (interpolated inside a bucket), ``mean_us``,
        ``busy`` (requests in execution by instance: the utilisation of a server that takes one at a
        time), ``share`` (of the requests, by instance) and ``errors`` (share that was not OK).

    >>> queries("digits", 0.99)["rate"]
    'sum by (instance) (rate(:tensorflow:serving:request_count{model_name="digits"}[5m]))'
    """
    chosen = f'{{model_name="{name}"}}[{window}]'
    rate = f"sum by (instance) (rate({COUNT}{chosen}))"
    good = f'{{model_name="{name}",status="OK"}}[{window}]'
    return {
        "rate": rate,
        "percentile_us": f"histogram_quantile({percentile:g}, sum by (le) (rate({LATENCY}_bucket{chosen})))",
        "mean_us": f"sum(rate({LATENCY}_sum{chosen})) / sum(rate({LATENCY}_count{chosen}))",
        "busy": f"sum by (instance) (rate({EXECUTION}_sum{chosen})) / 1e6",
        "share": f"{rate} / scalar(sum({rate}))",
        "errors": f"1 - sum(rate({COUNT}{good})) / sum(rate({COUNT}{chosen}))",
    }


def scrape_config(
    targets: Mapping[str, str], *, scrape_s: float = 15.0, rule_files: Sequence[str] = ()
) -> str:
    """Configuration of Prometheus, as YAML: scrape servers at TensorFlow Serving's usual path.

    Parameters
    ----------
    targets : mapping of str to str
        ``host:port`` of each server's REST port, by its name in the label ``instance``.
    scrape_s : float
        Seconds between scrapes.
    rule_files : sequence of str
        Files with alert rules.

    >>> print(scrape_config({"a": "127.0.0.1:8501"}).splitlines()[1])
      scrape_interval: 15000ms
    """
    import yaml

    interval = f"{round(1000 * scrape_s)}ms"
    job = {
        "job_name": "serving",
        "metrics_path": "/monitoring/prometheus/metrics",
        "static_configs": [
            {"targets": [address], "labels": {"instance": name}}
            for name, address in targets.items()
        ],
    }
    content = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "rule_files": list(rule_files),
        "scrape_configs": [job],
    }
    return str(yaml.safe_dump(content, sort_keys=False, width=1000))


def bucket_limit_us(latency_s: float) -> float:
    """The largest limit of TensorFlow Serving's latency buckets (10 us times powers of 1.8) up to a latency.

    >>> round(bucket_limit_us(0.05))
    37481
    """
    return float(10.0 * 1.8 ** math.floor(math.log(latency_s * 1e6 / 10.0) / math.log(1.8) + 1e-9))


def alert_rules(slo: SLO, *, name: str, planned_rate: float) -> str:
    """Prometheus alert rules of a plan, as YAML: the SLO's error budget burns, demand leaves the plan, a
    replica runs hot.

    Windows and burn rates as in Beyer et al., The Site Reliability Workbook, ch. 5: 2 % of a month's
    budget in an hour is 14.4 times the allowed rate, 5 % in six hours 6 times, 10 % in three days once.

    Parameters
    ----------
    slo : SLO
        Latency objective; requests beyond `bucket_limit_us` count as late, which errs on the safe side.
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
    chosen, limit_us = f'model_name="{name}"', bucket_limit_us(slo.latency_s)

    def late(window: str) -> str:
        fast = f'sum(rate({LATENCY}_bucket{{{chosen},le="{limit_us:.6g}"}}[{window}]))'
        return f"(1 - {fast} / sum(rate({LATENCY}_count{{{chosen}}}[{window}])))"

    def rule(
        alert: str, expr: str, severity: str, summary: str, wait: str = ""
    ) -> dict[str, object]:
        head: dict[str, object] = {"alert": alert, "expr": expr}
        head |= {"for": wait} if wait else {}
        return head | {"labels": {"severity": severity}, "annotations": {"summary": summary}}

    rules = []
    for alert, factor, long, short, severity in BURNS:
        # A burn rate whose threshold exceeds everything cannot ring: a loose SLO has no fast burn.
        allowed = f"{factor * (1.0 - slo.percentile):.4g}"
        expr = f"{late(long)} > {allowed} and {late(short)} > {allowed}"
        summary = f"more than {allowed} of the requests to {name} are late, over {long} and {short}"
        rules.append(rule(alert, expr, severity, summary))
    asked = queries(name, slo.percentile)
    demand = f"sum({asked['rate']}) > {planned_rate:.6g}"
    summary = f"{name} is asked for more than the plan carries: plan again"
    rules.append(rule("DemandAbovePlan", demand, "ticket", summary, "15m"))
    hot = f"{asked['share']} > 1.5 / scalar(count({asked['rate']}))"
    summary = f"{{{{ $labels.instance }}}} answers half as much again as its share of {name}"
    rules.append(rule("HotReplica", hot, "ticket", summary, "15m"))
    groups = [{"name": name, "rules": rules}]
    return str(yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000))
