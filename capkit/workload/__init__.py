"""What a request log says: rate, peaks, bursts, cycles, and whether the arrivals are Poisson."""

from capkit.workload.cycle import cycle_strength, minute_factors
from capkit.workload.describe import characterize, characterize_stream, from_counts
from capkit.workload.log import Workload

__all__ = [
    "Workload", "characterize", "characterize_stream", "cycle_strength", "from_counts", "minute_factors",
]  # fmt: skip
