"""What a plan is asked for, as one value: change a part of it, and propose again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capkit.planning.sizing import (
    SLO,
    Counts,
    Floats,
    carried_rates,
    forecast_rates,
    latency_budget_s,
    needed_servers,
)
from capkit.tco import Fleet, optimize

if TYPE_CHECKING:
    from capkit.serving import ServiceProfile

HOURS_A_WEEK = 168.0


@dataclass(frozen=True)
class Problem:
    """Everything that decides a fleet; the arguments of `capkit.planning.plan` say what each means."""

    measured: ServiceProfile
    """As it was measured."""
    service: ServiceProfile
    """The same on one vCPU (`on_one_vcpu`), which is what the plan counts with."""
    law: Floats = field(repr=False)
    """Service time in s at evenly spaced probabilities."""
    forecast: pd.DataFrame = field(repr=False)
    options: pd.DataFrame = field(repr=False)
    slo: SLO
    factors: Floats = field(repr=False)
    """Rate of a minute over its hour's mean."""
    level: float = 0.95
    zones: int = 2
    purchases: Sequence[str] = ("on_demand", "reserved_1y")
    dispatch: str = "random"
    places: int = 1
    per_request: Mapping[str, float] = field(default_factory=dict)
    solver: str = "highs"

    def __post_init__(self) -> None:
        factors = self.factors
        if factors.size == 0 or not (np.isfinite(factors).all() and (factors >= 0.0).all()):
            raise ValueError("minute_factors must be finite, at least 0, and not empty")
        if self.slo.until == "answer":
            slow = float((self.law > latency_budget_s(self.service, self.slo)).mean())
            allowed = 1.0 - self.slo.percentile
            if slow > allowed:
                raise ValueError(
                    f"{slow:.2%} of the measured service times alone exceed the target of "
                    f"{1000 * self.slo.latency_s:.3g} ms, and {allowed:.2%} may: no number of servers "
                    "meets this SLO"
                )

    @property
    def peak_factor(self) -> float:
        """Rate of the busiest minute over the hour's mean."""
        return float(self.factors.max())

    @property
    def planned_rps(self) -> Floats:
        """The quantile of the forecast that every hour carries, in 1/s."""
        return forecast_rates(self.forecast, self.level)

    @property
    def formula(self) -> dict[str, Any]:
        """How the queueing formula is asked: keywords of `needed_servers` and `carried_rates`."""
        return {"peak_factor": self.peak_factor, "dispatch": self.dispatch, "places": self.places}

    @property
    def replayed(self) -> dict[str, Any]:
        """How requests are replayed: keywords of `replay`."""
        overhead_s = self.service.overhead_s
        return {"overhead_s": overhead_s, "dispatch": self.dispatch, "places": self.places}

    def needed(self) -> Counts:
        """Servers that each hour needs, by formula."""
        return needed_servers(self.planned_rps, self.service, self.slo, **self.formula)

    def carried(self, servers: Counts) -> Floats:
        """Mean hourly rate in 1/s that ``servers`` carry at the SLO, by formula."""
        return carried_rates(servers, self.service, self.slo, **self.formula)

    def fleet(self, needed: Counts) -> Fleet:
        """The cheapest machines with ``needed`` servers left, and every further resource, in any zone's loss."""
        peak_rps = self.planned_rps * self.peak_factor
        demand: dict[str, Any] = {"capacity": needed}
        demand |= {name: each * peak_rps for name, each in self.per_request.items()}
        lacking = [name for name in self.per_request if name not in self.options]
        if lacking:
            raise ValueError(
                f"per_request names {', '.join(lacking)}, and options has no such column: add what a "
                "machine of each type offers, in the same unit"
            )
        return optimize(
            self.options, demand, solver=self.solver, purchases=self.purchases, zones=self.zones
        )

    def proposed_cost_usd_week(self) -> float:
        """Cost of the fleet that the formula proposes, before its trial."""
        return self.fleet(self.needed()).cost_usd_h * HOURS_A_WEEK


def what_would_change(problem: Problem) -> pd.DataFrame:
    """One requirement changed at a time, and what the formula's fleet then costs.

    Returns a DataFrame ``change, cost_usd_week, difference_percent``, as the report shows it; a change
    that nothing can meet has no cost (NaN) and says so.
    """
    slo, service, forecast = problem.slo, problem.service, problem.forecast
    rates = [column for column in forecast if column.endswith("_rps")]
    higher = forecast.assign(**{column: 1.2 * forecast[column] for column in rates})
    slower = replace(service, service_time_s=1.2 * service.service_time_s)
    other_rule = "central" if problem.dispatch == "random" else "random"
    changes: dict[str, dict[str, Any]] = {
        "20 % more demand in every hour": {"forecast": higher},
        "a service 20 % slower": {"service": slower, "law": 1.2 * problem.law},
        f"a target of {500 * slo.latency_s:.4g} ms instead of {1000 * slo.latency_s:.4g} ms": {
            "slo": replace(slo, latency_s=slo.latency_s / 2.0)
        },
        f"dispatch: {other_rule} instead of {problem.dispatch}": {"dispatch": other_rule},
        "the 99 % quantile of the forecast": {"level": 0.99},
        "its 80 % quantile": {"level": 0.80},
        "no loss of a zone covered": {"zones": 1},
        "no reserved machines": {"purchases": ("on_demand",)},
    }
    base, rows = problem.proposed_cost_usd_week(), []
    for name, change in changes.items():
        try:
            cost = replace(problem, **change).proposed_cost_usd_week()
        except ValueError:
            name, cost = f"{name}: no fleet meets this", float("nan")
        rows.append((name, cost, 100.0 * (cost / base - 1.0)))
    return pd.DataFrame(rows, columns=["change", "cost_usd_week", "difference_percent"])
