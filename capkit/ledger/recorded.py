"""A device that is not here, from the record of its service times: predict its queue, then emulate it.

Waits scale with the service times: a queue whose times are all stretched by a factor waits that factor longer.
So a device that is too fast to be emulated by a sleep is emulated in slow motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.ledger.subject import WARMUP_S, Subject
from capkit.loadtest.schedule import draw_schedule
from capkit.queueing import MG1
from capkit.serving import serve
from capkit.simulation import simulate_fcfs

EMULATED_MS = 4.0
SHARE = 0.99


def play_recorded(
    times_ms: ArrayLike,
    load: float,
    seconds: float,
    rng: np.random.Generator,
    *,
    model_dir: str | Path | None = None,
    server_cores: Sequence[int] | None = None,
    load_cores: Sequence[int] | None = None,
) -> dict[str, float]:
    """Wait and service of single requests on a recorded device: by M/G/1, by replay, and emulated.

    Parameters
    ----------
    times_ms : array_like
        Its service times at equal steps of their distribution.
    load : float
        Utilisation, between 0 and 1.
    seconds : float
        Of arrivals, in slow motion: the mean service time is stretched to `EMULATED_MS`.
    rng : numpy.random.Generator
        Draws the arrivals, and the service times of the replay.
    model_dir : str or Path, optional
        A model to serve on the emulated device; without it nothing is emulated.
    server_cores, load_cores : sequence of int, optional
        CPUs of the server and of the load generator.

    Returns
    -------
    dict
        ``service_ms``, ``service_cv2``, ``rate_rps`` of the device itself; ``mean_ms`` and ``p99_ms`` of wait
        and service together ``by formula``, ``by replay`` of the arrivals and, with a model, ``emulated``, in
        the device's own time.

    Raises
    ------
    ValueError
        No times, one that is not positive, a load outside 0 to 1, or too short a time for two requests.

    Examples
    --------
    >>> played = play_recorded([0.1, 0.1], 0.5, 4.0, np.random.default_rng(1))
    >>> round(played["mean_ms by formula"], 6), round(played["rate_rps"])
    (0.15, 5000)
    """
    recorded = np.sort(np.asarray(times_ms, dtype=float)) / 1e3
    if not recorded.size or not recorded[0] > 0 or not np.isfinite(recorded[-1]):
        raise ValueError(f"times_ms must be one or more positive times, got {times_ms!r}")
    if not 0 < load < 1:
        raise ValueError(f"load must lie between 0 and 1, got {load}")
    shares = np.linspace(0, 1, 10 * recorded.size + 1)
    fine = np.interp(shares, np.linspace(0, 1, recorded.size), recorded)
    mean_s = float(fine.mean())
    cv2 = float(fine.var()) / mean_s**2
    factor = EMULATED_MS / 1e3 / mean_s
    schedule = draw_schedule("poisson", load / mean_s / factor, WARMUP_S + seconds, rng)
    arrivals = np.asarray(schedule.times_s)
    counted = arrivals >= WARMUP_S
    if counted.sum() < 2:
        raise ValueError(f"{seconds:g} s hold fewer than 2 requests: take more")
    services = factor * np.interp(rng.random(arrivals.size), shares, fine)
    queue = MG1(load / mean_s, 1 / mean_s, service_cv2=cv2)
    replayed = (simulate_fcfs(arrivals, services, 1) + services)[counted]
    found = {
        "service_ms": 1e3 * mean_s,
        "service_cv2": cv2,
        "rate_rps": load / mean_s,
        "mean_ms by formula": 1e3 * float(queue.mean_response),
        "p99_ms by formula": 1e3 * float(queue.response_quantile(SHARE)),
        **_figures(replayed / factor, "by replay"),
    }
    if model_dir is not None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "times.csv"
            times = pd.DataFrame({"images": 1, "service_ms": 1e3 * factor * recorded})
            times.to_csv(path, index=False)
            with serve(model_dir, device=f"slots=1,profile={path}", cores=server_cores) as server:
                subject = Subject("recorded device", server, cores=load_cores)
                result = subject.send(schedule, np.zeros(arrivals.size, dtype=np.int64))
        good = result.ok
        if not good.any():
            raise ValueError(f"the emulated device gave no good answer: {result.doubt}")
        inside = (result.wait_s + result.service_s)[good]
        found |= _figures(inside / factor, "emulated")
    return found


def _figures(response_s: NDArray[np.float64], name: str) -> dict[str, float]:
    p99_s = np.quantile(response_s, SHARE)
    return {f"mean_ms {name}": 1e3 * float(response_s.mean()), f"p99_ms {name}": 1e3 * float(p99_s)}
