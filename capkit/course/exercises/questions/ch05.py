"""Questions of chapter 05: what a server can do, and how to measure it without fooling oneself."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number
from capkit.queueing import max_rate


@question(
    "05.1",
    "What part of a request's time keeps the server busy?",
    "The overhead happens outside the slot: it delays the answer and occupies nothing.",
    "Utilisation = rate x service time.",
)
def utilisation(rate_rps: float, service_time_s: float, overhead_s: float) -> Number:
    """Utilisation of one server in per cent."""
    return Number(
        100.0 * rate_rps * service_time_s,
        "%",
        slips={
            "The overhead occupies no server.": 100.0 * rate_rps * (service_time_s + overhead_s)
        },
    )


@question(
    "05.2",
    "Which requests were due while nothing was answered?",
    "Due k seconds before the end of the stall means waiting at least k seconds.",
    "All that were due more than the limit before its end: rate x (stall - limit).",
)
def hidden_by_the_stall(rate_rps: float, stall_s: float, limit_s: float) -> Number:
    """Requests of an open-loop schedule that a stall makes later than a limit."""
    return Number(
        rate_rps * (stall_s - limit_s),
        "requests",
        tolerance=0.02,
        slips={
            "That is what a closed loop with one client sees: it stops asking while it waits.": 1.0,
            "Those that were due shortly before its end waited less than the limit.": rate_rps
            * stall_s,
        },
    )


@question(
    "05.3",
    "Time of a batch = fixed + images x per image. What is the throughput in images a second?",
    "Images over the time of their batch, for the batch and for one image; then the ratio.",
)
def gain_of_batching(fixed_s: float, per_image_s: float, batch: int) -> Number:
    """How many times the images a second of single requests a full batch carries."""
    single, whole = fixed_s + per_image_s, fixed_s + batch * per_image_s
    return Number(
        batch * single / whole,
        "times",
        slips={
            "That is how much longer a batch takes.": whole / single,
            "So much only if an image cost nothing: the fixed part is not all.": float(batch),
        },
    )


@question(
    "05.4",
    "When did the user begin to wait: when the request was due, or when the generator got round to it?",
    "From the *intended* send to the answer.",
)
def latency_from_the_schedule() -> Function:
    """The p99 of the latency in ms from the intended send."""
    intended = np.arange(200) * 0.01
    late = np.maximum(intended, np.where(intended < 1.0, 1.0, 0.0))
    smooth = intended + 0.0001
    return Function(
        lambda intended_s, sent_s, done_s: 1e3 * float(np.quantile(done_s - intended_s, 0.99)),
        [(intended, late, late + 0.005), (intended, smooth, smooth + 0.02)],
        "ms",
        slips={
            "It still begins when the request was really sent.": lambda intended_s, sent_s, done_s: (
                1e3 * float(np.quantile(done_s - sent_s, 0.99))
            ),
            "That is the generator's delay; the answer takes time too.": lambda intended_s, sent_s, done_s: (
                1e3 * float(np.quantile(sent_s - intended_s, 0.99))
            ),
            "That is the mean; the p99 is asked for.": lambda intended_s, sent_s, done_s: (
                1e3 * float(np.mean(done_s - intended_s))
            ),
        },
    )


@question(
    "05.5",
    "How many requests a second does one server carry with the SLO met, not at its peak?",
    "`max_rate(1, service_rate, percentile=..., max_response=target - overhead, service_cv2=...)`",
    "Price of an hour over the requests of an hour, times a million.",
)
def usd_per_million_at_the_slo(
    service_time_s: float,
    service_cv2: float,
    overhead_s: float,
    slo_percentile: float,
    slo_latency_ms: float,
    usd_server_h: float,
) -> Number:
    """USD per million requests on one server that is loaded as far as the SLO allows."""
    rate, usd = 1.0 / service_time_s, usd_server_h / 3600.0 * 1e6
    target = {"percentile": slo_percentile, "service_cv2": service_cv2}
    carried = max_rate(1, rate, max_response=slo_latency_ms / 1e3 - overhead_s, **target)
    return Number(
        usd / carried,
        "USD per million requests",
        tolerance=0.005,
        slips={"That is at the peak throughput, where the wait has no end.": usd / rate},
    )


@question(
    "05.6",
    "A percentile of all latencies, failed calls left out.",
    "`np.quantile(latencies_ms, slo_percentile)`",
)
def percentile_of_yours(latencies_ms: ArrayLike, slo_percentile: float) -> Number:
    """The SLO's percentile of latencies of one's own, in ms."""
    values = np.asarray(latencies_ms, dtype=float)
    return Number(
        float(np.quantile(values, slo_percentile)),
        "ms",
        slips={
            "That is the mean.": float(values.mean()),
            "That is the largest.": float(values.max()),
            "That is the other tail.": float(np.quantile(values, 1.0 - slo_percentile)),
        },
    )


@question(
    "05.7",
    "A closed loop of n clients never has more than n requests in the system.",
    "When the server is slow, its clients send less. Do your users do that?",
)
def why_open_loop() -> Choice:
    """Why a closed-loop test does not show what users see in overload."""
    return Choice(
        "waits",
        {
            "random": "A closed loop can draw random think times; that is not what hides the overload.",
            "slow": "The speed of the generator is checked by its own validity gate.",
            "network": "Both tests use the same network.",
        },
    )
