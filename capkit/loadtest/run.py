"""Run one load test: a generator process of its own against a server's address."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from capkit.loadtest.result import LoadTestResult
from capkit.loadtest.schedule import Schedule


def run(
    target: str,
    arrivals: ArrayLike | Schedule,
    requests: Sequence[bytes],
    *,
    warmup_s: float = 0.0,
    timeout_s: float = 10.0,
    max_lateness_share: float = 0.5,
    cores: Sequence[int] | None = None,
) -> LoadTestResult:
    """Open loop: send each request at its time, whatever the server does.

    Parameters
    ----------
    target : str
        ``host:port`` of a server of TensorFlow Serving's gRPC API.
    arrivals : array_like of shape (n,), or Schedule
        Intended send times in s from 0, sorted, fixed before the test begins: drawn
        (`draw_schedule`) or recorded (`replay`), with their law tested; or plain times.
    requests : sequence of bytes
        Serialised ``PredictRequest`` messages, taken in turn.
    warmup_s : float
        Requests due before this time are sent and not counted; `LoadTestResult.without_warmup` finds it.
    timeout_s : float
        Deadline of each request.
    max_lateness_share : float
        The result is invalid if the generator's p99 lateness exceeds this share of the median latency.
    cores : sequence of int, optional
        CPUs that the generator may run on.

    Raises
    ------
    ValueError
        No arrivals, not sorted, all in the warm-up, or nothing to send.
    RuntimeError
        The generator failed, as when no server answers; the text is its own.
    """
    schedule = arrivals if isinstance(arrivals, Schedule) else None
    times = np.asarray(schedule.times_s if schedule else arrivals, dtype=float)
    if times.ndim != 1 or not times.size or (np.diff(times) < 0).any() or not times[0] >= 0:
        raise ValueError("arrivals must be one or more times in s from 0, sorted")
    if times[-1] < warmup_s:
        raise ValueError(f"all {times.size} arrivals fall into the warm-up of {warmup_s} s")
    plan = {"target": target, "clients": 0, "timeout_s": timeout_s, "cores": list(cores or ())}
    plan["duration_s"] = float(times[-1]) + 1e-3
    return _generate(plan, requests, times, warmup_s, max_lateness_share, schedule)


def run_closed(
    target: str,
    clients: int,
    duration_s: float,
    requests: Sequence[bytes],
    *,
    warmup_s: float = 0.0,
    timeout_s: float = 10.0,
    cores: Sequence[int] | None = None,
) -> LoadTestResult:
    """Closed loop: ``clients`` that each send the next request when the last one is answered.

    The intended send time is the actual one: a slow server is asked less often, which hides what users
    would have seen. ``duration_s`` holds the warm-up; parameters and errors as in `run`.
    """
    if clients < 1 or not duration_s > warmup_s:
        given = f"{clients} clients and {duration_s} s with {warmup_s} s of warm-up"
        raise ValueError(f"needs clients and time after the warm-up, got {given}")
    plan = {
        "target": target,
        "clients": clients,
        "timeout_s": timeout_s,
        "cores": list(cores or ()),
    }
    plan["duration_s"] = duration_s
    return _generate(plan, requests, None, warmup_s, 1.0)


def _generate(
    plan: dict[str, Any],
    requests: Sequence[bytes],
    arrivals: Any,
    warmup_s: float,
    share: float,
    schedule: Schedule | None = None,
) -> LoadTestResult:
    if not requests or not all(requests):
        raise ValueError("give one or more serialised requests")
    with tempfile.TemporaryDirectory(prefix="capkit-load-") as name:
        folder = Path(name)
        (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        joined = np.frombuffer(b"".join(requests), dtype=np.uint8)
        np.savez(folder / "requests.npz", lengths=[len(data) for data in requests], joined=joined)
        if arrivals is not None:
            np.save(folder / "arrivals.npy", arrivals)
        command = [sys.executable, "-m", "capkit.loadtest.generator", name]
        patience_s = plan["duration_s"] + 4 * plan["timeout_s"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            try:
                _, words = process.communicate(timeout=patience_s)
            except KeyboardInterrupt:
                process.terminate()
                _, words = process.communicate(timeout=2 * plan["timeout_s"])
        except BaseException as error:
            process.kill()
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise RuntimeError(
                    f"the load generator did not end in {patience_s:.0f} s"
                ) from None
            raise
        if not (folder / "result.npz").is_file():
            said = words.decode(errors="replace").strip()[-1000:]
            raise RuntimeError(f"the load generator ended with {process.returncode}: {said}")
        with np.load(folder / "result.npz") as file:
            intended, sent, done, code, wait, service, batch = file["rows"].T
            return LoadTestResult(
                intended_s=intended,
                sent_s=sent,
                done_s=done,
                code=code.astype(np.int64),
                wait_s=wait,
                service_s=service,
                batch=batch,
                began=float(file["began"]),
                warmup_s=warmup_s,
                duration_s=plan["duration_s"],
                max_lateness_share=share,
                generator_cpu_s=float(file["cpu_s"]),
                stopped=str(file["stopped"]),
                schedule=schedule,
            )
