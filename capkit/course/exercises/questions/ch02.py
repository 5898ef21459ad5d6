"""Questions of chapter 02: the laws that tie throughput, latency, utilisation and cost together."""

from __future__ import annotations

import numpy as np

from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number
from capkit.queueing import MMc, min_servers


@question(
    "02.1",
    "Little's law needs two of the three, in units that fit.",
    "Requests in flight = throughput (1/s) times latency (s).",
)
def in_flight(throughput_rps: float, latency_ms: float) -> Number:
    """Mean number of requests in flight."""
    return Number(
        throughput_rps * latency_ms / 1000.0,
        "requests",
        slips={"That is throughput over latency.": throughput_rps / (latency_ms / 1000.0)},
    )


@question(
    "02.2",
    "Compute throughput times mean latency of each, and compare with what is in flight.",
    "Two of the dashboards agree with themselves; they need not agree with each other.",
)
def broken_dashboard() -> Choice:
    """Which dashboard contradicts Little's law."""
    return Choice(
        "b",
        {
            "a": "Dashboard a agrees with itself: 400 a second for 25 ms are 10 in flight.",
            "c": "Dashboard c agrees with itself: two seconds are a long time, but no contradiction.",
        },
    )


@question(
    "02.3",
    "The wait alone, without the service.",
    "`MMc(rate, service_rate, servers).mean_wait` at both utilisations; rate = utilisation x servers x service rate.",
)
def hockey_stick(servers: int, lower: float, upper: float) -> Number:
    """How many times longer the mean wait is at the upper utilisation."""
    low, high = (MMc(u * servers, 1.0, servers) for u in (lower, upper))
    return Number(
        float(high.mean_wait / low.mean_wait),
        "times",
        slips={
            "That is the response; its constant part, the service, hides the wait.": float(
                high.mean_response / low.mean_response
            ),
            "That is one over what is left; close to full it comes near, here something is missing.": (
                1.0 - lower
            )
            / (1.0 - upper),
            "That is the ratio of the loads.": upper / lower,
        },
    )


@question(
    "02.4",
    "Is the p99 of two servers together between the two p99s? It is, but where depends on how many requests each has.",
    "A percentile needs the requests, not the percentiles: put the logs together first.",
    "`np.quantile(np.concatenate([...]), 0.99)`",
)
def joint_percentile() -> Function:
    """The p99 of two logs together."""
    rng = np.random.default_rng(2)
    quick, slow = rng.exponential(10.0, 9_000), rng.exponential(80.0, 1_000)
    return Function(
        lambda one, other: float(np.quantile(np.concatenate([one, other]), 0.99)),
        [(quick, slow), (slow, quick), (quick, quick[:50])],
        "ms",
        slips={
            "That is the mean of the two p99s; a percentile needs the requests.": lambda one, other: (
                float((np.quantile(one, 0.99) + np.quantile(other, 0.99)) / 2.0)
            ),
            "That is the larger of the two p99s.": lambda one, other: float(
                max(np.quantile(one, 0.99), np.quantile(other, 0.99))
            ),
            "That weighs the two p99s by the requests; a percentile needs the requests themselves.": lambda one, other: (
                float(
                    (one.size * np.quantile(one, 0.99) + other.size * np.quantile(other, 0.99))
                    / (one.size + other.size)
                )
            ),
        },
    )


@question(
    "02.5",
    "First the smallest number of servers that meets the SLO, then its cost, then a request's share of it.",
    "`min_servers(demand, service_rate, percentile=..., max_response=...)` with seconds, not ms.",
    "USD per million = servers x price / (3600 x demand) x 1e6.",
)
def usd_per_million(
    demand_rps: float,
    service_rate: float,
    slo_percentile: float,
    slo_latency_ms: float,
    server_usd_h: float,
) -> Number:
    """Cost in USD of a million requests on the smallest fleet that meets the SLO."""
    servers = min_servers(
        demand_rps, service_rate, percentile=slo_percentile, max_response=slo_latency_ms / 1000.0
    )
    usd = server_usd_h / (3600.0 * demand_rps) * 1e6
    return Number(
        servers * usd,
        "USD per million requests",
        slips={
            "That is with the servers full: it ignores the SLO.": demand_rps / service_rate * usd,
            "That is one server's share.": usd,
        },
    )


@question(
    "02.6",
    "The rate of the log, and the time that each request stays.",
    "Little's law again: `characterize(times).rate` times the stay in seconds.",
)
def on_your_log(rate_rps: float, stay_s: float) -> Number:
    """Mean number of requests in flight on a log of one's own."""
    return Number(rate_rps * stay_s, "requests")
