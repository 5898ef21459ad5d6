"""The REST front: predict, status and metadata under ``/v1/models``, metrics, errors as JSON."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

import numpy as np

from capkit.serving import api, metrics
from capkit.serving.core import ServingCore
from capkit.serving.errors import ServingError
from capkit.serving.model import DEFAULT_SIGNATURE, Arrays, Signature, check_inputs, select_outputs

WHICH = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
QUERY = re.compile(WHICH + r"(?P<metadata>/metadata)?", re.IGNORECASE)
CALL = re.compile(WHICH + r":(?P<method>predict|classify|regress)", re.IGNORECASE)
NOT_FOUND = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"


def _spec(match: re.Match[str]) -> Any:
    request = api.get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = match["name"]
    if match["version"]:
        request.model_spec.version.value = int(match["version"])
    if match["label"]:
        request.model_spec.version_label = match["label"]
    return request


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except json.JSONDecodeError as error:
        text = f"JSON Parse error: {error.msg} at offset: {error.pos}"
        raise ServingError("INVALID_ARGUMENT", text) from None
    except (UnicodeDecodeError, RecursionError):
        raise ServingError(
            "INVALID_ARGUMENT", "JSON Parse error: Invalid value. at offset: 0"
        ) from None
    if not isinstance(content, dict):
        raise ServingError("INVALID_ARGUMENT", "Request body must be a JSON object")
    if ("instances" in content) == ("inputs" in content):
        raise ServingError("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
    return content


def _read_arrays(signature: Signature, content: dict[str, Any]) -> Arrays:
    """Inputs of a request: a list of rows under ``instances``, or columns under ``inputs``."""
    by_row = "instances" in content
    values = content["instances" if by_row else "inputs"]
    if by_row and not (isinstance(values, list) and values):
        raise ServingError("INVALID_ARGUMENT", "'instances' must be a list of at least one element")
    first = values[0] if by_row else values
    if isinstance(first, dict):
        if by_row and not all(isinstance(row, dict) and set(row) == set(first) for row in values):
            raise ServingError("INVALID_ARGUMENT", "all instances must name the same inputs")
        columns = {key: [row[key] for row in values] for key in first} if by_row else values
    elif len(signature.inputs) == 1:
        columns = {next(iter(signature.inputs)): values}
    else:
        raise ServingError(
            "INVALID_ARGUMENT", f"name the inputs: {', '.join(sorted(signature.inputs))}"
        )
    if set(columns) != set(signature.inputs):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"the inputs are {', '.join(sorted(signature.inputs))}; got {', '.join(sorted(columns))}",
        )
    arrays: Arrays = {}
    for alias, column in columns.items():
        try:
            numpy_type = api.TYPES[signature.inputs[alias].dtype][0]
            arrays[alias] = np.array(column, dtype=numpy_type)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise ServingError("INVALID_ARGUMENT", f"input {alias}: {error}") from None
    check_inputs(signature, arrays)
    return arrays


def _predict(core: ServingCore, match: re.Match[str], body: bytes) -> dict[str, Any]:
    core.find(_spec(match).model_spec)
    if match["method"].lower() != "predict":
        raise ServingError("UNIMPLEMENTED", f"{match['method']} is not implemented")
    content = _read_json(body)
    name = content.get("signature_name", DEFAULT_SIGNATURE)
    try:
        name, signature = core.model.signature(str(name))
    except ServingError:
        text = f'Serving signature name: "{name}" not found in signature def'
        raise ServingError("INVALID_ARGUMENT", text) from None
    arrays = _read_arrays(signature, content)
    outputs = select_outputs(signature, ())
    results, _ = core.run(name, arrays, outputs)
    lists = {alias: array.tolist() for alias, array in zip(outputs, results, strict=True)}
    if "inputs" in content:
        return {"outputs": lists if len(lists) > 1 else lists[outputs[0]]}
    if len(lists) == 1:
        return {"predictions": lists[outputs[0]]}
    rows = zip(*lists.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}


def _describe(core: ServingCore, match: re.Match[str]) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    request = _spec(match)
    if match["metadata"]:
        answer = core.metadata(request)
        signatures = MessageToDict(
            core.signature_map(),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        spec = {"name": core.model.name, "signature_name": "", "version": str(core.model.version)}
        return {"model_spec": spec, "metadata": {next(iter(answer.metadata)): signatures}}
    if match["label"]:
        core.find(request.model_spec)
    status = core.status(match["name"], int(match["version"]) if match["version"] else None)
    state = status.model_version_status[0]
    status_text = {"error_code": "OK", "error_message": ""}
    return {
        "model_version_status": [
            {"version": str(state.version), "state": "AVAILABLE", "status": status_text}
        ]
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: RestServer

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are counted in the metrics, not logged."""

    def do_GET(self) -> None:
        core = self.server.core
        if self.path == metrics.PATH:
            self._reply(200, core.metrics.text(), metrics.CONTENT_TYPE)
            return
        match = QUERY.fullmatch(self.path)
        if match:
            self._answer(lambda: _describe(core, match), "GetModelStatus", match["name"])
        elif CALL.fullmatch(self.path):
            self._malformed()
        else:
            self._reply(404, NOT_FOUND, "text/html")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            self._reply(411, json.dumps({"error": "Content-Length is required"}))
            return
        body = self.rfile.read(int(length))
        match = CALL.fullmatch(self.path)
        if match:
            core = self.server.core
            self._answer(lambda: _predict(core, match, body), "predict", match["name"])
        elif QUERY.fullmatch(self.path):
            self._malformed()
        else:
            self._reply(404, NOT_FOUND, "text/html")

    def _malformed(self) -> None:
        self._reply(400, json.dumps({"error": f"Malformed request: {self.command} {self.path}"}))

    def _answer(self, work: Any, method: str, model_name: str) -> None:
        started = time.perf_counter()
        status, code = 200, "OK"
        core = self.server.core
        with self.server.in_flight():
            try:
                content = work()
            except ServingError as error:
                status, code, content = error.http_status, error.code, {"error": error.text}
            core.metrics.count(
                ":tensorflow:serving:request_count", model_name=model_name, status=code
            )
            if code == "OK":
                core.metrics.observe(
                    ":tensorflow:serving:request_latency",
                    (time.perf_counter() - started) * 1e6,
                    metrics.LATENCY,
                    model_name=model_name,
                    API=method,
                    entrypoint="REST",
                )
            self._reply(status, json.dumps(content))

    def _reply(self, status: int, text: str, kind: str = "application/json") -> None:
        data = text.encode()
        self.send_response(HTTPStatus(status))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


class RestServer(ThreadingHTTPServer):
    """The REST front on its own port, in threads of its own.

    Parameters
    ----------
    core : ServingCore
        What answers.
    host : str
        Address to listen on.
    port : int
        0 for a free one; `server_port` says which.
    """

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, core: ServingCore, host: str, port: int) -> None:
        super().__init__((host, port), _Handler)
        self.core = core
        self._busy = 0
        self._idle = Condition()
        self._thread = Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Context in which a request counts as being answered."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event."""

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, grace_s: float) -> None:
        """Take no new connection; wait for the requests being answered."""
        self.shutdown()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, grace_s)
        self.server_close()
