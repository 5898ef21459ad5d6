"""What the gRPC and the REST front have in common: one model, its slots, its batch queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from capkit.serving import api
from capkit.serving.batching import Batching, BatchScheduler, Task
from capkit.serving.device import Device, Executor
from capkit.serving.errors import ServingError
from capkit.serving.metrics import LATENCY, QUEUING, SIZES, Metrics
from capkit.serving.model import Arrays, Model, read_inputs, select_outputs

POOL = "model_server_batch_threads"
FOREVER = float("inf")
T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """How a request spent its time in the server, in seconds, and the batch that it was in."""

    wait_s: float
    service_s: float
    batch: int


class ServingCore:
    """Answers requests for one model.

    Parameters
    ----------
    model : Model
        The loaded model.
    batching : Batching, optional
        Micro-batching; without it each request is executed alone.
    device : Device, optional
        Emulated device; without it the real execution, one at a time.
    """

    def __init__(self, model: Model, batching: Batching | None, device: Device | None) -> None:
        self.model = model
        self.metrics = Metrics()
        self._executor = Executor(device)
        self._scheduler = BatchScheduler(batching, self._run_batch) if batching else None

    def stop(self) -> None:
        """Finish what is queued."""
        if self._scheduler:
            self._scheduler.stop()

    def find(self, spec: Any) -> None:
        """Refuse a request for a model or version that is not the one served."""
        if not spec.name:
            raise ServingError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label" and spec.name == self.model.name:
            raise ServingError(
                "INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label}"
            )
        specific = choice == "version"
        if spec.name != self.model.name or (specific and spec.version.value != self.model.version):
            asked = f"Specific({spec.name}, {spec.version.value})" if specific else ""
            asked = asked or f"Latest({spec.name})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")

    def predict(self, data: bytes, *, deadline: float = FOREVER) -> tuple[bytes, Timing]:
        """Answer a serialised ``PredictRequest`` with a serialised ``PredictResponse``.

        Without batching the slot is held from reading the message to writing the answer: all of that
        is work that the next request has to wait for.
        """
        if self._scheduler:
            name, inputs, outputs = self._prepare(_parse(data))
            results, timing = self.run(name, inputs, outputs, deadline=deadline)
            return self._answer(name, outputs, results), timing

        def work() -> tuple[bytes, int]:
            name, inputs, outputs = self._prepare(_parse(data))
            results = self.model.run(name, inputs, outputs)
            return self._answer(name, outputs, results), _examples(inputs)

        return self._in_slot(work, deadline)

    def run(
        self, name: str, inputs: Arrays, outputs: tuple[str, ...], *, deadline: float = FOREVER
    ) -> tuple[list[Any], Timing]:
        """Execute checked inputs, in a batch with others where batching is on."""
        if self._scheduler is None:
            return self._in_slot(
                lambda: (self.model.run(name, inputs, outputs), _examples(inputs)), deadline
            )
        task = Task((name, inputs, outputs), _examples(inputs), deadline)
        self._scheduler.submit(task)
        task.done.wait()
        if task.error is not None:
            raise task.error
        self._observe_run(task.finished - task.enqueued)
        wait_s, service_s = task.started - task.enqueued, task.finished - task.started
        return task.result, Timing(wait_s, service_s, task.batch_examples)

    def _in_slot(self, work: Callable[[], tuple[T, int]], deadline: float) -> tuple[T, Timing]:
        """Do ``work``, which gives a result and its number of examples, in an executor slot."""
        arrived = time.perf_counter()
        started = self._executor.slots.acquire()
        try:
            if deadline < time.monotonic():
                raise ServingError("DEADLINE_EXCEEDED", "Deadline Exceeded")
            result, examples = work()
            self._executor.pad(started, examples)
        finally:
            ended = self._executor.slots.release()
        self._observe_run(ended - started)
        return result, Timing(started - arrived, ended - started, 1)

    def _observe_run(self, seconds: float) -> None:
        labels = {"model_name": self.model.name, "API": "Predict", "runtime": "TF1"}
        name = ":tensorflow:serving:runtime_latency"
        self.metrics.observe(name, seconds * 1e6, LATENCY, **labels)

    def _prepare(self, request: Any) -> tuple[str, Arrays, tuple[str, ...]]:
        self.find(request.model_spec)
        name, signature = self.model.signature(request.model_spec.signature_name)
        inputs = read_inputs(signature, request.inputs)
        return name, inputs, select_outputs(signature, request.output_filter)

    def _answer(self, name: str, outputs: tuple[str, ...], results: Iterable[Any]) -> bytes:
        response = api.predict_pb2.PredictResponse()
        response.model_spec.name = self.model.name
        response.model_spec.version.value = self.model.version
        response.model_spec.signature_name = name
        for alias, array in zip(outputs, results, strict=True):
            response.outputs[alias].CopyFrom(api.to_proto(array, raw=False))
        data: bytes = response.SerializeToString()
        return data

    def _run_batch(self, batch: list[Task]) -> None:
        """Execute one batch: tasks of the same signature and outputs together, in one slot."""
        groups: dict[tuple[str, tuple[str, ...]], list[Task]] = {}
        for task in batch:
            groups.setdefault((task.payload[0], task.payload[2]), []).append(task)
        for (name, outputs), tasks in groups.items():
            self._run_group(name, outputs, tasks)

    def _run_group(self, name: str, outputs: tuple[str, ...], tasks: list[Task]) -> None:
        assert self._scheduler is not None
        examples = sum(task.examples for task in tasks)
        padded = self._scheduler.parameters.padded(examples)
        inputs = {
            alias: _stack([task.payload[1][alias] for task in tasks], padded - examples)
            for alias in tasks[0].payload[1]
        }
        self._executor.slots.acquire()
        started = time.monotonic()
        try:
            clock = time.perf_counter()
            results = self.model.run(name, inputs, outputs)
            self._executor.pad(clock, padded)
        finally:
            self._executor.slots.release()
        finished = time.monotonic()
        start = 0
        for task in tasks:
            end = start + task.examples
            task.result = [array[start:end] for array in results]
            task.started, task.finished, task.batch_examples = started, finished, examples
            start = end
            waited = (started - task.enqueued) * 1e6
            self._observe_batch("queuing_latency", waited, QUEUING)
            self._observe_batch("input_batch_size", task.examples, SIZES)
        self._observe_batch("processed_batch_size", padded, SIZES)
        self._observe_batch(
            "padding_size", padded - examples, SIZES, execution_batch_size=str(padded)
        )
        self.metrics.count(":tensorflow:serving:batching_session:wrapped_run_count")

    def _observe_batch(
        self, name: str, value: float, limits: tuple[float, ...], **labels: str
    ) -> None:
        labels = labels or {"thread_pool_name": POOL}
        self.metrics.observe(
            f":tensorflow:serving:batching_session:{name}", value, limits, **labels
        )

    def status(self, name: str, version: int | None) -> Any:
        """A ``GetModelStatusResponse``."""
        if name != self.model.name or version not in (None, self.model.version):
            sought = "any versions" if version is None else f"version {version}"
            raise ServingError("NOT_FOUND", f"Could not find {sought} of model {name}")
        response = api.get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=self.model.version, state=30)
        return response

    def metadata(self, request: Any) -> Any:
        """A ``GetModelMetadataResponse``: the signatures."""
        if not request.HasField("model_spec"):
            raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
        if not request.metadata_field:
            raise ServingError(
                "INVALID_ARGUMENT",
                "GetModelMetadataRequest must specify at least one metadata_field",
            )
        for field in request.metadata_field:
            if field != "signature_def":
                raise ServingError("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        self.find(request.model_spec)
        response = api.get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self.model.name
        response.model_spec.version.value = self.model.version
        response.metadata["signature_def"].Pack(self.signature_map())
        return response

    def signature_map(self) -> Any:
        """A ``SignatureDefMap`` of all signatures."""
        signatures = api.get_model_metadata_pb2.SignatureDefMap()
        for name, definition in self.model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(definition)
        return signatures


def _parse(data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return api.predict_pb2.PredictRequest.FromString(data)
    except DecodeError:
        raise ServingError("INTERNAL", "Error parsing request") from None


def _examples(inputs: Mapping[str, Any]) -> int:
    first = next(iter(inputs.values()))
    return int(first.shape[0]) if first.ndim else 1


def _stack(arrays: list[Any], padding: int) -> Any:
    if padding:
        arrays = [*arrays, np.repeat(arrays[-1][:1], padding, axis=0)]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
