"""Steps 1 and 2 of a plan: what the forecast asks for, and the servers that the latency target needs."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from capkit.queueing import max_rate
from capkit.queueing.erlang import servers_for_stability

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
        Latency target in seconds, from the intended send to ``until``.
    until : str
        "answer", or "first_token" where the answer streams: the wait and the overhead count, and the
        service does not.

    >>> SLO(0.99, 0.05)
    SLO(percentile=0.99, latency_s=0.05, until='answer')
    """

    percentile: float
    latency_s: float
    until: str = "answer"

    def __post_init__(self) -> None:
        if self.until not in ("answer", "first_token"):
            raise ValueError(f"until must be 'answer' or 'first_token', got {self.until!r}")
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
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability must lie between 0 and 1, got {probability}")
    return forecast_at(forecast, np.full(len(forecast), norm.ppf(probability)))


def forecast_at(forecast: pd.DataFrame, scores: ArrayLike) -> Floats:
    """Rate of every hour in 1/s at a score of the normal law of its own (0: the median), never negative.

    ``scores`` has the shape (hours,) or (draws, hours), as the result has; the rest as in `forecast_rates`.
    """
    rates, knots = _quantiles(forecast)
    wanted = np.asarray(scores, dtype=float)
    piece = np.clip(np.searchsorted(knots, wanted) - 1, 0, knots.size - 2)
    share = (wanted - knots[piece]) / (knots[piece + 1] - knots[piece])
    hour = np.broadcast_to(np.arange(len(rates)), wanted.shape)
    low, high = rates[hour, piece], rates[hour, piece + 1]
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


@dataclass(frozen=True)
class _Fleet:
    """How a fleet of servers is judged by formula: one queue for all, or each server's own."""

    target: dict[str, Any]
    rate: float
    places: int
    alone: bool
    known: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, service: ServiceProfile, slo: SLO, dispatch: str, places: int) -> _Fleet:
        if places > 1 and dispatch == "round_robin":
            raise ValueError("round_robin is for servers of one place; take random or central")
        limit = "max_response" if slo.until == "answer" else "max_wait"
        target: dict[str, Any] = {
            "percentile": slo.percentile,
            limit: latency_budget_s(service, slo),
            "service_cv2": service.service_cv2,
        }
        alone = (
            dispatch == "random"
        )  # Poisson arrivals, split by chance, are Poisson: M/G/places each
        if not alone:
            target["dispatch"] = dispatch
        return cls(target, 1.0 / service.service_time_s, places, alone)

    def carried(self, servers: int) -> float:
        if servers not in self.known:
            places, share = (self.places, servers) if self.alone else (servers * self.places, 1)
            self.known[servers] = share * max_rate(places, self.rate, **self.target)
        return self.known[servers]

    def needed(self, arrival_rate: float) -> int:
        if self.alone:
            return max(math.ceil(arrival_rate / self.carried(1) * (1.0 - 1e-12)), 1)
        low = high = servers_for_stability(arrival_rate / self.rate / self.places)
        while self.carried(high) < arrival_rate:
            low, high = high + 1, 2 * high - low + 2
        enough = bisect_left(range(low, high), True, key=lambda c: self.carried(c) >= arrival_rate)
        return low + enough


def needed_servers(
    rates: ArrayLike,
    service: ServiceProfile,
    slo: SLO,
    *,
    peak_factor: float = 1.0,
    dispatch: str = "random",
    places: int = 1,
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
    places : int
        Requests that a server works on at once.

    >>> from types import SimpleNamespace
    >>> service = SimpleNamespace(service_time_s=0.005, service_cv2=1.0, overhead_s=0.0)
    >>> for rule in ("central", "random"):
    ...     needed_servers([100.0, 1000.0], service, SLO(0.99, 0.05), dispatch=rule).tolist()
    [1, 6]
    [1, 10]
    """
    fleet = _Fleet.of(service, slo, dispatch, places)
    distinct, place = np.unique(np.asarray(rates, dtype=float), return_inverse=True)
    needed = [fleet.needed(r * peak_factor) for r in distinct]
    return np.array(needed, dtype=np.int64)[place]


def carried_rates(
    servers: ArrayLike,
    service: ServiceProfile,
    slo: SLO,
    *,
    peak_factor: float = 1.0,
    dispatch: str = "random",
    places: int = 1,
) -> Floats:
    """Mean hourly rates in 1/s that ``servers`` carry at the SLO: the inverse of `needed_servers`."""
    fleet = _Fleet.of(service, slo, dispatch, places)
    distinct, place = np.unique(np.asarray(servers, dtype=np.int64), return_inverse=True)
    carried = [fleet.carried(int(count)) if count else 0.0 for count in distinct]
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
