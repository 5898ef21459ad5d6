"""Own or rent: what a machine costs over its years, in money of today."""

from __future__ import annotations

import math

HOURS_A_YEAR = 8760.0


def _check(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0.0):
            raise ValueError(f"{name} must be finite and not negative, got {value}")


def power_cost_usd_h(power_w: float, *, pue: float, electricity_usd_kwh: float) -> float:
    """Electricity of a machine and of its cooling, USD/h: power x PUE x price.

    ``power_w`` is the machine's mean power in watts, ``pue`` the power usage effectiveness (电能利用效率: the
    site's power over that of its machines, at least 1). A ValueError refuses what cannot be.

    >>> power_cost_usd_h(1000.0, pue=1.5, electricity_usd_kwh=0.10)
    0.15
    """
    _check(power_w=power_w, pue=pue, electricity_usd_kwh=electricity_usd_kwh)
    if pue < 1.0:
        raise ValueError(f"pue is the site's power over the machines' power, at least 1; got {pue}")
    return round(power_w / 1000.0 * pue * electricity_usd_kwh, 12)


def net_present_cost(
    *,
    years: int,
    discount_rate: float,
    purchase_usd: float = 0.0,
    usd_h: float = 0.0,
    residual_usd: float = 0.0,
) -> float:
    """Net present cost (净现值成本) in USD of today: the purchase, the running cost, less the residual value.

    Parameters
    ----------
    years : int
        How long the machine is kept.
    discount_rate : float
        Yearly rate at which later money is worth less (0.08 for 8 %).
    purchase_usd, residual_usd : float
        Paid at the start (0 for a rented machine), and what the machine sells for after the last year.
    usd_h : float
        Running cost (rent, or power, space and staff) in every hour; each year's sum is paid at its end.

    Raises
    ------
    ValueError
        A value is negative or not finite, or ``years`` is below 1.

    One USD/h for three years at 10 % is worth the annuity factor 2.486852 times 8,760 USD:

    >>> round(net_present_cost(years=3, discount_rate=0.10, usd_h=1.0), 2)
    21784.82
    """
    _check(
        discount_rate=discount_rate,
        purchase_usd=purchase_usd,
        usd_h=usd_h,
        residual_usd=residual_usd,
    )
    if years < 1:
        raise ValueError(f"years must be at least 1, got {years}")
    worth = [(1.0 + discount_rate) ** -year for year in range(1, years + 1)]
    return purchase_usd + usd_h * HOURS_A_YEAR * sum(worth) - residual_usd * worth[-1]
