"""From light load to saturation: one open-loop test a level, resources sampled beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from capkit.loadtest.result import LoadTestResult
from capkit.loadtest.run import run

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
    pid: int | None = None,
    path: str | Path | None = None,
    cores: Sequence[int] | None = None,
    results: list[LoadTestResult] | None = None,
) -> pd.DataFrame:
    """Measure a server at several rates of Poisson arrivals.

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
    pid : int, optional
        The server's process, whose CPU and memory are sampled.
    path : str or Path, optional
        CSV file that is written anew after each level.
    cores : sequence of int, optional
        CPUs that the generator may run on.
    results : list, optional
        Receives the full result of each level.

    Returns
    -------
    DataFrame
        One row a level (`LoadTestResult.row`) with ``cpu_percent`` and ``memory_mib`` of the server.
        After an interrupt: the levels that were measured.
    """
    import pandas as pd
    from tqdm import tqdm

    from capkit.simulation import poisson_arrivals
    from capkit.telemetry import Sampler

    total_s = warmup_s + duration_s
    schedules = [poisson_arrivals(rate, total_s, rng) for rate in rates]
    rows: list[dict[str, object]] = []
    try:
        for arrivals in tqdm(schedules, desc="load levels", disable=None, leave=False):
            sampler = Sampler(pid=pid)
            with sampler:
                result = run(target, arrivals, requests, warmup_s=warmup_s, cores=cores)
            if not result.valid:
                sampler = Sampler(pid=pid)
                with sampler:
                    result = run(target, arrivals, requests, warmup_s=warmup_s, cores=cores)
            row = result.row()
            if pid is not None:
                samples = sampler.frame()
                busy = samples[samples["t_s"] > warmup_s]
                row["cpu_percent"] = busy["cpu_percent"].mean()
                row["memory_mib"] = busy["memory_mib"].max()
            rows.append(row)
            if results is not None:
                results.append(result)
            if path is not None:
                pd.DataFrame(rows).to_csv(path, index=False)
    except KeyboardInterrupt:
        if not rows:
            raise
    return pd.DataFrame(rows)
