"""Small clients of TensorFlow Serving's API, gRPC and REST; they need no TensorFlow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from numpy.typing import ArrayLike, NDArray

from capkit.serving import api

if TYPE_CHECKING:
    import pandas as pd

STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


class Client:
    """A gRPC connection to one model of the server at ``target``.

    ``target`` is ``host:port``, or ``ipv4:host:port,host:port`` for several replicas, which ``policy`` chooses
    from: gRPC's ``pick_first`` (one connection, to one replica) or ``round_robin``.
    """

    def __init__(self, target: str, model_name: str, *, policy: str = "pick_first") -> None:
        self.model_name = model_name
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        options.append(("grpc.service_config", json.dumps({"loadBalancingConfig": [{policy: {}}]})))
        self.channel = grpc.insecure_channel(target, options=options)
        self.prediction = api.prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = api.model_service_pb2_grpc.ModelServiceStub(self.channel)

    def state(self, *, timeout_s: float = 5.0) -> str:
        """State of the model's latest version, or the code of the refusal."""
        request = api.get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self.model_name
        try:
            answer = self.models.GetModelStatus(request, timeout=timeout_s)
        except grpc.RpcError as error:
            code: str = error.code().name
            return code
        return STATES[max(answer.model_version_status, key=lambda s: s.version).state]

    def signature(self, name: str = "serving_default") -> tuple[dict[str, Any], dict[str, Any]]:
        """Inputs and outputs of a signature by alias, asked from the server: shape and type."""
        request = api.get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = self.model_name
        request.metadata_field.append("signature_def")
        answer = self.prediction.GetModelMetadata(request)
        signatures = api.get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        definition = signatures.signature_def[name]
        return _describe(definition.inputs), _describe(definition.outputs)

    def predict(self, values: ArrayLike) -> NDArray[Any]:
        """The model's first output for a batch of its first input; names are asked from the server."""
        inputs, outputs = self.signature()
        alias, info = next(iter(inputs.items()))
        array = np.asarray(values, dtype=info["type"])
        request = api.predict_request(array, self.model_name, input_name=alias)
        return api.from_proto(self.prediction.Predict(request).outputs[next(iter(outputs))])

    def sample_request(self, examples: int = 1) -> bytes:
        """A serialised request of zeros in the model's own input shape, for a load test."""
        alias, info = next(iter(self.signature()[0].items()))
        shape = [examples, *(max(size, 1) for size in info["shape"][1:])]
        zeros = np.zeros(shape, dtype=info["type"])
        request = api.predict_request(zeros, self.model_name, input_name=alias)
        data: bytes = request.SerializeToString()
        return data

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def _describe(infos: Any) -> dict[str, Any]:
    return {
        alias: {
            "shape": [dim.size for dim in info.tensor_shape.dim],
            "type": str(api.TYPES[info.dtype][0]),
        }
        for alias, info in sorted(infos.items())
    }


class RestClient:
    """A kept connection to the REST API at ``url`` (``http://host:port``)."""

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)

    def call(self, path: str, content: Any = None) -> tuple[int, Any]:
        """GET a path, or POST ``content`` as JSON; the status and the answer (JSON where it is)."""
        body = None if content is None else json.dumps(content)
        self._connection.request("GET" if body is None else "POST", path, body)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        kind = answer.getheader("Content-Type", "")
        return answer.status, json.loads(text) if "json" in kind else text

    def predict(self, values: ArrayLike, model_name: str) -> NDArray[Any]:
        """Predictions for a batch sent as JSON rows; a refusal raises `RuntimeError` with its text."""
        rows = {"instances": np.asarray(values).tolist()}
        status, answer = self.call(f"/v1/models/{model_name}:predict", rows)
        if status != 200:
            raise RuntimeError(f"HTTP {status}: {answer}")
        return np.array(answer["predictions"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def message_costs(values: ArrayLike, *, repeats: int = 7) -> pd.DataFrame:
    """Bytes of a float32 batch in three forms, and the median time to write and to read it.

    Columns ``form``, ``bytes``, ``encode_us``, ``decode_us``.
    """
    import pandas as pd

    array = np.asarray(values, dtype=np.float32)
    forms: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
        "raw bytes": (lambda: api.to_proto(array), api.from_proto),
        "float by float": (lambda: api.to_proto(array, raw=False), api.from_proto),
        "JSON": (
            lambda: json.dumps(array.tolist()),
            lambda text: np.array(json.loads(text), dtype=np.float32),
        ),
    }
    rows = []
    for form, (write, read) in forms.items():
        message = write()
        size = len(message) if isinstance(message, str) else message.ByteSize()
        times = [_median_us(work, repeats) for work in (write, partial(read, message))]
        rows.append((form, size, *times))
    return pd.DataFrame(rows, columns=["form", "bytes", "encode_us", "decode_us"])


def _median_us(work: Callable[[], Any], repeats: int) -> float:
    clock = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        clock.append(time.perf_counter() - began)
    return float(1e6 * np.median(clock))
