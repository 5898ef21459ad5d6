"""From light load to saturation: one open-loop test a level, resources sampled beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from capkit.loadtest.run import run
from capkit.loadtest.schedule import draw_schedule

if TYPE_CHECKING:
    import pandas as pd


def sweep(
    target: str,
    rates: Sequence[float],
    requests: Sequence[bytes],
    rng: np.random.Generator,
    *,
    duration_s: float,
    warmup_s: float = 0.3,
    max_service_s: float = float("inf"),
    law: str = "poisson",
    pid: int | None = None,
    path: str | Path | None = None,
    cores: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Measure a server at several rates.

    Parameters
    ----------
    target : str
        ``host:port``.
    rates : sequence of float
        Requests a second, one level each.
    requests : sequence of bytes
        Serialised requests.
    rng : Generator
        Draws the arrivals; all levels are drawn before the first is measured.
    duration_s, warmup_s : float
        Seconds counted at each level, and seconds of load before them.
    max_service_s : float
        A level whose mean service time exceeds this is not valid: something else slowed the server.
    law : str
        Of the arrivals, one of `capkit.loadtest.schedule.LAWS`.
    pid : int, optional
        The server's process, whose CPU and memory are sampled.
    path : str or Path, optional
        CSV file that is written anew after each level; a JSON file beside it describes the machine.
    cores : sequence of int, optional
        CPUs that the generator may run on.

    Returns
    -------
    DataFrame
        One row a level (`LoadTestResult.row`) with the means of what `capkit.telemetry.Sampler` saw meanwhile:
        the server's ``cpu_percent`` and ``memory_mib`` (NaN without ``pid``), ``sent_mib_s`` of the machine,
        its GPU if any, and ``sampling_percent``, the CPU that the sampling took. A level that its validity
        gate rejects is measured once more. After an interrupt, or when the server is gone: what was measured.
    """
    import pandas as pd
    from tqdm import tqdm

    from capkit.telemetry import Sampler, machine

    schedules = [draw_schedule(law, rate, warmup_s + duration_s, rng) for rate in rates]
    rows: list[dict[str, object]] = []
    if path is not None:
        described = json.dumps(machine(), indent=1) + "\n"
        Path(path).with_suffix(".json").write_text(described, encoding="utf-8")
    try:
        for arrivals in tqdm(schedules, desc="load levels", disable=None, leave=False):
            for _ in range(2):
                started = time.monotonic()
                with Sampler(pid=pid) as sampler:
                    result = run(target, arrivals, requests, warmup_s=warmup_s, cores=cores)
                row = result.row()
                if result.valid and row["service_ms"] > 1e3 * max_service_s:
                    row |= {"valid": False, "doubt": "the server was slowed by something else"}
                if row["valid"] or result.stopped:
                    break
            samples, begin = sampler.frame(), result.began - started
            first = begin + warmup_s + sampler.interval_s
            loaded = samples["t_s"].between(first, begin + result.duration_s)
            row |= samples.drop(columns="t_s")[loaded].mean().to_dict()
            if pid is None:
                row |= {"cpu_percent": float("nan"), "memory_mib": float("nan")}
            row["sampling_percent"] = 100 * sampler.cost_cpu_s / samples["t_s"].iloc[-1]
            rows.append(row)
            if path is not None:
                pd.DataFrame(rows).to_csv(path, index=False)
            if result.stopped:
                print(f"stopped in level {len(rows)} of {len(rates)}: {result.stopped}")
                break
    except (KeyboardInterrupt, RuntimeError, ValueError) as error:
        if not rows:
            raise
        print(f"stopped after {len(rows)} of {len(rates)} levels: {error or 'interrupted'}")
    return pd.DataFrame(rows)
