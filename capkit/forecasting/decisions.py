"""Forecasts judged by what they decide: replicas ordered ahead, hours in which they do not suffice.

A model with a smaller error is of use only if it needs fewer replicas for the same number of short hours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from capkit.forecasting.forecast import Array, Forecast


def plan_ahead(forecasts: Iterable[Forecast], p: float, *, lead: int, every: int) -> pd.Series:
    """The p-quantile of demand, each stamp from the latest forecast that is at least ``lead`` steps old.

    Parameters
    ----------
    forecasts : iterable of Forecast
        From origins ``every`` steps apart, as `rolling_forecasts` yields them; each reaches ``lead + every``.
    p : float
        Quantile, see `newsvendor_ratio`.
    lead, every : int
        Steps from the order to the first answer of a replica; steps between two orders.

    Raises
    ------
    ValueError
        A forecast is too short for the lead.
    """
    parts = []
    for forecast in forecasts:
        if len(forecast.index) < lead + every:
            raise ValueError(
                f"a lead of {lead} and a plan every {every} steps need forecasts of {lead + every} "
                f"steps, got {len(forecast.index)}"
            )
        parts.append(forecast.quantile(p).iloc[lead : lead + every])
    return pd.concat(parts)


@dataclass(frozen=True)
class Provision:
    """Replicas in each step, and whether demand was more than they carry."""

    replicas: Array
    short: Array
    factor: float = 1.0

    @property
    def replica_steps(self) -> int:
        """Replicas added up over the steps: replica-hours on an hourly series."""
        return int(self.replicas.sum())

    @property
    def short_share(self) -> float:
        """Share of the steps in which demand was more than the replicas carry."""
        return float(self.short.mean())


def provision(demand: ArrayLike, planned: ArrayLike, replica_rate: float) -> Provision:
    """Whole replicas for the planned demand, at least one, and the steps in which they are too few.

    Parameters
    ----------
    demand, planned : array-like of shape (n,)
        What came and what was planned for, in one unit.
    replica_rate : float
        Demand that one replica carries at its SLO, in the same unit.

    >>> bought = provision([90.0, 210.0], [110.0, 180.0], replica_rate=100.0)
    >>> bought.replicas.tolist(), bought.replica_steps, bought.short_share
    ([2, 2], 4, 0.5)
    """
    came, wanted = np.asarray(demand, dtype=float), np.asarray(planned, dtype=float)
    if came.shape != wanted.shape or came.size == 0 or not replica_rate > 0.0:
        raise ValueError(
            f"need equal, non-empty shapes and a positive replica_rate; "
            f"got {came.shape}, {wanted.shape}, {replica_rate}"
        )
    replicas = np.maximum(np.ceil(wanted / replica_rate), 1).astype(int)
    return Provision(replicas, came > replicas * replica_rate)


def provision_at(
    demand: ArrayLike, planned: ArrayLike, replica_rate: float, short_share: float
) -> Provision:
    """The plan times the least ``factor`` at which at most ``short_share`` of the steps are short.

    Known only afterwards: it makes models comparable at equal violations. A factor of one means that the
    planned quantile kept its word. Parameters as in `provision`; `ValueError` for a share outside [0, 1).

    >>> provision_at([90.0, 210.0], [110.0, 180.0], 100.0, short_share=0.0).replicas.tolist()
    [2, 3]
    """
    came, wanted = np.asarray(demand, dtype=float), np.asarray(planned, dtype=float)
    provision(came, wanted, replica_rate)
    if not 0.0 <= short_share < 1.0 or (wanted <= 0).any():
        raise ValueError(f"need 0 <= short_share < 1 and a positive plan, got {short_share}")
    # a step is short until ceil(factor * planned / rate) reaches ceil(demand / rate)
    needed = np.ceil(came / replica_rate)
    enough = np.where(needed > 1, (needed - 1) * replica_rate / wanted, 0.0)
    allowed = int(short_share * came.size + 1e-9)
    factor = float(np.nextafter(np.sort(enough)[::-1][allowed], np.inf)) * (1 + 1e-12)
    bought = provision(came, factor * wanted, replica_rate)
    return Provision(bought.replicas, bought.short, factor)
