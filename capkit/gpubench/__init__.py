"""The device benchmark: two networks trained and run on a GPU, with the device's ceilings beside them."""

from capkit.gpubench.backends import choose_backend, gpu_of
from capkit.gpubench.command import SCHEMA, benchmark, main

__all__ = ["SCHEMA", "benchmark", "choose_backend", "gpu_of", "main"]
