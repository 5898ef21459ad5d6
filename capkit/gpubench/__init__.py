"""The device benchmark: two networks trained and run on a GPU, with the device's ceilings beside them."""

from capkit.gpubench.choice import choose_backend, gpu_of
from capkit.gpubench.command import SCHEMA, benchmark, main
from capkit.gpubench.prices import price_accelerators, rate_within, usd_per_million
from capkit.gpubench.records import (
    ACCELERATORS,
    NOT_MEASURED,
    beside,
    committed,
    label,
    limits,
    loads,
    of_device,
    read,
    service_times,
)

__all__ = [
    "ACCELERATORS",
    "NOT_MEASURED",
    "SCHEMA",
    "benchmark",
    "beside",
    "choose_backend",
    "committed",
    "gpu_of",
    "label",
    "limits",
    "loads",
    "main",
    "of_device",
    "price_accelerators",
    "rate_within",
    "read",
    "service_times",
    "usd_per_million",
]
