"""What a request log says: rate, peaks, bursts, cycles, and whether the arrivals are Poisson."""

from capkit.workload.cycle import cycle_strength, minute_factors
from capkit.workload.log import Workload, characterize, from_counts

__all__ = ["Workload", "characterize", "cycle_strength", "from_counts", "minute_factors"]
