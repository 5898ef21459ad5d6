"""Measure what was locked: each load twice, each request as it was drawn, the result beside its prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capkit.ledger.lock import now, read_lock, write_json
from capkit.ledger.predictions import calibration_of, draw, figures_of
from capkit.ledger.subject import WARMUP_S, Subject
from capkit.loadtest import LoadTestResult
from capkit.queueing.ledger import (
    PERFECT,
    SHARES,
    latency_figures,
    ledger_rows,
    run_figures,
)
from capkit.simulation import simulate_fcfs

IN_PLACE = "8 in place"


def measured_figures(result: LoadTestResult) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The `FIGURES` of a load test (5,) and their 95 % intervals (5, 2); NaN where it was too short for one."""
    bounds = [result.mean_interval()[1:]]
    for share in SHARES:
        try:
            bounds.append(result.interval(share))
        except ValueError:
            bounds.append((math.nan, math.nan))
    seconds = result.duration_s - result.warmup_s
    half = 1.96 * math.sqrt(result.throughput / seconds)
    bounds.append((result.throughput - half, result.throughput + half))
    figures = np.append(latency_figures(result.latency_ms), result.throughput)
    return figures, np.array(bounds)


def replay_in_place(
    result: LoadTestResult, servers: int, rng: np.random.Generator
) -> dict[str, Any]:
    """The requests of a load test through one queue, with the service times and overheads measured in it.

    It tells an error of the queue from an error of what the queue was fed, and is no prediction. Figures and
    means as `capkit.ledger.predictions.replay` gives them.
    """
    answered = (result.code == 0) & np.isfinite(result.service_s)
    arrivals, services = result.intended_s[answered], result.service_s[answered]
    inside = result.wait_s + result.service_s
    overheads = (result.done_s - result.intended_s - inside)[answered]
    waits = simulate_fcfs(arrivals, services, servers)
    latency_s = waits + services + rng.permutation(overheads)
    return {
        "wait_ms": 1e3 * float(waits[arrivals >= WARMUP_S].mean()),
        "figures": run_figures(arrivals, latency_s, WARMUP_S),
    }


def measure_load(subject: Subject, lock: Mapping[str, Any], place: int) -> dict[str, Any] | None:
    """The ledger's entry of one locked load; None if the measurement was interrupted.

    The load is sent twice: the second run against the first is the noise floor.
    """
    load, known = lock["loads"][place], calibration_of(lock)
    schedule, places, rng = draw(
        load["rate_rps"], lock["seconds"], len(known.service_s), load["seed"]
    )
    began = now()
    runs = []
    for _ in range(2):
        runs.append(subject.send(schedule, places))
        if runs[-1].stopped:
            return None
    result, second = runs
    doubt = result.doubt or second.doubt
    if not (result.ok.any() and second.ok.any()):
        raise ValueError(f"{subject.name} gave no good answer at load {load['load']}: {doubt}")
    figures, expected = figures_of(load, "figures"), figures_of(load, "expected")
    parts = {f"{name}_predicted": value for name, value in load["replay"].items()}
    if np.isfinite(result.service_s[result.ok]).all():
        again = replay_in_place(result, known.servers, rng)
        figures[IN_PLACE], expected[IN_PLACE] = again["figures"], expected[PERFECT]
        parts |= _parts(result) | {"wait_ms_in_place": again["wait_ms"]}
    measured, bounds = measured_figures(result)
    rows = ledger_rows(figures, expected, measured, bounds, measured_figures(second)[0])
    return {
        "lock": lock["sha256"],
        "measured": began,
        "server": subject.name,
        "load": load["load"],
        "rate_rps": load["rate_rps"],
        "requests": int(result.measured.sum()),
        "errors": result.errors,
        "valid": not doubt,
        "doubt": doubt,
        "parts": parts,
        "rows": rows.astype(object).where(rows.notna(), None).to_dict("records"),
    }


def _parts(result: LoadTestResult) -> dict[str, float]:
    """Means (ms) of what the server told of itself, and the service time after an idle gap and without one."""
    ok = result.ok
    wait, service = 1e3 * result.wait_s[ok], 1e3 * result.service_s[ok]
    gaps = np.diff(result.intended_s, prepend=0.0)[ok]
    after_idle = gaps >= np.quantile(gaps, 0.9)
    queued = wait >= np.quantile(wait, 0.9)
    return {
        "wait_ms_measured": float(wait.mean()),
        "service_ms_measured": float(service.mean()),
        "overhead_ms_measured": float((result.latency_ms - wait - service).mean()),
        "service_ms_longest_gaps": float(service[after_idle].mean()),
        "service_ms_longest_waits": float(service[queued].mean()),
    }


def measure(subject: Subject, folder: Path) -> int:
    """Measure the loads that are locked for a server in ``folder``, and keep each entry there as JSON.

    Returns how many were measured: fewer than locked after an interrupt, or when the server is gone.
    """
    from tqdm import tqdm

    lock = read_lock(lock_path(folder, subject.name))
    places = range(len(lock["loads"]))
    place: int
    for place in tqdm(places, desc=subject.name, disable=None, leave=False):
        entry = measure_load(subject, lock, place)
        if entry is None:
            return place
        write_json(entry_path(folder, entry["server"], entry["load"]), entry)
    return len(places)


def lock_path(folder: Path, server: str) -> Path:
    """Where the lock of a server is kept.

    >>> lock_path(Path("out"), "real model").as_posix()
    'out/real_model.lock.json'
    """
    return folder / f"{server.replace(' ', '_')}.lock.json"


def entry_path(folder: Path, server: str, load: float) -> Path:
    """Where the entry of a load is kept.

    >>> entry_path(Path("out"), "real model", 0.85).as_posix()
    'out/real_model_0.85.json'
    """
    return folder / f"{server.replace(' ', '_')}_{load:g}.json"
