"""The back ends of Keras: how each compiles, copies and waits.

A call of a GPU returns before the GPU has finished. So whoever times one waits for its result: in JAX with
``block_until_ready``, in PyTorch with ``cuda.synchronize``, in TensorFlow with ``sync_devices``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from capkit.training import import_tensorflow

MIB = 2**20


class Backend(Protocol):
    """What a back end does for the benchmark; tensors stay on its device until `get`."""

    execution: str
    """How it runs a network."""

    gpu: bool
    """Whether it runs it on a GPU."""

    def put(self, array: NDArray[Any]) -> Any:
        """Copy an array to the device, and wait until it is there."""

    def get(self, tensor: Any) -> NDArray[Any]:
        """Copy a tensor to the host."""

    def wait(self, results: Any) -> None:
        """Return when all that led to ``results`` (a list of them too) is computed."""

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of tensors, as this back end runs one."""

    def inference(self, model: Any, images: Any) -> Callable[[Any], Any]:
        """The forward pass for batches like ``images``."""

    def training(self, model: Any, images: Any, labels: Any) -> Callable[[Any, Any], Any]:
        """A step of Keras' own training for such batches; returns ``{"loss": ..., ...}``."""

    def memory_mib(self) -> float | None:
        """Device memory of the call made last with the two above at its peak; None: not counted."""


class TensorFlow:
    """Graphs of TensorFlow's kernels, as TensorFlow Serving runs them."""

    execution = "a graph, kernel by kernel"

    def __init__(self) -> None:
        self._tf = import_tensorflow()
        self.gpu = bool(self._tf.config.list_physical_devices("GPU"))

    def put(self, array: NDArray[Any]) -> Any:
        tensor = self._tf.constant(array)
        self.wait(tensor)
        return tensor

    def get(self, tensor: Any) -> NDArray[Any]:
        return np.asarray(tensor)

    def wait(self, results: Any) -> None:
        self._tf.test.experimental.sync_devices()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = self._tf.function(function)
        return compiled

    def _reset_peak(self) -> None:
        if self.gpu:
            self._tf.config.experimental.reset_memory_stats("GPU:0")

    def inference(self, model: Any, images: Any) -> Callable[[Any], Any]:
        self._reset_peak()
        return self.compile(lambda batch: model(batch, training=False))

    def training(self, model: Any, images: Any, labels: Any) -> Callable[[Any, Any], Any]:
        model.optimizer.build(model.trainable_variables)
        self._reset_peak()
        return self.compile(lambda batch, digits: model.train_step((batch, digits)))

    def memory_mib(self) -> float | None:
        if not self.gpu:
            return None
        return float(self._tf.config.experimental.get_memory_info("GPU:0")["peak"]) / MIB


class Jax:
    """One program a network and batch size, compiled by XLA; the compiler counts its memory."""

    execution = "compiled by XLA"

    def __init__(self) -> None:
        self._jax = import_module("jax")
        self.gpu = self._jax.devices()[0].platform == "gpu"
        self._program: Any = None

    def put(self, array: NDArray[Any]) -> Any:
        return self._jax.block_until_ready(self._jax.device_put(array))

    def get(self, tensor: Any) -> NDArray[Any]:
        return np.asarray(tensor)

    def wait(self, results: Any) -> None:
        self._jax.block_until_ready(results)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = self._jax.jit(function)
        return compiled

    def inference(self, model: Any, images: Any) -> Callable[[Any], Any]:
        weights = [variable.value for variable in model.trainable_variables]

        def forward(trainable: Any, batch: Any) -> Any:
            return model.stateless_call(trainable, [], batch, training=False)[0]

        program = self._program = self._jax.jit(forward).lower(weights, images).compile()
        return lambda batch: program(weights, batch)

    def training(self, model: Any, images: Any, labels: Any) -> Callable[[Any, Any], Any]:
        model.optimizer.build(model.trainable_variables)
        model._symbolic_build(data_batch=(images, labels))
        kinds = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        state = [[self._jax.numpy.array(v.value, copy=True) for v in kind] for kind in kinds]
        step = self._jax.jit(model.train_step, donate_argnums=0)
        program = self._program = step.lower(tuple(state), (images, labels)).compile()
        held = [tuple(state)]

        def train(batch: Any, digits: Any) -> Any:
            logs, held[0] = program(held[0], (batch, digits))
            return logs

        return train

    def memory_mib(self) -> float | None:
        sizes = self._program.memory_analysis() if self.gpu else None
        if sizes is None:
            return None
        total = (
            sizes.argument_size_in_bytes
            + sizes.output_size_in_bytes
            - sizes.alias_size_in_bytes
            + sizes.temp_size_in_bytes
        )
        return float(total) / MIB


class Torch:
    """PyTorch without its compiler: Python starts each operation."""

    execution = "operation by operation"

    def __init__(self) -> None:
        self._torch = import_module("torch")
        self._cuda = self._torch.cuda
        self.gpu = bool(self._cuda.is_available())
        self._device = "cuda" if self.gpu else "cpu"

    def put(self, array: NDArray[Any]) -> Any:
        tensor = self._torch.from_numpy(array).to(self._device)
        self.wait(tensor)
        return tensor

    def get(self, tensor: Any) -> NDArray[Any]:
        values: NDArray[Any] = tensor.detach().float().cpu().numpy()
        return values

    def wait(self, results: Any) -> None:
        if self.gpu:
            self._cuda.synchronize()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*tensors: Any) -> Any:
            with self._torch.no_grad():
                return function(*tensors)

        return run

    def _reset_peak(self) -> None:
        if self.gpu:
            self._cuda.reset_peak_memory_stats()

    def inference(self, model: Any, images: Any) -> Callable[[Any], Any]:
        self._reset_peak()
        return self.compile(lambda batch: model(batch, training=False))

    def training(self, model: Any, images: Any, labels: Any) -> Callable[[Any, Any], Any]:
        model.optimizer.build(model.trainable_variables)
        model._symbolic_build(data_batch=(images, labels))
        self._reset_peak()
        return lambda batch, digits: model.train_step((batch, digits))

    def memory_mib(self) -> float | None:
        return float(self._cuda.max_memory_allocated()) / MIB if self.gpu else None


CLASSES: dict[str, Callable[[], Backend]] = {
    "tensorflow": TensorFlow,
    "jax": Jax,
    "torch": Torch,
}


def start(backend: str) -> Backend:
    """Make Keras use a back end, and start that; only once in a process."""
    os.environ["KERAS_BACKEND"] = backend
    return CLASSES[backend]()
