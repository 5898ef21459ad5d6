"""Questions of chapter 06: queueing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number, Properties
from capkit.queueing import MMc, min_servers
from capkit.simulation import simulate_fcfs


@question(
    "06.1",
    "Which of L, Lq, W and Wq is asked for: the line, or the line and the service?",
    "Wq = C / (c mu - lambda), where C is Erlang's probability of waiting; `capkit.queueing.erlang_c` has it.",
    "`MMc(arrival_rate, service_rate, servers).mean_wait` is in the unit of 1 / service_rate: hours here.",
)
def mean_wait(arrival_rate: float, service_rate: float, servers: int) -> Number:
    """Mean wait of M/M/c in minutes; the rates are per hour."""
    queue = MMc(arrival_rate, service_rate, servers)
    document = arrival_rate**2 / (service_rate * (service_rate * servers - arrival_rate)) * queue.p0
    return Number(
        60.0 * queue.mean_wait,
        "minutes",
        slips={
            "That is in hours; minutes are asked for.": queue.mean_wait,
            "That is the mean response: the service is still in it.": 60.0 * queue.mean_response,
            "That is the document's W: its L is no queue length.": 60.0 * document / arrival_rate,
            "That is the mean wait of those who wait at all.": 60.0
            / (servers * service_rate - arrival_rate),
            "That is the wait with one server that is as fast as all of them.": 60.0
            * MMc(arrival_rate, servers * service_rate, 1).mean_wait,
        },
    )


@question(
    "06.2",
    "How many servers does the rate ask for, whatever the target? Rate over service rate, rounded up.",
    "`min_servers(rate, service_rate, dispatch='random', ...)` for the target and for its half.",
    "The overhead occupies no server: take it off both targets first.",
)
def tighter_target(
    rate: float,
    service_rate: float,
    service_cv2: float,
    overhead_s: float,
    slo_percentile: float,
    slo_latency_ms: float,
) -> Number:
    """Servers more for half the latency target, behind random dispatch; `ValueError` if no number meets it."""

    def needed(latency_ms: float, overhead_s: float = overhead_s) -> int:
        return min_servers(
            rate,
            service_rate,
            percentile=slo_percentile,
            max_response=latency_ms / 1000.0 - overhead_s,
            service_cv2=service_cv2,
            dispatch="random",
        )

    try:
        half, full = needed(slo_latency_ms / 2.0), needed(slo_latency_ms)
    except ValueError:
        raise ValueError(
            f"no number of servers meets half of slo_latency_ms = {slo_latency_ms:g}: set a larger one at the top"
        ) from None
    slips = {"That is the number itself; the difference is asked for.": float(half)}
    forgot = needed(slo_latency_ms / 2.0, 0.0) - needed(slo_latency_ms, 0.0)
    if forgot != half - full:
        slips["The overhead is still in the target."] = float(forgot)
    return Number(float(half - full), "servers", tolerance=0.0, slips=slips)


@question(
    "06.3",
    "A percentile of a sum is not the sum of the percentiles. Nor is it a percentile plus a mean.",
    "Do the slowest waits and the slowest services fall on the same requests?",
    "`MMc(...).response_quantile(percentile)` convolves the two laws.",
)
def percentile_of_response() -> Function:
    """The percentile of wait and service together."""
    cases = [(0.5, 1.0, 1, 0.99), (3.4, 1.0, 4, 0.95), (54.0, 1.0, 64, 0.99)]
    return Function(
        lambda arrival_rate, service_rate, servers, percentile: float(
            MMc(arrival_rate, service_rate, servers).response_quantile(percentile)
        ),
        cases,
        "s",
        slips={
            "That still adds the mean service to a percentile of the wait.": lambda rate, mu, c, p: (
                float(MMc(rate, mu, c).wait_quantile(p)) + 1.0 / mu
            ),
            "That adds the two percentiles: the slowest waits and services are not those of the same requests.": lambda rate, mu, c, p: (
                float(MMc(rate, mu, c).wait_quantile(p)) - np.log(1.0 - p) / mu
            ),
            "That is the wait alone.": lambda rate, mu, c, p: float(
                MMc(rate, mu, c).wait_quantile(p)
            ),
            "That is the service alone.": lambda rate, mu, c, p: -np.log(1.0 - p) / mu,
        },
    )


@question(
    "06.4",
    "How many servers does one team alone need? Then all teams, and then one pool for all of their load.",
    "Servers saved, times the price of one, times the hours of a month (730).",
    "`teams * min_servers(rate, ...) - min_servers(teams * rate, ...)` is the number of servers saved.",
)
def one_pool(
    teams: int, rate: float, service_rate: float, max_response_s: float, usd_server_h: float
) -> Number:
    """USD a month that one pool saves against a pool a team, at the p99 of the response."""
    target = {"percentile": 0.99, "max_response": max_response_s}
    alone = min_servers(rate, service_rate, **target)
    saved = teams * alone - min_servers(teams * rate, service_rate, **target)
    month = 730.0 * usd_server_h
    return Number(
        saved * month,
        "USD a month",
        slips={
            "That is what the one pool costs: what it saves is asked for.": (teams * alone - saved)
            * month,
            "That is what the pools of the teams cost: the one pool costs something too.": teams
            * alone
            * month,
            "That is a day's saving.": saved * usd_server_h * 24.0,
            "That is an hour's saving.": saved * usd_server_h,
            "That is the number of servers saved, not the money.": float(saved),
        },
    )


@question(
    "06.5",
    "Why would a formula fail on this log? Look at its index of dispersion.",
    "Try numbers of servers by `simulate_fcfs(times, services, servers)`; response = wait + service.",
    "Begin at the load (requests a second times the mean service time), rounded up, and go up one by one.",
)
def enough_for_the_log(times: ArrayLike, services: ArrayLike, limit_s: float) -> Properties:
    """The fewest servers that keep the p99 of the response on a recording."""
    arrivals, service_s = np.asarray(times, dtype=float), np.asarray(services, dtype=float)

    def late(servers: int) -> bool:
        if servers < 1:
            return True
        stays = simulate_fcfs(arrivals, service_s, servers) + service_s
        return bool(np.quantile(stays, 0.99) > limit_s)

    return Properties(
        {
            "A number of servers is a whole number.": lambda n: n == int(n),
            "With so few the p99 on this log is above the limit.": lambda n: not late(int(n)),
            "One server fewer would keep the limit as well.": lambda n: late(int(n) - 1),
        }
    )


@question(
    "06.6",
    "Shuffle the gaps: their law stays, their order goes. What did the wait do in the chapter?",
    "The index of dispersion of the trace grows with the window. For independent gaps it would level off.",
    "So the variation sits in minutes, not in single gaps.",
)
def why_the_trace_waits() -> Choice:
    """Why the chat trace waits far longer than G/G/c says."""
    return Choice(
        "drift",
        {
            "gaps": "G/G/c knows the CV2 of the gaps, and shuffled gaps wait as it says.",
            "service": "The service times were drawn from the law that the formula assumes.",
            "servers": "With more servers the wait is shorter, in the formula too.",
        },
    )
