"""What is not known exactly, carried through: the spread of the cost, the plan of least regret, what to measure.

Monte Carlo with common random numbers: every candidate meets the same draws, so that their difference is
theirs and not chance. A draw is judged by the queueing formula, which the replay has confirmed for the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm

from capkit.planning.candidates import Candidate
from capkit.planning.problem import HOURS_A_WEEK, Problem
from capkit.planning.sizing import Floats, carried_rates, forecast_at

if TYPE_CHECKING:
    from capkit.planning.capacity_plan import CapacityPlan
    from capkit.serving import ServiceProfile

GRID = 9  # service times between which the carried rate is interpolated
BINS = 20  # of an unknown's draws, for what knowing it is worth


@dataclass(frozen=True)
class Unknown:
    """Something that the plan takes as known: draws of the factor by which it may be wrong."""

    factors: Floats
    ask: str
    """What would have to be measured to know it better."""


def lognormal_factors(
    low: float, value: float, high: float, draws: int, rng: np.random.Generator
) -> Floats:
    """Factors on a value whose 95 % interval runs from ``low`` to ``high``: a lognormal law.

    >>> factors = lognormal_factors(8.0, 10.0, 12.5, 10_000, np.random.default_rng(1))
    >>> np.quantile(10.0 * factors, [0.025, 0.975]).round(1).tolist()
    [8.0, 12.5]
    """
    if not 0.0 < low <= high:
        raise ValueError(f"low and high must be positive and in order, got {low} and {high}")
    if not value > 0.0:
        raise ValueError(f"value must be positive, got {value}")
    centre = np.log(np.sqrt(low * high) / value)
    sigma = np.log(high / low) / (2.0 * norm.ppf(0.975))
    return np.asarray(np.exp(centre + sigma * rng.standard_normal(draws)))


def bootstrap_peaks(
    minute_factors: ArrayLike, draws: int, rng: np.random.Generator, *, block: int = 5
) -> Floats:
    """Factors on the busiest minute: its excess in logs of the same length, resampled in blocks of minutes.

    Neighbouring minutes resemble each other, so whole blocks are drawn (Kuensch 1989). A resampled maximum
    never exceeds the one that was seen; its spread is therefore put around that one on both sides.

    >>> factors = bootstrap_peaks([0.8, 1.0, 1.2, 1.0], 1000, np.random.default_rng(1), block=1)
    >>> round(float(np.median(factors)), 1)
    1.0
    """
    minutes = np.asarray(minute_factors, dtype=float)
    size = min(block, minutes.size)
    blocks = -(-minutes.size // size)
    begin = rng.integers(minutes.size, size=(draws, blocks))
    place = (begin[:, :, None] + np.arange(size)).reshape(draws, -1)[:, : minutes.size]
    drawn = minutes[place % minutes.size]
    peaks = drawn.max(axis=1) / drawn.mean(axis=1)
    spread = np.log(peaks).std()
    return np.asarray(np.exp(spread * rng.standard_normal(draws)))


@dataclass(frozen=True)
class Outlook:
    """Candidates under the same draws of what is not known."""

    names: list[str]
    cost_usd_week: Floats = field(repr=False)
    """Fleet, shape (candidates, draws)."""
    hours_missed: Floats = field(repr=False)
    """Hours in which demand outgrows what survives a zone's loss, shape (candidates, draws)."""
    hours: int
    missed_hour_usd: float
    unknowns: Mapping[str, Unknown] = field(repr=False)

    @property
    def total_usd(self) -> Floats:
        """Fleet and missed hours together."""
        return self.cost_usd_week + self.missed_hour_usd * self.hours_missed

    @property
    def best(self) -> int:
        """Number of the candidate of least expected regret, which is that of least expected total."""
        return int(self.total_usd.mean(axis=1).argmin())

    def table(self) -> pd.DataFrame:
        """One row a candidate: cost with its 5 % and 95 % quantiles, the probability that an hour and that
        the whole week meets the SLO with a zone lost, expected total, mean and 95 % quantile of the regret."""
        total = self.total_usd
        regret = total - total.min(axis=0)
        low, high = np.quantile(self.cost_usd_week, [0.05, 0.95], axis=1)
        return pd.DataFrame(
            {
                "plan": self.names,
                "cost_usd_week": self.cost_usd_week.mean(axis=1),
                "cost_low": low,
                "cost_high": high,
                "hour_met_percent": 100.0 * (1.0 - self.hours_missed.mean(axis=1) / self.hours),
                "week_met_percent": 100.0 * (self.hours_missed == 0).mean(axis=1),
                "total_usd_week": total.mean(axis=1),
                "regret_usd": regret.mean(axis=1),
                "regret_high_usd": np.quantile(regret, 0.95, axis=1),
            }
        )

    def tornado(self, candidate: int | None = None) -> pd.DataFrame:
        """Expected total of a candidate (the best) in the lowest and in the highest tenth of each unknown.

        Columns ``unknown, low_usd, high_usd, swing_usd``, widest first.
        """
        total = self.total_usd[self.best if candidate is None else candidate]
        rows = []
        for name, unknown in self.unknowns.items():
            order = np.argsort(unknown.factors, kind="stable")
            tenth = max(order.size // 10, 1)
            low, high = total[order[:tenth]].mean(), total[order[-tenth:]].mean()
            rows.append((name, low, high, abs(high - low)))
        table = pd.DataFrame(rows, columns=["unknown", "low_usd", "high_usd", "swing_usd"])
        return table.sort_values("swing_usd", ascending=False, ignore_index=True)

    def worth(self) -> pd.DataFrame:
        """USD a week by which the expected total would fall were one unknown known before the choice.

        The expected value of perfect partial information (Raiffa and Schlaifer 1961): in each of 20 bins of
        the unknown's draws the best candidate of that bin, against the one that is best for all.
        """
        total = self.total_usd
        rows = []
        for name, unknown in self.unknowns.items():
            order = np.argsort(unknown.factors, kind="stable")
            parts = [total[:, part].mean(axis=1) for part in np.array_split(order, BINS)]
            known = np.mean([part.min() for part in parts])
            rows.append((name, max(total.mean(axis=1).min() - known, 0.0), unknown.ask))
        table = pd.DataFrame(rows, columns=["unknown", "worth_usd_week", "measure"])
        return table.sort_values("worth_usd_week", ascending=False, ignore_index=True)

    def next_measurement(self) -> str:
        """The last line of an answer: what to measure next."""
        first = self.worth().iloc[0]
        if first["worth_usd_week"] < 0.005 * self.total_usd[self.best].mean():
            widest = self.tornado().iloc[0]["unknown"]
            return (
                f"Measure this next: nothing; no unknown alone would change the choice. The {widest} moves "
                f"the cost most: {self.unknowns[widest].ask}."
            )
        return (
            f"Measure this next: the {first['unknown']}. Knowing it is worth up to "
            f"{first['worth_usd_week']:,.2f} USD a week: {first['measure']}."
        )


def judge_uncertainty(
    problem: Problem,
    candidates: Sequence[Candidate],
    unknowns: Mapping[str, Unknown],
    rng: np.random.Generator,
    *,
    missed_hour_usd: float,
    shared: float = 0.5,
) -> Outlook:
    """Put every candidate through the same draws.

    Parameters
    ----------
    problem : Problem
        Forecast, service and rules.
    candidates : sequence of Candidate
        Fleets; ``surviving`` is judged.
    unknowns : mapping
        Any of "service time", "busiest minute", "price", as factors on what the problem says, one for each
        draw. "demand" is added from the forecast's own intervals.
    rng : numpy.random.Generator
        Draws the demand.
    missed_hour_usd : float
        What an hour that misses the SLO costs.
    shared : float
        Share of the variance of an hour's forecast error that all hours of the week have in common.
    """
    known = {"service time", "busiest minute", "price"}
    sizes = {u.factors.size for u in unknowns.values()}
    if not set(unknowns) <= known or len(sizes) != 1:
        raise ValueError(
            f"unknowns may name {', '.join(sorted(known))}, each with the same number of draws; got "
            f"{ {name: u.factors.size for name, u in unknowns.items()} }"
        )
    if not 0.0 <= shared <= 1.0 or not missed_hour_usd >= 0.0:
        raise ValueError(
            f"shared is between 0 and 1, missed_hour_usd at least 0; got {shared}, {missed_hour_usd}"
        )
    draws, hours = sizes.pop(), len(problem.forecast)
    ones = np.ones(draws)
    service, peak, price = (
        unknowns[name].factors if name in unknowns else ones
        for name in ("service time", "busiest minute", "price")
    )
    level = rng.standard_normal(draws)
    own = rng.standard_normal((draws, hours))
    scores = np.sqrt(shared) * level[:, None] + np.sqrt(1.0 - shared) * own
    demand = forecast_at(problem.forecast, scores) * peak[:, None]
    carried = _carried(problem, candidates, service)
    missed = np.array([(demand > rates).sum(axis=1) for rates in carried], dtype=float)
    cost = np.array([candidate.cost_usd_week * price for candidate in candidates])
    demand_unknown = Unknown(
        level, "a longer history of the hourly counts, or a better model of them"
    )
    names = [candidate.name for candidate in candidates]
    everything = {"demand": demand_unknown, **unknowns}
    return Outlook(names, cost, missed, hours, missed_hour_usd, everything)


def outlook(
    plan: CapacityPlan,
    rng: np.random.Generator,
    *,
    levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95, 0.99),
    draws: int = 2000,
    missed_hour_usd: float | None = None,
    service_interval: tuple[float, float] | None = None,
    price_interval: tuple[float, float] = (0.9, 1.1),
    shared: float = 0.5,
) -> Outlook:
    """The plan among its neighbours, which carry other quantiles of the forecast, with all that is not known.

    Parameters
    ----------
    plan : CapacityPlan
        Its problem is asked again for each of ``levels``.
    rng : numpy.random.Generator
        Draws everything.
    draws : int
        Weeks to imagine.
    missed_hour_usd : float, optional
        What an hour that misses the SLO costs; ten times the fleet's own hour by default.
    service_interval, price_interval : (float, float)
        95 % intervals as factors on the service time and on all prices. The service time's is by default
        how far its measurements (slot, CPU, throughput) lie apart, at least 2 %, on both sides.
    shared : float
        As in `judge_uncertainty`.
    """
    problem = plan.problem
    hour_usd = plan.cost_usd_week / HOURS_A_WEEK
    apart = service_interval or _measured_apart(problem.measured)
    law = {"service time": apart, "price": price_interval}
    asks = {
        "service time": "a longer run of the benchmark, with the server confined to one vCPU",
        "price": "a quote, or the invoice of last month",
    }
    unknowns = {
        name: Unknown(lognormal_factors(low, 1.0, high, draws, rng), asks[name])
        for name, (low, high) in law.items()
    }
    unknowns["busiest minute"] = Unknown(
        bootstrap_peaks(problem.factors, draws, rng),
        f"a request log longer than {problem.factors.size} minutes",
    )
    candidates = []
    for level in levels:
        other = replace(problem, level=level)
        fleet = other.fleet(other.needed())
        name = f"{100 * level:g} % quantile"
        candidates.append(Candidate.from_fleet(name, fleet, len(problem.forecast)))
    usd = 10.0 * hour_usd if missed_hour_usd is None else missed_hour_usd
    return judge_uncertainty(problem, candidates, unknowns, rng, missed_hour_usd=usd, shared=shared)


def _measured_apart(measured: ServiceProfile) -> tuple[float, float]:
    """Smallest over largest, and its inverse, of the ways in which the service time was measured."""
    ways = [measured.service_time_s, 1.0 / measured.throughput_rps]
    if measured.cpu_s_per_request:
        ways.append(measured.cpu_s_per_request)
    high = max(max(ways) / min(ways), 1.02)
    return 1.0 / high, high


def _carried(problem: Problem, candidates: Sequence[Candidate], service: Floats) -> list[Any]:
    """For each candidate, what its survivors carry in 1/s, shape (draws, hours)."""
    counts = np.unique(np.concatenate([candidate.surviving for candidate in candidates]))
    grid = np.linspace(service.min(), service.max(), GRID) if np.ptp(service) else service[:1]
    rates = np.empty((grid.size, counts.size))
    for row, factor in enumerate(grid):
        slower = replace(problem.service, service_time_s=factor * problem.service.service_time_s)
        rates[row] = carried_rates(counts, slower, problem.slo, **problem.formula)
    by_count = np.column_stack([np.interp(service, grid, column) for column in rates.T])
    return [by_count[:, np.searchsorted(counts, c.surviving)] for c in candidates]
