"""What comes at a system: its data, its model by counting, its requests; and logs like it, drawn anew."""

from capkit.workload.capacity import servers_needed
from capkit.workload.cycle import cycle_strength, minute_factors, trend
from capkit.workload.describe import characterize, characterize_stream, from_counts
from capkit.workload.formats import IDX, NPZ, PNG, Format, compare_formats, tfrecord
from capkit.workload.generators import (
    BlockBootstrap,
    MarkovModulated,
    MovingRate,
    check_generator,
)
from capkit.workload.locality import compare_places
from capkit.workload.log import Workload
from capkit.workload.roofline import Roofline, best_seconds, peak_bytes
from capkit.workload.silences import cut_silences, silences
from capkit.workload.sizes import fit_sizes, size_bins, size_load_correlation
from capkit.workload.tenants import tenant_counts, tenant_shares
from capkit.workload.volume import stored_bytes

__all__ = [
    "IDX", "NPZ", "PNG", "BlockBootstrap", "Format", "MarkovModulated", "MovingRate", "Roofline",
    "Workload", "best_seconds", "characterize", "characterize_stream", "check_generator",
    "compare_formats", "compare_places", "cut_silences", "cycle_strength", "fit_sizes", "from_counts",
    "minute_factors", "peak_bytes", "servers_needed", "silences", "size_bins", "size_load_correlation", "stored_bytes",
    "tenant_counts", "tenant_shares", "tfrecord", "trend",
]  # fmt: skip
