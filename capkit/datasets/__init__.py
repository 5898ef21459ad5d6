"""The tables that ship, one loader a table, and the originals for whoever wants them."""

from capkit.datasets.classics import load_classic
from capkit.datasets.files import checksums, data_dir, project_root, verify
from capkit.datasets.logs import RequestLog, arrival_times, read_log, stream_log
from capkit.datasets.mnist import load_mnist
from capkit.datasets.originals import ORIGINALS, fetch
from capkit.datasets.own import load_catalogue, load_demand
from capkit.datasets.tables import (
    gap_moments,
    load_arrivals,
    load_asg_cpu,
    load_fine_counts,
    load_gap_quantiles,
    load_llm_latency,
    load_mlperf_resnet50,
    load_servegen,
    load_token_histogram,
)

__all__ = [
    "ORIGINALS",
    "RequestLog",
    "arrival_times",
    "checksums",
    "data_dir",
    "fetch",
    "gap_moments",
    "load_arrivals",
    "load_asg_cpu",
    "load_catalogue",
    "load_classic",
    "load_demand",
    "load_fine_counts",
    "load_gap_quantiles",
    "load_llm_latency",
    "load_mlperf_resnet50",
    "load_mnist",
    "load_servegen",
    "load_token_histogram",
    "project_root",
    "read_log",
    "stream_log",
    "verify",
]
