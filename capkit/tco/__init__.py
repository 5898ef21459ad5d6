"""Total cost of ownership (TCO, 总拥有成本): the cheapest fleet for a demand, and owning against renting."""

from capkit.tco.explanation import (
    Explanation,
    alternatives,
    demand_range,
    left_out,
    price_ranges,
    shadow_prices,
)
from capkit.tco.fleet import Fleet, InfeasibleError, optimize
from capkit.tco.inputs import PURCHASES
from capkit.tco.ownership import Ownership, net_present_cost, power_cost_usd_h
from capkit.tco.slo import carried_at_slo
from capkit.tco.solvers import SolverLimitError, installed_solvers, quiet

__all__ = [
    "PURCHASES", "Explanation", "Fleet", "InfeasibleError", "Ownership", "SolverLimitError", "alternatives",
    "carried_at_slo", "demand_range", "installed_solvers", "left_out", "net_present_cost", "optimize",
    "power_cost_usd_h", "price_ranges", "quiet", "shadow_prices",
]  # fmt: skip
