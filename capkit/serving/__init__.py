"""Serve a SavedModel through TensorFlow Serving's API, ask it, and describe what it can do."""

from capkit.serving.batching import Batching
from capkit.serving.command import main
from capkit.serving.configurations import measure_configurations
from capkit.serving.device import Device
from capkit.serving.launch import Server, attach, serve
from capkit.serving.metrics import Monitoring
from capkit.serving.profile import BatchLine, ServiceProfile, fit_batches
from capkit.serving.variants import export_variants, measure_variants

__all__ = [
    "BatchLine",
    "Batching",
    "Device",
    "Monitoring",
    "Server",
    "ServiceProfile",
    "attach",
    "export_variants",
    "fit_batches",
    "main",
    "measure_configurations",
    "measure_variants",
    "serve",
]
