"""What each model of the staircase predicts for a run, where such runs fall, and how far off it was.

A measured run is short, and even a perfect model would miss its figures by sampling noise. So each prediction
comes with the interval that holds 95 % of runs of that length, were the model true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.queueing.finite import MMcK
from capkit.queueing.models import GGc, MGc, MMc
from capkit.simulation import draw_gamma, simulate_dispatch, simulate_fcfs, simulate_loss

Array = NDArray[np.float64]

FIGURES = {"mean": "ms", "p50": "ms", "p95": "ms", "p99": "ms", "throughput": "1/s"}
SHARES = (0.5, 0.95, 0.99)
PERFECT = "8 replay"


def latency_figures(latency_ms: ArrayLike) -> Array:
    """Mean, p50, p95 and p99 (ms) of one run's latencies.

    >>> latency_figures([1.0, 2.0, 3.0]).round(2).tolist()
    [2.0, 2.0, 2.9, 2.98]
    """
    values = np.asarray(latency_ms, dtype=float)
    return np.array([values.mean(), *np.quantile(values, SHARES)])


def run_figures(arrival_s: Array, latency_s: Array, warmup_s: float) -> Array:
    """The five `FIGURES` of a run: latency of those that came after ``warmup_s``, answers/s from then to the last.

    >>> run_figures(np.array([0.0, 1.0, 2.0, 3.0]), np.full(4, 0.5), 1.0).round(2).tolist()
    [500.0, 500.0, 500.0, 500.0, 1.0]
    """
    done, end = arrival_s + latency_s, arrival_s[-1]
    answered = np.count_nonzero((done >= warmup_s) & (done < end)) / (end - warmup_s)
    return np.append(latency_figures(1e3 * latency_s[arrival_s >= warmup_s]), answered)


def predicted_figures(queue: Any, overhead_s: float = 0.0) -> Array:
    """The five `FIGURES` from a queueing model, with latency that occupies no server added.

    >>> predicted_figures(MMc(50.0, 100.0, 1), overhead_s=0.001).round(1).tolist()
    [21.0, 14.9, 60.9, 93.1, 50.0]
    """
    tails = queue.response_quantile(np.array(SHARES))
    latency_ms = 1e3 * (np.array([queue.mean_response, *tails]) + overhead_s)
    return np.append(latency_ms, queue.throughput)


@dataclass(frozen=True)
class Calibration:
    """All that the models are told of a server: what one run of it showed.

    ``servers`` requests are in service at once, ``capacity`` in the server at most (K). ``service_s`` (sizes,
    quantiles) holds equally likely service times of each size of request, sizes equally likely too;
    ``overhead_s`` (quantiles,) equally likely latencies that occupy no server.
    """

    servers: int
    capacity: int
    service_s: Array
    overhead_s: Array
    mean_s: float = field(init=False)
    cv2: float = field(init=False)

    def __post_init__(self) -> None:
        for name in ("service_s", "overhead_s"):
            values = np.asarray(getattr(self, name), dtype=float)
            if values.size == 0 or not (np.isfinite(values).all() and values.min() >= 0):
                raise ValueError(f"{name} must hold times in s, finite and >= 0, got {values}")
            object.__setattr__(self, name, values)
        object.__setattr__(self, "mean_s", float(self.service_s.mean()))
        object.__setattr__(self, "cv2", float(self.service_s.var()) / self.mean_s**2)


@dataclass(frozen=True)
class Model:
    """One model of the staircase for one load: its ``figures`` (5,) and the process that it assumes.

    ``gaps_cv2`` is that of the (gamma) gaps; ``services(rng, n)`` draws service times (s), and
    ``serve(arrivals, services, rng)`` gives the latency in the server (s), NaN for a request turned away.
    """

    figures: Array
    gaps_cv2: float
    services: Callable[[np.random.Generator, int], Array]
    serve: Callable[[Array, Array, np.random.Generator], Array]

    def interval(
        self, rate: float, seconds: float, overhead_s: float, rng: np.random.Generator, runs: int
    ) -> Array:
        """Where 95 % of runs of ``seconds`` fall (2, 5), were the process the model's."""
        found = []
        for generator in rng.spawn(runs):
            count = int(generator.poisson(rate * seconds)) + 2
            arrivals = np.cumsum(draw_gamma(1.0 / rate, self.gaps_cv2, count, generator))
            latency = self.serve(arrivals, self.services(generator, count), generator)
            kept = np.isfinite(latency)
            found.append(run_figures(arrivals[kept], latency[kept] + overhead_s, 0.0))
        return np.asarray(np.quantile(found, [0.025, 0.975], axis=0))


def staircase(
    rate: float, known: Calibration, gaps_cv2: float, replayed: Array
) -> dict[str, Model]:
    """The models of chapter 06 that have something to say about a steady load of single requests.

    Parameters
    ----------
    rate : float
        Arrival rate (1/s), below what the servers can do; `ValueError` otherwise.
    known : Calibration
        Of the server.
    gaps_cv2 : float
        CV2 of the gaps of the schedule that will be sent; only G/G/c uses it.
    replayed : array (5,)
        The `FIGURES` of that very schedule, replayed: the figures of the last model.

    Returns
    -------
    dict of Model
        By name: 1 M/M/1 (a line per server), 2 M/M/c, 3 M/M/c/K, 4 M/G/c, 5 G/G/c, 8 replay.
    """
    servers, mu, overhead_s = known.servers, 1.0 / known.mean_s, float(known.overhead_s.mean())

    def exponential(rng: np.random.Generator, size: int) -> Array:
        return rng.exponential(known.mean_s, size)

    def gamma(rng: np.random.Generator, size: int) -> Array:
        return draw_gamma(known.mean_s, known.cv2, size, rng)

    def measured(rng: np.random.Generator, size: int) -> Array:
        return rng.choice(known.service_s.ravel(), size)

    def one_line(arrivals: Array, services: Array, rng: np.random.Generator) -> Array:
        return simulate_fcfs(arrivals, services, servers) + services

    def line_each(arrivals: Array, services: Array, rng: np.random.Generator) -> Array:
        return simulate_dispatch(arrivals, services, servers, "random", rng) + services

    def bounded(arrivals: Array, services: Array, rng: np.random.Generator) -> Array:
        waits, accepted = simulate_loss(arrivals, services, servers, known.capacity)
        return np.where(accepted, waits + services, np.nan)

    formulas: dict[str, tuple[Any, float, Any, Any]] = {
        "1 M/M/1": (MMc(rate / servers, mu, 1), 1.0, exponential, line_each),
        "2 M/M/c": (MMc(rate, mu, servers), 1.0, exponential, one_line),
        "3 M/M/c/K": (MMcK(rate, mu, servers, known.capacity), 1.0, exponential, bounded),
        "4 M/G/c": (MGc(rate, mu, servers, known.cv2), 1.0, gamma, one_line),
        "5 G/G/c": (GGc(rate, mu, servers, gaps_cv2, known.cv2), gaps_cv2, gamma, one_line),
    }
    models = {
        name: Model(predicted_figures(queue, overhead_s), *process)
        for name, (queue, *process) in formulas.items()
    }
    models["1 M/M/1"].figures[-1] = rate  # of all the lines together
    return models | {PERFECT: Model(replayed, 1.0, measured, one_line)}


def document_figures(rate: float, known: Calibration) -> Array:
    """The five `FIGURES` by the formulas of the document, section 4.1: a mean, and no others (NaN).

    Its L = lambda^2 / (mu (c mu - lambda)) P0 is no queue length (`MMc.mean_queue_length` is).
    """
    mu = 1.0 / known.mean_s
    queue = MMc(rate, mu, known.servers)
    wait_s = rate / (mu * (known.servers * mu - rate)) * queue.p0
    mean_s = wait_s + known.mean_s + float(known.overhead_s.mean())
    return np.array([1e3 * mean_s, *[np.nan] * 4])


def ledger_rows(
    predictions: Mapping[str, ArrayLike],
    expected: Mapping[str, ArrayLike],
    measured: ArrayLike,
    intervals: ArrayLike,
    again: ArrayLike,
) -> pd.DataFrame:
    """One row a model and figure of one measured load; every error signed.

    Parameters
    ----------
    predictions, expected : mapping of model to arrays (5,) and (2, 5)
        The `FIGURES`, and where runs fall if the model is true (`Model.interval`).
    measured, again : arrays (5,)
        The figures of the run and of a second run of the same schedule.
    intervals : array (5, 2)
        95 % interval of each measured figure, NaN where there were too few requests.

    Returns
    -------
    DataFrame
        ``quantity``, ``unit``, ``model``, ``predicted``, ``measured``, ``low``, ``high``; ``error_percent``,
        negative where too low was predicted, with ``error_low_percent`` and ``error_high_percent`` from the
        measured interval; ``expected_low``, ``expected_high`` and whether the measured value lies ``inside``;
        ``noise_percent``: the second run against the first. An error below the noise is not skill.
    """
    seen, bounds = np.asarray(measured, dtype=float), np.asarray(intervals, dtype=float)
    parts = []
    for model, values in predictions.items():
        low, high = np.asarray(expected[model], dtype=float)
        part = pd.DataFrame({"quantity": list(FIGURES), "unit": list(FIGURES.values())})
        part["model"], part["predicted"], part["measured"] = model, np.asarray(values), seen
        part["low"], part["high"] = bounds.T
        for column, base in (
            ("error", seen),
            ("error_low", bounds[:, 1]),
            ("error_high", bounds[:, 0]),
        ):
            part[f"{column}_percent"] = 100.0 * (part["predicted"] / base - 1.0)
        part["expected_low"], part["expected_high"] = low, high
        part["inside"] = (low <= seen) & (seen <= high)
        part["noise_percent"] = 100.0 * (np.asarray(again, dtype=float) / seen - 1.0)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def error_table(ledger: pd.DataFrame, values: str = "error_percent") -> pd.DataFrame:
    """One server's ledger for reading: a row a load and quantity, a column of errors (%) a model.

    Beside them what was measured, the noise floor (%), and whether a perfect model (the replay's process) could
    have given it. ``values="inside"`` shows each model's own verdict instead of its error. Where a model predicts
    nothing, so does the table (NaN).
    """
    rows = ["load", "quantity"]
    ledger = ledger.assign(inside=ledger["inside"].where(ledger["predicted"].notna()))
    wide = ledger.pivot_table(
        index=rows, columns="model", values=values, aggfunc="first", sort=False
    )
    if values == "inside":
        return wide.reset_index().rename_axis(columns=None)
    perfect = ledger[ledger["model"] == PERFECT].set_index(rows)
    rest = perfect[["noise_percent", "measured", "unit", "inside"]]
    table = wide.astype(float).round(1).join(rest.round({"noise_percent": 1, "measured": 2}))
    return table.reset_index().rename_axis(columns=None).round({"load": 2})
