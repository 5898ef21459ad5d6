"""Questions of chapter 03: what comes at a system, how unevenly, and which of it decides what to buy."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2

from capkit import datasets, workload
from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number, Properties, is_number
from capkit.queueing import min_servers
from capkit.training import count_cnn
from capkit.workload.log import PARTS


@question(
    "03.1",
    "Which rows cannot be right, and which clock does each of the others show?",
    "`datasets.read_log(path, size_columns=[...], repair=True)`; its `repairs` say what was done.",
    "`workload.characterize(log.times).rate`",
)
def rate_of_the_log(path: str | Path) -> Number:
    """Requests a second in a log with two time zones and broken rows."""
    log = datasets.read_log(path, size_columns=["tokens"], repair=True)
    rows = pd.read_csv(path)
    clock = pd.to_datetime(rows["timestamp"].str.slice(0, 19))
    wall_s = (clock.max() - clock.min()).total_seconds()
    rate, duration_s = workload.characterize(log.times).rate, float(log.times[-1])
    stamped = int(rows["timestamp"].notna().sum())
    return Number(
        rate,
        "requests/s",
        slips={
            "Rows without a time are still counted.": len(rows) / duration_s,
            "Rows with a negative size are still counted.": stamped / duration_s,
            "Read as it stands the log seems to last hours: put both zones on one clock.": rate
            * duration_s
            / wall_s,
            "The zones are not on one clock yet, and the broken rows are still counted.": len(rows)
            / wall_s,
        },
    )


@question(
    "03.2",
    "The window grows, so it fits fewer times along the image: 28 - kernel + 1.",
    "A parameter is a weight or a bias: (kernel x kernel + 1) a filter, (inputs + 1) a unit of a dense layer.",
    "Half of what fits, rounded down, squared, times the filters: so many inputs has the layer `hidden`.",
)
def parameters_with_kernel(kernel: int, filters: int, hidden_units: int) -> Number:
    """Parameters of the document's network with another side of the convolution's window."""

    def count(side: int, bias: int = 1) -> int:
        dense = (side // 2) ** 2 * filters
        conv = (kernel**2 + bias) * filters
        return conv + (dense + bias) * hidden_units + (hidden_units + bias) * 10

    side = 28 - kernel + 1
    dense_work = hidden_units * (2 * (side // 2) ** 2 * filters + 1) + 10 * (2 * hidden_units + 1)
    return Number(
        float(count(side)),
        "parameters",
        tolerance=0.0,
        slips={
            "The layers behind the convolution get a smaller image now.": count(28 - 3 + 1),
            "The biases are missing.": count(side, bias=0),
            "That is without the pooling, which halves both sides.": count(2 * side),
            "Those are the operations of an image.": side**2 * filters * (2 * kernel**2 + 1)
            + dense_work,
        },
    )


@question(
    "03.3",
    "Bound by compute: its operations a byte are above the machine's balance.",
    "The layer reads its weights once a batch, but an input and an output for each image.",
    "`workload.Roofline(flops_per_s, bytes_per_s).layers(training.count_cnn(), batch, input_bytes=4 * 784)`, batch by batch.",
)
def batch_at_the_ridge(flops_per_s: float, bytes_per_s: float, before_flops_per_s: float) -> Number:
    """Smallest batch from which the layer `hidden` is bound by compute."""
    layers = count_cnn()
    hidden, inputs = layers.loc["hidden"], layers.loc["pool", "activation_bytes"]
    moved = float(inputs + hidden["activation_bytes"])

    def smallest(flops: float, image_bytes: float = moved) -> float:
        balance = flops / bytes_per_s
        left = hidden["flops_per_image"] - balance * image_bytes
        return math.floor(balance * hidden["weight_bytes"] / left) + 1 if left > 0 else math.inf

    before = smallest(before_flops_per_s)
    return Number(
        smallest(flops_per_s),
        "images",
        tolerance=0.0,
        slips={
            "That is for the machine as it was.": before,
            "Twice the operations, twice the batch? An image brings bytes of its own, and they count too.": flops_per_s
            / before_flops_per_s
            * before,
            "The bytes of the images themselves are missing; only the weights are in it.": smallest(
                flops_per_s, 0.0
            ),
        },
    )


def _spread(
    times: ArrayLike,
    window_s: float,
    *,
    complete: bool = True,
    of: Callable[..., Any] = np.var,
    ddof: int = 1,
) -> float:
    """Variance, or another measure, over mean of the counts in windows; the last window is not complete."""
    counts = np.bincount((np.asarray(times) // window_s).astype(int))
    counts = counts[:-1] if complete else counts
    return float(of(counts, ddof=ddof) / counts.mean())


@question(
    "03.4",
    "What is 1 for Poisson whatever the window: deviation over mean, or variance over mean?",
    "The last window has hardly begun when the log ends: what does its low count look like?",
    "`workload.characterize(times).counts(window_s)` has the complete windows; their `var(ddof=1)` over their mean.",
)
def index_of_dispersion() -> Function:
    """The index of dispersion of arrival times for a window."""
    rng = np.random.default_rng(3)
    steady = np.cumsum(rng.exponential(0.1, 3_000))
    bursts = np.sort(rng.uniform(0, 600, (60, 1)) + rng.exponential(0.5, (60, 40)), axis=None)
    cases = []
    for log, window_s, windows in ((steady, 10.0, 25), (bursts, 20.0, 25), (bursts, 60.0, 9)):
        times = log - log[0]
        cases.append((times[times < (windows + 0.02) * window_s], window_s))
    return Function(
        lambda times, window_s: workload.characterize(times).dispersion(window_s),
        cases,
        "variance over mean",
        slips={
            "That is the function as it was.": partial(_spread, complete=False, of=np.std, ddof=0),
            "The window in which the log ends is still counted as a whole one.": partial(
                _spread, complete=False
            ),
            "That is the deviation over the mean; what is 1 for Poisson is another.": partial(
                _spread, of=np.std
            ),
            "That is the squared coefficient of variation; for Poisson it depends on the window.": partial(
                _spread, of=lambda counts, ddof: counts.var(ddof=ddof) / counts.mean()
            ),
            "That is of the gaps: it does not know the window, and silences fill it.": lambda times, _: (
                float(np.diff(times).var() / np.diff(times).mean() ** 2)
            ),
            "Windows are a sample: divide by one less than their number (`ddof=1`).": partial(
                _spread, ddof=0
            ),
            "Two things are left: the window in which the log ends, and `ddof=1`.": partial(
                _spread, complete=False, ddof=0
            ),
        },
    )


@question(
    "03.5",
    "Two numbers of servers: one by simulation of the log itself, one by formula from its mean rate.",
    "`workload.servers_needed(times, services, percentile=..., max_wait=...)` and `min_servers(rate, 1 / service_s, ...)`.",
    "Their difference, times the price of an hour, times 730 hours.",
)
def price_of_the_bursts(
    times: ArrayLike,
    services: ArrayLike,
    service_s: float,
    percentile: float,
    max_wait_s: float,
    usd_server_h: float,
) -> Number:
    """USD a month for the servers that a log needs beyond a Poisson log of its mean rate."""
    log = workload.characterize(times)
    terms = {"percentile": percentile, "max_wait": max_wait_s}
    needed = workload.servers_needed(times, services, **terms)
    by_mean, by_peak = (min_servers(r, 1 / service_s, **terms) for r in (log.rate, log.peak_rate))
    month, more = 730.0 * usd_server_h, max(needed - by_mean, 0)
    slips = {
        "Those are all servers of the log; how many of them are there for its bursts?": needed
        * month,
        "That is what the mean rate costs anyhow.": by_mean * month,
        "That is an hour's price.": more * usd_server_h,
        "That is a day's price.": more * usd_server_h * 24.0,
        "That is a year's price.": more * usd_server_h * 8760.0,
        "That is the number of servers, not the money.": float(more),
    }
    if by_peak != needed:
        slips["That is against the peak minute; a Poisson log of the mean rate is asked for."] = (
            needed - by_peak
        ) * month
    return Number(more * month, "USD a month", slips=slips)


@question(
    "03.6",
    "Does a longer log let the test notice less, or more? Try one hour, then a day.",
    "`workload.from_counts(counts, 1.0).detectable_dispersion(window_s)`; only how many windows there are matters, so any steady counts will do.",
    "Begin with one hour, and add one until what it notices is small enough.",
)
def hours_to_record(window_s: float, scatter: float) -> Properties:
    """The fewest hours of counts in which the test notices a given scatter within windows."""

    def misses(hours: int) -> bool:
        freedom = (PARTS - 1) * int(3600 * hours / window_s)
        if freedom < 1:
            return True
        return bool(chi2.isf(0.005, freedom) / chi2.isf(0.9, freedom) > scatter)

    return Properties(
        {
            "A number of whole hours is asked for.": lambda h: is_number(h) and h == int(h),
            "In so few hours the test misses it more than one time in ten.": lambda h: (
                not misses(int(h))
            ),
            "Half as many would do: is this in hours?": lambda h: misses(int(h) // 2),
            "One hour less would do as well.": lambda h: misses(int(h) - 1),
        }
    )


@question(
    "03.7",
    "How long does a burst last, against the two minutes that a server needs?",
    "The curve of the index of dispersion says from which window on a log is uneven: where does each of the two begin?",
)
def which_can_be_followed() -> Choice:
    """Which of the two logs servers that start in two minutes can follow."""
    return Choice(
        "chat",
        {
            "code": "Its index of dispersion is far above 1 within a second: its bursts are over before a server has started.",
            "both": "One of them has bursts that last seconds; two minutes later they are over.",
            "neither": "One of them is nearly Poisson within a second, and drifts over many minutes.",
        },
    )
