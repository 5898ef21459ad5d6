"""Replay a fleet against demand, request by request: what a plan must survive before it is believed.

Demand is a rate for each period (a minute, a controller's step), arrivals are Poisson within a period,
service times are drawn from the measured distribution, and the servers share one first-come-first-served
queue, or have one each that requests are sent to. A calm period is replayed until the queue has forgotten how it began, then for a sample that
stands for the rest of the period; a period near saturation is replayed in full; a backlog that has
outgrown the latency target grows or drains as a fluid does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from capkit.planning.kernel import (
    BIN_WIDTH,
    BINS,
    CENTRAL,
    LOWEST_S,
    RANDOM,
    ROUND_ROBIN,
    replay_periods,
)
from capkit.planning.sizing import SLO, Floats, on_one_vcpu

if TYPE_CHECKING:
    from capkit.serving import ServiceProfile


DISPATCH = {"central": CENTRAL, "random": RANDOM, "round_robin": ROUND_ROBIN}


@dataclass(frozen=True)
class Replay:
    """What a fleet did to the requests of a replay."""

    hours: pd.DataFrame
    """One row an hour, all repetitions together: ``requests``, ``late`` (answered after the target),
    ``late_share``, ``percentile_ms`` (the SLO's percentile) with its 95 % interval over the repetitions,
    ``percentile_low_ms`` and ``percentile_high_ms`` (NaN for one), ``met`` (in every repetition)."""
    runs: pd.DataFrame
    """One row an independent repetition: ``late_share``, ``percentile_ms``, ``hours_missed``."""

    @property
    def met(self) -> bool:
        """Whether every hour of every repetition met the SLO."""
        return self.hours_missed == 0

    @property
    def hours_missed(self) -> int:
        """Hours that missed the SLO in some repetition."""
        return int((~self.hours["met"]).sum())

    @property
    def late_share(self) -> float:
        """Share of all requests that were answered after the target."""
        return float(self.hours["late"].sum() / self.hours["requests"].sum())

    def interval(
        self, column: str = "percentile_ms", level: float = 0.95
    ) -> tuple[float, float, float]:
        """Mean, lower and upper bound (Student) of a column of ``runs``; `ValueError` for one repetition."""
        values = self.runs[column].to_numpy(dtype=float)
        if values.size < 2:
            raise ValueError("an interval needs at least 2 repetitions, got 1: replay with more")
        mean, half = float(values.mean()), float(_half_width(values, level))
        return mean, max(mean - half, 0.0), mean + half


def _half_width(values: Floats, level: float = 0.95) -> Any:
    """Half of Student's interval of the mean, along the first axis."""
    size = len(values)
    return stats.t.ppf(0.5 + level / 2.0, size - 1) * values.std(axis=0, ddof=1) / size**0.5


def service_law(
    service: ServiceProfile, service_times: pd.DataFrame | None = None, points: int = 2001
) -> Floats:
    """Seconds that a request occupies a server of one vCPU, at evenly spaced probabilities from 0 to 1.

    Parameters
    ----------
    service : ServiceProfile
        Its mean on one vCPU (`on_one_vcpu`) is the mean of the law.
    service_times : DataFrame, optional
        Measured quantiles that give the law its shape: ``probability`` and ``service_ms``, as chapter 05
        writes them; a gamma law with the profile's CV2 without them. `ValueError` if a time is not
        positive or falls.
    points : int
        How many probabilities.

    >>> from capkit.serving import ServiceProfile
    >>> profile = ServiceProfile(2e-3, 0.3, 1e-3, 6e-4, 2e-5, 64, 500.0, 3200, 110, 9e-4, 600.0, "x", "cpu")
    >>> measured = pd.DataFrame({"probability": [0, 1], "service_ms": [1.0, 3.0]})
    >>> service_law(profile, measured, points=3)
    array([0.001, 0.002, 0.003])
    """
    mean = on_one_vcpu(service).service_time_s
    grid = np.linspace(0.0, 1.0, points)
    if service_times is None and service.service_cv2 == 0.0:
        return np.full(points, mean)
    if service_times is None:
        grid[-1] = 1.0 - 1e-6
        law = stats.gamma.ppf(grid, 1.0 / service.service_cv2)
    else:
        probability = service_times["probability"].to_numpy(dtype=float)
        service_ms = service_times["service_ms"].to_numpy(dtype=float)
        if service_ms.size < 2 or not (service_ms > 0.0).all() or (np.diff(service_ms) < 0.0).any():
            raise ValueError(
                "service_ms needs at least two positive values that rise with probability"
            )
        law = np.interp(grid, probability, service_ms)
    return np.asarray(law * mean / mean_of(law))


def mean_of(law: Floats) -> float:
    """Mean of a law given at evenly spaced probabilities (trapezoids).

    >>> mean_of(np.array([1.0, 2.0, 3.0]))
    2.0
    """
    return float(0.5 * (law[1:] + law[:-1]).mean())


def minute_rates(
    hourly_rates: ArrayLike, minute_factors: ArrayLike, rng: np.random.Generator
) -> Floats:
    """Rate of every minute in 1/s: each hour takes the factors from a random place, scaled to mean 1.

    Parameters
    ----------
    hourly_rates : array-like of shape (hours,)
        Mean arrival rate of each hour in 1/s.
    minute_factors : array-like
        Rate of a minute over the mean, in the order of the trace; any length.
    rng : numpy.random.Generator
        Chooses where each hour begins in the factors.

    >>> rates = minute_rates([10.0, 20.0], [0.5, 1.5], np.random.default_rng(1))
    >>> rates.size, float(rates[:60].mean()), sorted(set(rates[60:].tolist()))
    (120, 10.0, [10.0, 30.0])
    """
    hourly = np.asarray(hourly_rates, dtype=float)
    factors = np.asarray(minute_factors, dtype=float)
    starts = rng.integers(factors.size, size=hourly.size)
    chosen = factors[(starts[:, None] + np.arange(60)) % factors.size]
    return np.asarray((hourly[:, None] * chosen / chosen.mean(axis=1, keepdims=True)).ravel())


def percentile_of(histogram: Floats, percentile: float) -> float:
    """Percentile in seconds of a histogram of the kernel, interpolated inside its bin; 0 of an empty one."""
    if not histogram.any():
        return 0.0
    below = np.concatenate([[0.0], np.cumsum(histogram)])
    wanted = percentile * below[-1]
    place = int(np.searchsorted(below, wanted))
    inside = (wanted - below[place - 1]) / histogram[place - 1]
    return float(LOWEST_S * math.exp((place - 1 + inside) * BIN_WIDTH))


def replay(
    rates: ArrayLike,
    servers: ArrayLike,
    service_s: ArrayLike,
    slo: SLO,
    rng: np.random.Generator,
    *,
    overhead_s: float = 0.0,
    period_s: float = 60.0,
    sample_requests: float = 300.0,
    dispatch: str = "random",
    places: int = 1,
) -> Replay:
    """Replay demand against a fleet and judge every hour by the SLO.

    Parameters
    ----------
    rates : array-like of shape (periods,) or (repetitions, periods)
        Arrival rate of each period in 1/s; each row is an independent repetition.
    servers : array-like of shape (periods,)
        Servers that answer in each period.
    service_s : array-like
        Service time at evenly spaced probabilities (`service_law`), in seconds.
    slo : SLO
        An hour misses it when its share of late requests exceeds ``1 - percentile``.
    rng : numpy.random.Generator
        Draws arrivals and service times.
    overhead_s : float
        Latency that does not occupy a server, in seconds.
    period_s : float
        Length of a period; an hour must be a whole number of them.
    sample_requests : float
        Least number of requests that stand for a calm period.
    dispatch : str
        "central": one queue. "round_robin" and "random": a queue each, as in `capkit.queueing.Target`.
    places : int
        Requests that a server works on at once.

    Raises
    ------
    ValueError
        Shapes do not match, a rate is negative, a period has no server, or the dispatch is unknown.

    Two servers of 10 ms carry 110 requests a second, one does not:

    >>> rng, slo, service = np.random.default_rng(1), SLO(0.99, 0.1), np.full(11, 0.01)
    >>> rates = np.full(60, 110.0)
    >>> replay(rates, np.full(60, 2), service, slo, rng).met
    True
    >>> round(replay(rates, np.full(60, 1), service, slo, rng).late_share, 2)
    1.0
    """
    paths = np.atleast_2d(np.asarray(rates, dtype=float))
    count = np.asarray(servers, dtype=np.int64)
    table = np.asarray(service_s, dtype=float)
    steps = round(3600.0 / period_s)
    if count.shape != paths.shape[1:] or (count < 1).any():
        raise ValueError(
            f"servers must hold one count of at least 1 a period: {paths.shape[1]} rates, "
            f"{count.shape} servers, least {count.min()}"
        )
    if not (np.isfinite(paths).all() and (paths >= 0.0).all()):
        raise ValueError(f"rates must be finite and at least 0, got {paths.min()}")
    if not math.isclose(steps * period_s, 3600.0):
        raise ValueError(f"an hour must be a whole number of periods, got period_s = {period_s}")
    if dispatch not in DISPATCH:
        raise ValueError(f"dispatch must be one of {tuple(DISPATCH)}, got {dispatch!r}")
    hour = np.arange(count.size) // steps
    size = int(hour[-1]) + 1
    total, total_late, total_seen = np.zeros(size), np.zeros(size), np.zeros((size, BINS))
    met, runs, by_run = np.ones(size, dtype=bool), [], []
    for path in paths:
        requests = np.bincount(hour, path * period_s, size)
        late, seen = np.zeros(size), np.zeros((size, BINS))
        replay_periods(
            DISPATCH[dispatch],
            path,
            count,
            places,
            hour,
            period_s,
            sample_requests,
            table,
            float(slo.until == "answer"),
            overhead_s,
            slo.latency_s,
            late,
            seen,
            rng,
        )
        missed = late > (1.0 - slo.percentile) * requests
        runs.append(
            {
                "late_share": late.sum() / requests.sum(),
                "percentile_ms": 1000.0 * percentile_of(seen.sum(axis=0), slo.percentile),
                "hours_missed": int(missed.sum()),
            }
        )
        by_run.append([1000.0 * percentile_of(h, slo.percentile) for h in seen])
        met &= ~missed
        total += requests
        total_late += late
        total_seen += seen
    percentile_ms = 1000.0 * np.array([percentile_of(h, slo.percentile) for h in total_seen])
    half = _half_width(np.array(by_run)) if len(paths) > 1 else np.full(size, np.nan)
    frame = pd.DataFrame(
        {
            "requests": total,
            "late": total_late,
            "late_share": total_late / np.maximum(total, 1e-300),
            "percentile_ms": percentile_ms,
            "percentile_low_ms": np.maximum(percentile_ms - half, 0.0),
            "percentile_high_ms": percentile_ms + half,
            "met": met,
        }
    )
    return Replay(frame, pd.DataFrame(runs))
