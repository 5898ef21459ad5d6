"""A small client for servers of TensorFlow Serving's API, gRPC and REST; needs no TensorFlow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from types import TracebackType
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
    """A gRPC connection to one model.

    Parameters
    ----------
    target : str
        ``host:port`` of the server.
    model_name : str
        The model to ask for.
    """

    def __init__(self, target: str, model_name: str) -> None:
        self.model_name = model_name
        size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(target, options=size)
        self.prediction = api.prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = api.model_service_pb2_grpc.ModelServiceStub(self.channel)

    def state(self, *, timeout_s: float = 5.0) -> str:
        """State of the model's latest version; ``UNAVAILABLE`` if no server answers."""
        request = api.get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self.model_name
        try:
            answer = self.models.GetModelStatus(request, timeout=timeout_s)
        except grpc.RpcError as error:
            code: str = error.code().name
            return code
        latest = max(answer.model_version_status, key=lambda status: status.version)
        return STATES[latest.state]

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

    def predict(self, images: ArrayLike) -> NDArray[Any]:
        """The model's first output for a batch of inputs; names are asked from the server.

        Parameters
        ----------
        images : array_like
            For the digits model (images, 28, 28, 1) in 0..1; converted to the type that the model takes.
        """
        inputs, outputs = self.signature()
        (alias, info), *_ = inputs.items()
        request = api.predict_request(
            np.asarray(images, dtype=info["type"]), self.model_name, input_name=alias
        )
        answer = self.prediction.Predict(request)
        return api.from_proto(answer.outputs[next(iter(outputs))])

    def sample_request(self, examples: int = 1) -> bytes:
        """A serialised request of the model's own input shape, filled with zeros, for a load test."""
        inputs, _ = self.signature()
        (alias, info), *_ = inputs.items()
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _describe(infos: Any) -> dict[str, Any]:
    return {
        alias: {
            "shape": [dim.size for dim in info.tensor_shape.dim],
            "type": np.dtype(api.TYPES[info.dtype][0]).name,
        }
        for alias, info in sorted(infos.items())
    }


class RestClient:
    """A kept connection to the REST API of a server.

    Parameters
    ----------
    url : str
        ``http://host:port``.
    timeout_s : float
        Seconds to wait for an answer.
    """

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

    def predict(self, images: ArrayLike, model_name: str) -> NDArray[Any]:
        """Predictions for a batch, sent as JSON rows.

        Raises
        ------
        RuntimeError
            The server refused; the text is its own.
        """
        rows = {"instances": np.asarray(images).tolist()}
        status, answer = self.call(f"/v1/models/{model_name}:predict", rows)
        if status != 200:
            raise RuntimeError(f"HTTP {status}: {answer}")
        return np.array(answer["predictions"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def message_costs(images: ArrayLike, *, repeats: int = 7) -> pd.DataFrame:
    """Bytes of the same tensor in three forms, and the time to write and to read it.

    Parameters
    ----------
    images : array_like
        A batch, float32.
    repeats : int
        Times that each form is written and read; the median counts.

    Returns
    -------
    DataFrame
        Columns ``form``, ``bytes``, ``encode_us``, ``decode_us``.
    """
    import pandas as pd

    array = np.asarray(images, dtype=np.float32)
    forms: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], int]]] = {
        "raw bytes": (lambda: api.to_proto(array), api.from_proto, lambda m: m.ByteSize()),
        "float by float": (
            lambda: api.to_proto(array, raw=False),
            api.from_proto,
            lambda m: m.ByteSize(),
        ),
        "JSON": (
            lambda: json.dumps(array.tolist()),
            lambda text: np.array(json.loads(text), dtype=np.float32),
            len,
        ),
    }
    rows = []
    for form, (write, read, size) in forms.items():
        message = write()
        read_it = partial(read, message)
        rows.append((form, size(message), _median_us(write, repeats), _median_us(read_it, repeats)))
    return pd.DataFrame(rows, columns=["form", "bytes", "encode_us", "decode_us"])


def _median_us(work: Callable[[], Any], repeats: int) -> float:
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return float(1e6 * np.median(took))
