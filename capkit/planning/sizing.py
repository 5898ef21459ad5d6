"""Steps 1 and 2 of a plan: what the forecast asks for, and the servers that the latency target needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from capkit.queueing import max_rate, min_servers

if TYPE_CHECKING:
    from capkit.serving import ServiceProfile

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

# Types whose CPU is theirs for a while only: credits, or a shared core.
BURSTABLE = ("t2.", "t3.", "t3a.", "t4g.", "B", "e2-micro", "e2-small", "e2-medium")
QUANTILES = {
    "lower_95_rps": 0.025,
    "lower_80_rps": 0.1,
    "mean_rps": 0.5,
    "upper_80_rps": 0.9,
    "upper_95_rps": 0.975,
}


@dataclass(frozen=True)
class SLO:
    """A latency objective: in every hour, this share of the requests is answered in time.

    Parameters
    ----------
    percentile : float
        Share of the requests, between 0 and 1 (0.99 for p99); anything else raises `ValueError`.
    latency_s : float
        Latency target in seconds, from the intended send to the answer.

    >>> SLO(0.99, 0.05)
    SLO(percentile=0.99, latency_s=0.05)
    """

    percentile: float
    latency_s: float

    def __post_init__(self) -> None:
        if not 0.0 < self.percentile < 1.0:
            raise ValueError(f"percentile is a share such as 0.99 for p99, got {self.percentile}")
        if not (math.isfinite(self.latency_s) and self.latency_s > 0.0):
            raise ValueError(
                f"latency_s must be a positive number of seconds, got {self.latency_s}"
            )


def forecast_rates(forecast: pd.DataFrame, probability: float) -> Floats:
    """Quantile of the forecast rate of every hour, in 1/s, never negative.

    Parameters
    ----------
    forecast : DataFrame
        One row an hour: ``mean_rps`` (taken as the median) and ``lower_80_rps``, ``upper_80_rps``,
        ``lower_95_rps``, ``upper_95_rps``, as chapter 07 writes it; `ValueError` if one is missing.
    probability : float
        Which quantile; between and beyond those given it follows a normal law, piece by piece.

    >>> bounds = dict(zip(QUANTILES, ([2.0], [6.0], [10.0], [14.0], [18.0])))
    >>> forecast_rates(pd.DataFrame(bounds), 0.9).round(3)
    array([14.])
    """
    rates, scores = _quantiles(forecast)
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability must lie between 0 and 1, got {probability}")
    score = float(norm.ppf(probability))
    piece = min(max(int(np.searchsorted(scores, score)) - 1, 0), scores.size - 2)
    share = (score - scores[piece]) / (scores[piece + 1] - scores[piece])
    low, high = rates[:, piece], rates[:, piece + 1]
    return np.asarray(np.maximum(low + share * (high - low), 0.0))


def probability_below(forecast: pd.DataFrame, rates: ArrayLike) -> Floats:
    """Probability that each hour's demand stays at or below ``rates``; the inverse of `forecast_rates`.

    >>> bounds = dict(zip(QUANTILES, ([2.0], [6.0], [10.0], [14.0], [18.0])))
    >>> probability_below(pd.DataFrame(bounds), [14.0]).round(3)
    array([0.9])
    """
    quantiles, scores = _quantiles(forecast)
    result = np.empty(len(quantiles))
    for hour, rate in enumerate(np.broadcast_to(np.asarray(rates, dtype=float), len(quantiles))):
        row = quantiles[hour]
        piece = min(max(int(np.searchsorted(row, rate, side="right")) - 1, 0), scores.size - 2)
        share = (rate - row[piece]) / (row[piece + 1] - row[piece])
        result[hour] = scores[piece] + share * (scores[piece + 1] - scores[piece])
    return np.asarray(norm.cdf(result))


def _quantiles(forecast: pd.DataFrame) -> tuple[Floats, Floats]:
    missing = [column for column in QUANTILES if column not in forecast]
    if missing:
        raise ValueError(f"the forecast lacks the columns {missing}; it has {list(forecast)}")
    table = forecast[list(QUANTILES)].to_numpy(dtype=float)
    steps = np.diff(table, axis=1)
    if not np.isfinite(table).all() or (steps < 0.0).any() or (steps[:, [0, -1]] == 0.0).any():
        raise ValueError(
            "every hour of the forecast needs lower_95 < lower_80 <= mean <= upper_80 < upper_95"
        )
    return table, np.asarray(norm.ppf(list(QUANTILES.values())))


def on_one_vcpu(service: ServiceProfile) -> ServiceProfile:
    """The profile of a server that has one vCPU: what a request costs it decides, not only its slot.

    Of a request's time outside the slot some is CPU time of the same process (decoding, gRPC). Where a
    vCPU is all there is, the request occupies it for the longest of: its slot, its CPU time, and one
    over the saturated throughput. The latency of a request on an idle server stays as it was measured.

    >>> from capkit.serving import ServiceProfile
    >>> profile = ServiceProfile(8e-4, 0.3, 1e-3, 6e-4, 2e-5, 64, 1000.0, 3200, 110, 9e-4, 600.0, "x", "cpu")
    >>> shared = on_one_vcpu(profile)
    >>> shared.service_time_s, round(shared.overhead_s, 6)
    (0.001, 0.0008)
    """
    cpu_s = service.cpu_s_per_request or 0.0
    seconds = max(service.service_time_s, cpu_s, 1.0 / service.throughput_rps)
    overhead_s = max(service.overhead_s - (seconds - service.service_time_s), 0.0)
    return replace(service, service_time_s=seconds, overhead_s=overhead_s)


def latency_budget_s(service: ServiceProfile, slo: SLO) -> float:
    """Seconds that the SLO leaves for waiting and service; `ValueError` if nothing is left."""
    budget = slo.latency_s - service.overhead_s
    if budget <= 0.0:
        raise ValueError(
            f"a request spends {1000 * service.overhead_s:.3g} ms outside the server, and may take "
            f"{1000 * slo.latency_s:.3g} ms in all: no number of servers meets this SLO; relax it"
        )
    return budget


def _target(service: ServiceProfile, slo: SLO, dispatch: str) -> dict[str, Any]:
    return {
        "percentile": slo.percentile,
        "max_response": latency_budget_s(service, slo),
        "service_cv2": service.service_cv2,
        "dispatch": dispatch,
    }


def needed_servers(
    rates: ArrayLike,
    service: ServiceProfile,
    slo: SLO,
    *,
    peak_factor: float = 1.0,
    dispatch: str = "random",
) -> Counts:
    """Servers that each hour needs for the SLO in its busiest minute (M/G/c, `capkit.queueing`).

    Parameters
    ----------
    rates : array-like of shape (hours,)
        Mean arrival rate of each hour in 1/s.
    service : ServiceProfile
        Service time, its CV2, and the latency outside the server; `ValueError` if they alone miss the SLO.
    slo : SLO
        Percentile and latency.
    peak_factor : float
        Rate of the busiest minute over the hour's mean.
    dispatch : str
        Which server a request joins: as in `capkit.queueing.Target`.

    >>> from types import SimpleNamespace
    >>> service = SimpleNamespace(service_time_s=0.005, service_cv2=1.0, overhead_s=0.0)
    >>> for rule in ("central", "random"):
    ...     needed_servers([100.0, 1000.0], service, SLO(0.99, 0.05), dispatch=rule).tolist()
    [1, 6]
    [1, 10]
    """
    target = _target(service, slo, dispatch)
    rate = 1.0 / service.service_time_s
    distinct, place = np.unique(np.asarray(rates, dtype=float), return_inverse=True)
    needed = [min_servers(r * peak_factor, rate, **target) for r in distinct]
    return np.array(needed, dtype=np.int64)[place]


def carried_rates(
    servers: ArrayLike,
    service: ServiceProfile,
    slo: SLO,
    *,
    peak_factor: float = 1.0,
    dispatch: str = "random",
) -> Floats:
    """Mean hourly rates in 1/s that ``servers`` carry at the SLO: the inverse of `needed_servers`."""
    target = _target(service, slo, dispatch)
    rate = 1.0 / service.service_time_s
    distinct, place = np.unique(np.asarray(servers, dtype=np.int64), return_inverse=True)
    carried = [max_rate(int(c), rate, **target) if c else 0.0 for c in distinct]
    return np.array(carried)[place] / peak_factor


def cpu_options(catalogue: pd.DataFrame, service: ServiceProfile) -> pd.DataFrame:
    """Machine types that can run the measured server, one server a vCPU as far as memory allows.

    Left out are types with an accelerator, burstable ones (their CPU is not theirs for long), and those
    without a price; `ValueError` if none is left.

    Parameters
    ----------
    catalogue : DataFrame
        From `capkit.datasets.load_catalogue`.
    service : ServiceProfile
        Its ``memory_mib`` is what one server takes; unknown, memory does not limit.

    Returns
    -------
    DataFrame
        ``name``, prices in USD/h and ``capacity`` in servers, as `capkit.tco.optimize` takes it.
    """
    plain = ~catalogue["name"].str.startswith(BURSTABLE) & (catalogue["accelerators"] == 0)
    table = catalogue[plain & (catalogue["on_demand_usd_h"] > 0.0)]
    server_mib = service.memory_mib or 1.0
    fits = table["memory_gib"] * 1024.0 // server_mib
    table = table.assign(capacity=np.minimum(table["vcpus"], fits).astype(int))
    table = table[table["capacity"] > 0].rename(columns={"on_demand_usd_h": "cost_usd_h"})
    if table.empty:
        raise ValueError(
            f"none of the {len(catalogue)} machine types has a CPU of its own, a price and "
            f"{server_mib:.0f} MiB for a server: give another price table or provider"
        )
    prices = [column for column in table if column.endswith("_usd_h")]
    return table[["name", *prices, "capacity"]].reset_index(drop=True)
