"""Own or rent: what a machine costs over its years, in money of today."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Ownership:
    """A machine of one's own, with all that it costs beside its price.

    >>> server = Ownership(10_000.0, power_w=400.0, pue=1.4, electricity_usd_kwh=0.12, space_usd_month=40.0)
    >>> round(server.usd_h(years=4, discount_rate=0.08), 3)
    0.406
    >>> round(server.break_even_utilization(1.0, years=4, discount_rate=0.08), 3)
    0.406
    """

    purchase_usd: float
    depreciation: float = 0.3
    """Share of its worth that the machine loses in a year (折旧): what is left is its residual value (残值)."""
    power_w: float = 0.0
    """Mean power."""
    pue: float = 1.0
    electricity_usd_kwh: float = 0.0
    space_usd_month: float = 0.0
    staff_usd_year: float = 0.0
    """What the people who look after it cost, for this machine."""
    network_usd_month: float = 0.0
    storage_usd_month: float = 0.0

    def __post_init__(self) -> None:
        _check(**vars(self))
        if self.depreciation > 1.0:
            raise ValueError(f"depreciation is a share between 0 and 1, got {self.depreciation}")

    @property
    def running_usd_h(self) -> float:
        """Power and cooling, space, staff, network and storage in every hour."""
        power = power_cost_usd_h(
            self.power_w, pue=self.pue, electricity_usd_kwh=self.electricity_usd_kwh
        )
        monthly = self.space_usd_month + self.network_usd_month + self.storage_usd_month
        return power + (12.0 * monthly + self.staff_usd_year) / HOURS_A_YEAR

    def residual_usd(self, years: int) -> float:
        """What the machine sells for after so many years."""
        return self.purchase_usd * (1.0 - self.depreciation) ** years

    def net_present_cost(self, *, years: int, discount_rate: float) -> float:
        """Net present cost over ``years`` in USD of today; ValueError as in `net_present_cost`."""
        return net_present_cost(
            years=years,
            discount_rate=discount_rate,
            purchase_usd=self.purchase_usd,
            usd_h=self.running_usd_h,
            residual_usd=self.residual_usd(years),
        )

    def usd_h(self, *, years: int, discount_rate: float) -> float:
        """The rent that has the same net present cost: the price ``owned_usd_h`` for `optimize`."""
        cost = self.net_present_cost(years=years, discount_rate=discount_rate)
        return cost / net_present_cost(years=years, discount_rate=discount_rate, usd_h=1.0)

    def break_even_utilization(
        self, rent_usd_h: float, *, years: int, discount_rate: float, egress_usd_h: float = 0.0
    ) -> float:
        """Share of all hours in use from which on owning is cheaper than renting for those hours only.

        ``egress_usd_h`` is what the cloud adds for traffic and storage in an hour of use. Above 1: owning
        never wins. ValueError if nothing is charged for renting.
        """
        _check(rent_usd_h=rent_usd_h, egress_usd_h=egress_usd_h)
        if not rent_usd_h + egress_usd_h > 0.0:
            raise ValueError(
                "a rented machine that costs nothing never loses; give its rent in USD/h"
            )
        return self.usd_h(years=years, discount_rate=discount_rate) / (rent_usd_h + egress_usd_h)
