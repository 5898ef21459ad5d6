"""Predictions for the loads to come: drawn, replayed and written down before any of them is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from capkit.ledger.lock import write_lock
from capkit.ledger.subject import WARMUP_S, Subject
from capkit.loadtest.schedule import Schedule, draw_schedule
from capkit.queueing import Calibration
from capkit.queueing.ledger import document_figures, run_figures, staircase
from capkit.simulation import simulate_fcfs
from capkit.telemetry import machine

LOADS = (0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95)
RUNS = 100


def check_terms(loads: Sequence[float], seconds: float) -> None:
    """A `ValueError` unless loads are shares of full load, each once, and the time is positive."""
    if not loads or len(set(loads)) < len(loads) or not all(0 < load < 1 for load in loads):
        raise ValueError(
            f"loads are different shares between 0 and 1, such as 0.85; got {list(loads)}"
        )
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(f"seconds must be positive, got {seconds}")


def draw(
    rate: float, seconds: float, sizes: int, seed: Sequence[int]
) -> tuple[Schedule, NDArray[np.int64], np.random.Generator]:
    """The schedule of a load, the size (its place among ``sizes``) of each request, and the generator behind them.

    The same ``seed`` gives the same draws: what is sent is what was predicted.
    """
    rng = np.random.default_rng(seed)
    schedule = draw_schedule("poisson", rate, WARMUP_S + seconds, rng)
    return schedule, rng.integers(sizes, size=schedule.times_s.size), rng


def replay(known: Calibration, load: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The locked requests of a load through one queue: each with its own arrival, service time and overhead.

    Returns the means ``wait_ms``, ``service_ms``, ``overhead_ms`` and the ``figures`` (`FIGURES`).
    """
    schedule, places, rng = draw(load["rate_rps"], seconds, len(known.service_s), load["seed"])
    size, arrivals = places.size, schedule.times_s
    services = known.service_s[places, rng.integers(known.service_s.shape[1], size=size)]
    overheads = rng.choice(known.overhead_s, size)
    waits = simulate_fcfs(arrivals, services, known.servers)
    counted = arrivals >= WARMUP_S
    parts = {"wait_ms": waits, "service_ms": services, "overhead_ms": overheads}
    means = {name: 1e3 * float(values[counted].mean()) for name, values in parts.items()}
    return means | {"figures": run_figures(arrivals, waits + services + overheads, WARMUP_S)}


def lock_predictions(
    path: Path,
    subject: Subject,
    known: Calibration,
    loads: Sequence[float],
    seconds: float,
    seed: int,
    *,
    runs: int = RUNS,
) -> dict[str, Any]:
    """Predict every load with every model of the staircase, and lock it.

    Parameters
    ----------
    path : Path
        File of the lock; `ValueError` if it exists.
    subject, known
        The server and its calibration.
    loads : sequence of float
        Shares of what the server can do (c / mean service time), between 0 and 1; `ValueError` otherwise.
    seconds : float
        Of load at each, after the warm-up.
    seed : int
        Of all draws.
    runs : int
        Simulated runs behind each sampling interval.

    Returns
    -------
    dict
        The lock: server, calibration, and for each load its rate, seed, CV2 of the gaps, the replay's means and the
        models' ``figures`` and ``expected`` interval; ``locked`` (UTC) and ``sha256``.
    """
    check_terms(loads, seconds)
    planned = [
        _predict(known, load, load * known.servers / known.mean_s, seconds, (seed, place), runs)
        for place, load in enumerate(loads)
    ]
    server = subject.server
    return write_lock(
        path,
        {
            "server": subject.name,
            "backend": server.backend,
            "device": server.device,
            "machine": machine(),
            "seconds": seconds,
            "calibration": {
                "servers": known.servers,
                "capacity": known.capacity,
                "sizes": list(subject.sizes),
                "mean_s": known.mean_s,
                "cv2": known.cv2,
                "service_s": known.service_s.tolist(),
                "overhead_s": known.overhead_s.tolist(),
            },
            "loads": planned,
        },
    )


def _predict(
    known: Calibration, load: float, rate: float, seconds: float, seed: Sequence[int], runs: int
) -> dict[str, Any]:
    content: dict[str, Any] = {"load": load, "rate_rps": rate, "seed": list(seed)}
    schedule, _, rng = draw(rate, seconds, len(known.service_s), seed)
    content["gaps_cv2"] = schedule.cv2
    content["replay"] = replay(known, content, seconds)
    models = staircase(rate, known, schedule.cv2, content["replay"].pop("figures"))
    overhead_s = float(known.overhead_s.mean())
    figures = {name: model.figures for name, model in models.items()}
    expected = {
        name: model.interval(rate, seconds, overhead_s, rng, runs) for name, model in models.items()
    }
    figures = {"0 document": document_figures(rate, known), **figures}
    claimed = figures["0 document"] / figures["2 M/M/c"]  # it claims to describe M/M/c
    expected["0 document"] = expected["2 M/M/c"] * claimed
    content["predictions"] = {
        name: {"figures": _listed(figures[name]), "expected": _listed(expected[name])}
        for name in figures
    }
    return content


def calibration_of(lock: Mapping[str, Any]) -> Calibration:
    """The calibration in a lock."""
    kept = lock["calibration"]
    names = ("servers", "capacity", "service_s", "overhead_s")
    return Calibration(**{name: kept[name] for name in names})


def figures_of(load: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """``figures`` or ``expected`` of every model in a locked load, as arrays with NaN for what it does not say."""
    return {name: np.array(parts[kind], dtype=float) for name, parts in load["predictions"].items()}


def _listed(values: ArrayLike) -> Any:
    """Nested lists with None for NaN, for JSON."""
    array = np.asarray(values, dtype=float).astype(object)
    array[array != array] = None
    return array.tolist()
