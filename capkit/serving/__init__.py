"""Serve a SavedModel through TensorFlow Serving's API, ask it, and describe what it can do."""

from capkit.serving.batching import Batching
from capkit.serving.command import main
from capkit.serving.configurations import measure_configurations
from capkit.serving.device import Device
from capkit.serving.launch import Server, attach, serve
from capkit.serving.profile import BatchLine, ServiceProfile, fit_batches

__all__ = [
    "BatchLine",
    "Batching",
    "Device",
    "Server",
    "ServiceProfile",
    "attach",
    "fit_batches",
    "main",
    "measure_configurations",
    "serve",
]
