"""What the gRPC and the REST front have in common: one model, its executor, its batch queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from capkit.serving import api
from capkit.serving.batching import Batching, BatchScheduler, Task
from capkit.serving.device import Device
from capkit.serving.executor import Executor
from capkit.serving.metrics import LATENCY, QUEUING, SIZES, Metrics, ServingError
from capkit.serving.model import Arrays, Model, Signature, read_inputs, refuse, select_outputs

PREFIX = ":tensorflow:serving:"
EXHAUSTED = "Server Threadpool Exhausted"
FOREVER = float("inf")
T = TypeVar("T")


class Timing(NamedTuple):
    """How long a request waited and was executed, and the examples in its batch."""

    wait_s: float
    service_s: float
    batch: int


class ServingCore:
    """Answers requests for one model, with micro-batching or on an emulated device where given.

    Without batching `executor` takes ``max_threads`` calls at once; with it the queue of batches is the bound.
    """

    def __init__(
        self, model: Model, batching: Batching | None, device: Device | None, max_threads: int
    ) -> None:
        self.model = model
        self.metrics = Metrics()
        self.executor = Executor(device, batching.num_batch_threads if batching else max_threads)
        self.batching = batching is not None
        self._specs: dict[str, bytes] = {}
        self._scheduler = BatchScheduler(batching, self._run_batch) if batching else None

    def stop(self) -> None:
        """Finish what is queued."""
        if self._scheduler:
            self._scheduler.stop()

    def find(self, spec: Any) -> None:
        """Refuse a request for a model or version that is not the one served."""
        if not spec.name:
            raise refuse("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            raise refuse(f"Unrecognized servable version label: {spec.version_label}")
        specific = choice == "version"
        if spec.name != self.model.name or (specific and spec.version.value != self.model.version):
            asked = f"Specific({spec.name}, {spec.version.value})" if specific else ""
            asked = asked or f"Latest({spec.name})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")

    def signature(self, name: str) -> tuple[str, Signature]:
        """A signature by its name; empty means ``serving_default``."""
        name = name or "serving_default"
        if name not in self.model.signatures:
            raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return name, self.model.signatures[name]

    def predict(self, data: bytes, *, deadline: float = FOREVER) -> tuple[bytes, Timing]:
        """Answer a serialised ``PredictRequest`` with a serialised ``PredictResponse``.

        Without batching the slot is held from reading the message to writing the answer: all of that
        is work that the next request has to wait for.
        """
        if self._scheduler:
            name, inputs, outputs = self._prepare(data)
            results, timing = self.run(name, inputs, outputs, deadline=deadline)
            return self._answer(name, outputs, results), timing

        def work() -> tuple[bytes, int]:
            name, inputs, outputs = self._prepare(data)
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
        self._observe_batch("input_batch_size", task.examples, SIZES)
        self._scheduler.submit(task)
        task.done.wait()
        if task.error is not None:
            raise task.error
        self._observe_run(task.finished - task.enqueued)
        wait_s, service_s = task.started - task.enqueued, task.finished - task.started
        return task.result, Timing(wait_s, service_s, task.batch_examples)

    def _in_slot(self, work: Callable[[], tuple[T, int]], deadline: float) -> tuple[T, Timing]:
        """Do ``work``, which gives a result and its number of examples, in an executor slot."""
        place = self.executor.place
        if place is None:
            return self.executor.call(self._in_slot, work, deadline)
        if place.refused:
            raise ServingError("RESOURCE_EXHAUSTED", EXHAUSTED)
        try:
            if deadline < time.monotonic():
                raise ServingError("DEADLINE_EXCEEDED", "Deadline Exceeded")
            result, examples = work()
            self.executor.pad(place.started, examples)
        finally:
            ended = self.executor.release()
        self._observe_run(ended - place.started)
        return result, Timing(place.started - place.arrived, ended - place.started, 1)

    def _observe_run(self, seconds: float) -> None:
        labels = {"model_name": self.model.name, "API": "Predict", "runtime": "TF1"}
        self.metrics.observe(PREFIX + "runtime_latency", seconds * 1e6, LATENCY, **labels)

    def observe_request(self, seconds: float, api_name: str, entrypoint: str) -> None:
        """Note how long a good answer took."""
        labels = {"model_name": self.model.name, "API": api_name, "entrypoint": entrypoint}
        self.metrics.observe(PREFIX + "request_latency", seconds * 1e6, LATENCY, **labels)

    def _prepare(self, data: bytes) -> tuple[str, Arrays, tuple[str, ...]]:
        try:
            request = api.predict_pb2.PredictRequest.FromString(data)
        except DecodeError:
            raise ServingError("INTERNAL", "Error parsing request") from None
        self.find(spec_of(request))
        name, signature = self.signature(request.model_spec.signature_name)
        inputs = read_inputs(signature, request.inputs)
        return name, inputs, select_outputs(signature, request.output_filter)

    def _answer(self, name: str, outputs: tuple[str, ...], results: Iterable[Any]) -> bytes:
        """A serialised ``PredictResponse``; serialised messages that are joined are read as one."""
        if name not in self._specs:
            spec = api.predict_pb2.PredictResponse()
            spec.model_spec.name = self.model.name
            spec.model_spec.version.value = self.model.version
            spec.model_spec.signature_name = name
            self._specs[name] = spec.SerializeToString()
        response = api.predict_pb2.PredictResponse()
        for alias, array in zip(outputs, results, strict=True):
            response.outputs[alias].CopyFrom(api.to_proto(array, raw=False))
        return self._specs[name] + bytes(response.SerializeToString())

    def _run_batch(self, batch: list[Task]) -> None:
        """Execute a batch: the tasks of each signature and choice of outputs together, in one slot."""
        groups: dict[tuple[str, tuple[str, ...]], list[Task]] = {}
        for task in batch:
            groups.setdefault((task.payload[0], task.payload[2]), []).append(task)
        for (name, outputs), tasks in groups.items():
            self.executor.call(self._run_group, name, outputs, tasks)

    def _run_group(self, name: str, outputs: tuple[str, ...], tasks: list[Task]) -> None:
        assert self._scheduler is not None
        examples = sum(task.examples for task in tasks)
        padded = self._scheduler.parameters.padded(examples)
        inputs = {
            alias: _stack([task.payload[1][alias] for task in tasks], padded - examples)
            for alias in tasks[0].payload[1]
        }
        place = self.executor.place
        assert place is not None
        results = self.model.run(name, inputs, outputs)
        self.executor.pad(place.started, padded)
        started, finished = place.started, self.executor.release()
        start = 0
        for task in tasks:
            task.result = [array[start : start + task.examples] for array in results]
            task.started, task.finished, task.batch_examples = started, finished, examples
            start += task.examples
            waited_us = (started - task.enqueued) * 1e6
            self._observe_batch("queuing_latency", waited_us, QUEUING, thread_pool_name="")
        self._observe_batch("processed_batch_size", padded, SIZES)
        padding = padded - examples
        self._observe_batch("padding_size", padding, SIZES, execution_batch_size=str(padded))
        self.metrics.count(PREFIX + "batching_session:wrapped_run_count")

    def _observe_batch(self, name: str, value: float, limits: Any, **labels: str) -> None:
        self.metrics.observe(f"{PREFIX}batching_session:{name}", value, limits, **labels)

    def status(self, request: Any) -> Any:
        """A ``GetModelStatusResponse``; a version label is ignored."""
        spec = spec_of(request)
        version = spec.version.value if spec.HasField("version") else None
        if spec.name != self.model.name or version not in (None, self.model.version):
            sought = "any versions" if version is None else f"version {version}"
            raise ServingError("NOT_FOUND", f"Could not find {sought} of model {spec.name}")
        response = api.get_model_status_pb2.GetModelStatusResponse()
        version_status = response.model_version_status.add(version=self.model.version, state=30)
        version_status.status.SetInParent()
        return response

    def metadata(self, request: Any) -> Any:
        """A ``GetModelMetadataResponse``: the signatures."""
        spec = spec_of(request)
        if not request.metadata_field:
            raise refuse("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise refuse(f"Metadata field {field} is not supported")
        self.find(spec)
        response = api.get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self.model.name
        response.model_spec.version.value = self.model.version
        response.metadata["signature_def"].Pack(self.signature_map())
        return response

    def signature_map(self) -> Any:
        """A ``SignatureDefMap`` of all signatures."""
        signatures = api.get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature.definition)
        return signatures


def spec_of(request: Any) -> Any:
    """The ``ModelSpec`` of a request of any kind; without one it is refused."""
    if not request.HasField("model_spec"):
        raise refuse("Missing ModelSpec")
    return request.model_spec


def _examples(inputs: Arrays) -> int:
    first = next(iter(inputs.values()))
    return int(first.shape[0]) if first.ndim else 1


def _stack(arrays: list[Any], padding: int) -> Any:
    arrays = [*arrays, *[arrays[-1][:1]] * padding]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
