"""Total cost of ownership (TCO, 总拥有成本): the cheapest fleet for a demand, and owning against renting."""

from capkit.tco.fleet import Fleet, InfeasibleError, optimize
from capkit.tco.formulation import PURCHASES
from capkit.tco.ownership import net_present_cost, power_cost_usd_h
from capkit.tco.solvers import SolverLimitError, installed_solvers, quiet

__all__ = [
    "PURCHASES", "Fleet", "InfeasibleError", "SolverLimitError", "installed_solvers", "net_present_cost",
    "optimize", "power_cost_usd_h", "quiet",
]  # fmt: skip
