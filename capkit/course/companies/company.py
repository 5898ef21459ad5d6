"""A company from a seed: its demand, minutes, service and prices, and a week that is held out.

A company is derived from the tables that ship: its demand from the application server's, its minutes from a
request log, its prices from the catalogue. The seed chooses the year, the scale, the shape of the day, the
service and every price, so that no two companies share a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capkit import datasets
from capkit.course.parameters import REGISTRY

Floats = NDArray[np.float64]

HISTORY_H, WEEK_H = 53 * 168, 168
WEEK = pd.Timedelta(weeks=1)
YEARS_LATER = pd.Timedelta(weeks=260)
"""How far a company's calendar lies after that of the server it comes from; weekdays stay."""
LOGGED_RPS = 5.0
"""What a company's log keeps of its requests, on average."""
SERVES = (
    "reads the amounts on scanned receipts",
    "sorts parcels by a photo of their label",
    "tells spam from mail",
    "suggests the next word while people type",
    "checks the quality of woven cloth by camera",
    "recognises bird calls that hikers record",
    "finds the address that a caller means",
    "marks handwritten exams",
)
NAMES = (
    "Almond",
    "Birch",
    "Cedar",
    "Dogwood",
    "Elder",
    "Fig",
    "Ginkgo",
    "Hazel",
    "Iris",
    "Juniper",
)
KINDS = ("Works", "Labs", "Post", "Systems", "Services")
ZONES = ("Europe/Berlin", "Europe/Madrid", "America/New_York", "America/Chicago")
SCENARIO = (
    *("seed", "trace", "trace_column", "load_scale"),
    *("slo_percentile", "slo_latency_ms", "prices", "provider"),
)
"""The parameters that make a company."""
MEMORY_MIB = (700, 1100, 1800, 2600)


@dataclass(frozen=True, eq=False)
class Company:
    """A company as its makers know it; a learner sees its brief and its files only."""

    seed: int
    name: str
    serves: str
    time_zone: str
    slo_percentile: float
    slo_latency_ms: float
    hourly: pd.Series = field(repr=False)
    """Requests an hour by the start of the hour (with its zone): `HISTORY_H` hours, and the week after."""
    minute_factors: Floats = field(repr=False)
    """Rate of a minute over its hour's mean, as it really is."""
    service_cv2: float
    service_ms: float
    memory_mib: int
    logged_one_in: int
    prices: pd.DataFrame = field(repr=False)
    """Price list, columns as in `capkit.datasets.load_catalogue`."""

    @property
    def week_rps(self) -> pd.Series:
        """The held-out week in requests/s, which no file holds."""
        return self.hourly.iloc[HISTORY_H:] / 3600.0

    @property
    def today(self) -> pd.Timestamp:
        """The day before the planned week: the price list is of that day."""
        return self.hourly.index[HISTORY_H].tz_localize(None).normalize() - pd.Timedelta("1D")


def found(
    seed: int,
    *,
    trace: str = "chat",
    trace_column: str = "timestamp",
    load_scale: float = 200.0,
    slo_percentile: float = 0.99,
    slo_latency_ms: float = 50.0,
    prices: str = "",
    provider: str = "aws",
) -> Company:
    """Make a company.

    Parameters
    ----------
    seed : int
        Which one; every number depends on it.
    trace, trace_column : str
        Log from which its minutes come (`capkit.datasets.arrival_times`).
    load_scale : float
        Factor on the application server's hourly counts, times one of its own.
    slo_percentile, slo_latency_ms : float
        What its users were promised.
    prices, provider : str
        Table and cloud from which its price list comes.

    Raises
    ------
    ValueError
        A file cannot be used, as `capkit.datasets` says.

    Examples
    --------
    >>> one, other = found(1), found(2)
    >>> one.service_ms != other.service_ms, len(one.week_rps)
    (True, 168)
    """
    rng = np.random.default_rng([seed, 11])
    hourly = _hourly(rng, load_scale)
    mean_rps = float(hourly.mean()) / 3600.0
    service = {"service_ms": rng.uniform(1.0, 2.5), "service_cv2": rng.uniform(0.15, 0.5)}
    table = datasets.load_catalogue(prices, provider=provider)
    money = [column for column in table if column.endswith("_usd_h")]
    table[money] = table[money].mul(rng.uniform(0.85, 1.25, len(table)), axis=0).round(5)
    company = Company(
        seed=seed,
        name=f"{rng.choice(NAMES)} {rng.choice(KINDS)}",
        serves=str(rng.choice(SERVES)),
        time_zone=str(hourly.index.tz),
        slo_percentile=slo_percentile,
        slo_latency_ms=slo_latency_ms,
        hourly=hourly,
        minute_factors=_minute_factors(rng, trace, trace_column),
        memory_mib=int(rng.choice(MEMORY_MIB)),
        logged_one_in=max(round(mean_rps / LOGGED_RPS), 1),
        prices=table,
        **service,
    )
    table["as_of"] = company.today.strftime("%Y-%m-%d")
    table["source"] = f"quote to {company.name}"
    return company


def scenario(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `found` among a notebook's ``globals()``, the defaults for what it lacks.

    >>> scenario({"seed": 3, "other": 1})["seed"]
    3
    """
    return {name: values.get(name, REGISTRY[name].default) for name in SCENARIO}


def _hourly(rng: np.random.Generator, load_scale: float) -> pd.Series:
    """Counts of `HISTORY_H` hours and a week by local hour, changed enough to be another company's."""
    base = datasets.load_demand()
    zone = str(rng.choice(ZONES))
    start = _calm_monday(rng, base) + YEARS_LATER
    first = (start - pd.Timedelta(hours=HISTORY_H)).tz_localize(zone)
    hours = pd.date_range(first, periods=HISTORY_H + WEEK_H + 2, freq="h")
    hours = hours[hours.tz_localize(None) < start + pd.Timedelta(hours=WEEK_H)]
    hours = hours[-(HISTORY_H + WEEK_H) :]
    source = base.reindex(hours.tz_localize(None) - YEARS_LATER).to_numpy()
    place = 2 * np.pi * (hours.day_of_week * 24 + hours.hour).to_numpy() / 168
    shape = sum(
        rng.normal(0, 0.06) * np.cos(k * place + rng.uniform(0, 2 * np.pi)) for k in (1, 7, 14)
    )
    noise, wander = rng.normal(0, 0.012, len(hours)), np.zeros(len(hours))
    for hour in range(1, len(hours)):
        wander[hour] = 0.9 * wander[hour - 1] + noise[hour]
    growth = rng.uniform(-0.05, 0.2) * np.arange(len(hours)) / 8766
    scale = load_scale * rng.uniform(0.6, 1.6)
    counts = np.rint(scale * source * np.exp(shape + wander + growth))
    return pd.Series(counts, index=hours, name="requests")


def _calm_monday(rng: np.random.Generator, base: pd.Series) -> pd.Timestamp:
    """A Monday whose week, and the one before, have no holiday and do not break with the past."""
    from capkit.forecasting import western_holidays

    holidays = western_holidays(2016, 2020).index
    mondays = pd.date_range("2017-03-06", "2020-02-03", freq="7D")
    fit = []
    for monday in mondays:
        week, before = (base[monday + k * WEEK :][:168].to_numpy() for k in (0, -1))
        usual = np.abs(week - before).sum() < 0.12 * week.sum()
        around = holidays[(holidays >= monday - WEEK) & (holidays < monday + WEEK)]
        if usual and around.empty:
            fit.append(monday)
    return fit[int(rng.integers(len(fit)))]


def _minute_factors(rng: np.random.Generator, trace: str, column: str) -> Floats:
    """An hour of minutes like the trace's, begun elsewhere, calmer or wilder, within 0.3 and 2.5."""
    times = datasets.arrival_times(trace, rng, column=column)
    minutes = np.bincount((times // 60).astype(int)).astype(float)
    hour = np.resize(np.roll(minutes, int(rng.integers(minutes.size))), 60)
    factors = np.clip(hour / hour.mean(), 0.3, 2.5) ** rng.uniform(0.6, 1.0)
    return np.asarray(factors / factors.mean())
