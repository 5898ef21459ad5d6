"""The embedded stand-in: a server process that speaks TensorFlow Serving's API."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from capkit.serving import api
from capkit.serving.batching import Batching
from capkit.serving.core import EXHAUSTED, FOREVER, PREFIX, ServingCore
from capkit.serving.device import Device
from capkit.serving.executor import SPARE, Executor
from capkit.serving.metrics import Monitoring, ServingError
from capkit.serving.model import Model
from capkit.serving.rest import RestServer

TIMING_KEY = "capkit-timing"
GRACE_S = 10.0
OPTIONS = (
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.so_reuseport", 0),
    ("grpc.server.max_pending_requests", 10**6),
    ("grpc.server.max_pending_requests_hard_limit", 10**6),
)


class GrpcFront:
    """The gRPC services of a core; more than ``max_threads`` calls at once are RESOURCE_EXHAUSTED."""

    def __init__(self, core: ServingCore, max_threads: int) -> None:
        self._core = core
        self._free = max_threads
        self._lock = Lock()
        self.server = grpc.server(ThreadPoolExecutor(max_threads + SPARE), options=OPTIONS)
        metadata = api.get_model_metadata_pb2.GetModelMetadataRequest
        status = api.get_model_status_pb2.GetModelStatusRequest
        unknown = self._method(self._unimplemented)
        slots = None if core.batching else core.executor
        services = {
            "PredictionService": {
                "Predict": self._method(self._predict, slots=slots),
                "GetModelMetadata": self._method(self._metadata, metadata.FromString),
                **dict.fromkeys(("Classify", "Regress", "MultiInference"), unknown),
            },
            "ModelService": {
                "GetModelStatus": self._method(self._status, status.FromString),
                "HandleReloadConfigRequest": unknown,
            },
        }
        for name, methods in services.items():
            handler = grpc.method_handlers_generic_handler(f"tensorflow.serving.{name}", methods)
            self.server.add_generic_rpc_handlers((handler,))

    def _method(
        self, work: Callable[[Any, Any], bytes], parse: Any = None, slots: Executor | None = None
    ) -> Any:
        """A handler that refuses what is too much and turns errors into statuses.

        With ``slots`` it is run by that executor, which says what is too much; else calls are counted here.
        """

        def answer(request: Any, context: Any) -> bytes:
            try:
                return work(request, context)
            except ServingError as error:
                context.abort(grpc.StatusCode[error.code], error.text)
                raise

        def in_slot(request: Any, context: Any) -> bytes:
            if slots and slots.place and slots.place.refused:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, EXHAUSTED)
            return answer(request, context)

        def counted(request: Any, context: Any) -> bytes:
            with self._lock:
                admitted = self._free > 0
                self._free -= admitted
            if not admitted:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, EXHAUSTED)
            try:
                return answer(request, context)
            finally:
                with self._lock:
                    self._free += 1

        if slots is None:
            return grpc.unary_unary_rpc_method_handler(counted, request_deserializer=parse)
        vars(in_slot)["experimental_thread_pool"] = slots  # gRPC looks for this name
        return grpc.unary_unary_rpc_method_handler(in_slot, request_deserializer=parse)

    def _predict(self, data: bytes, context: Any) -> bytes:
        place, left, code = self._core.executor.place, context.time_remaining(), "OK"
        started = place.arrived if place else time.perf_counter()  # the wait for a slot counts
        deadline = FOREVER if left is None else time.monotonic() + left
        model_name = self._core.model.name
        try:
            answer, timing = self._core.predict(data, deadline=deadline)
        except ServingError as error:
            code, model_name = error.code, _asked_model(data)
            raise
        finally:
            labels = {"model_name": model_name, "status": code}
            self._core.metrics.count(PREFIX + "request_count", **labels)
        text = f"{timing.wait_s * 1e6:.0f},{timing.service_s * 1e6:.0f},{timing.batch}"
        context.set_trailing_metadata(((TIMING_KEY, text),))
        self._core.observe_request(time.perf_counter() - started, "Predict", "GRPC")
        return answer

    def _metadata(self, request: Any, context: Any) -> bytes:
        answer: bytes = self._core.metadata(request).SerializeToString()
        return answer

    def _status(self, request: Any, context: Any) -> bytes:
        answer: bytes = self._core.status(request).SerializeToString()
        return answer

    def _unimplemented(self, data: bytes, context: Any) -> bytes:
        raise ServingError("UNIMPLEMENTED", "the embedded stand-in serves Predict only")


def _asked_model(data: bytes) -> str:
    """The model's name in a serialised ``PredictRequest``; empty if it cannot be read."""
    try:
        name: str = api.predict_pb2.PredictRequest.FromString(data).model_spec.name
    except DecodeError:
        return ""
    return name


def run(
    model_dir: str | Path,
    model_name: str,
    *,
    host: str,
    grpc_port: int,
    rest_port: int,
    batching: Batching | None,
    monitoring: Monitoring | None,
    device: Device | None,
    max_threads: int,
    cores: list[int] | None,
    stop_on_eof: bool,
) -> NoReturn:
    """Serve until SIGTERM or SIGINT; requests in flight are finished.

    The first line on standard output is a JSON object with the addresses, written once the model answers.
    With ``stop_on_eof`` the server also stops when its standard input ends, which is how it learns that
    the process that started it is gone. A port that is taken raises `OSError`.
    """
    for port in (grpc_port, rest_port):
        socket.create_server((host, port)).close()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if cores:
        os.sched_setaffinity(0, cores)
    core = ServingCore(Model(model_dir, model_name), batching, device, max_threads)
    front = GrpcFront(core, max_threads)
    bound = front.server.add_insecure_port(f"{host}:{grpc_port}")
    rest = RestServer(core, host, rest_port, monitoring or Monitoring())
    gc.collect()
    gc.freeze()
    front.server.start()
    rest.start()
    where = {"grpc": f"{host}:{bound}", "rest": f"http://{host}:{rest.server_port}"}
    print(json.dumps({"backend": "embedded stand-in"} | where), flush=True)
    if stop_on_eof:
        Thread(target=_set_at_eof, args=(stop,), daemon=True).start()
    stop.wait()
    front.server.stop(GRACE_S).wait()
    rest.stop(GRACE_S)
    core.stop()
    sys.stdout.flush()
    os._exit(0)  # TensorFlow takes a second to tear down what ends with the process anyway


def _set_at_eof(stop: Event) -> None:
    sys.stdin.buffer.read()
    stop.set()
