"""What a request log says: rate, peaks, bursts, cycles, sizes, tenants; and logs like it, drawn anew."""

from capkit.workload.cycle import cycle_strength, minute_factors, trend
from capkit.workload.describe import characterize, characterize_stream, from_counts
from capkit.workload.generators import (
    BlockBootstrap,
    MarkovModulated,
    MovingRate,
    check_generator,
)
from capkit.workload.log import Workload
from capkit.workload.silences import cut_silences, silences
from capkit.workload.sizes import fit_sizes, size_bins, size_load_correlation
from capkit.workload.tenants import tenant_counts, tenant_shares

__all__ = [
    "BlockBootstrap", "MarkovModulated", "MovingRate", "Workload", "characterize", "characterize_stream",
    "check_generator", "cut_silences", "cycle_strength", "fit_sizes", "from_counts", "minute_factors",
    "silences", "size_bins", "size_load_correlation", "tenant_counts", "tenant_shares", "trend",
]  # fmt: skip
