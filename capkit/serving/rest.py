"""The REST front: predict, status and metadata under ``/v1/models``, metrics, errors as JSON."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToDict

from capkit.serving import api
from capkit.serving.core import PREFIX, ServingCore
from capkit.serving.metrics import Monitoring, ServingError
from capkit.serving.model import Arrays, check_inputs, refuse, select_outputs

NAME, WHICH = r"(?P<name>[^/:]+)", r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
QUERY = re.compile(f"(?i:/v1/models(?:/{NAME})?{WHICH}(?P<metadata>/metadata)?)")
CALL = re.compile(f"(?i:/v1/models/{NAME}{WHICH}:(?P<method>predict|classify|regress))")
NOT_FOUND = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
TIMEOUT_S = 30.0
#: kind of array that is wanted -> kinds of JSON values that may become one
KINDS = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}
Fields = dict[str, str]
Work = Callable[[ServingCore, Fields, bytes], dict[str, Any]]


def _fill(spec: Any, fields: Fields) -> None:
    """Put what the path says into a ``ModelSpec``."""
    spec.name = fields["name"]
    if fields["version"]:
        try:
            spec.version.value = int(fields["version"])
        except ValueError:
            text = f"Failed to convert version: {fields['version']} to numeric."
            raise refuse(text) from None
    if fields["label"]:
        spec.version_label = fields["label"]


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except json.JSONDecodeError as error:
        raise refuse(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except (ValueError, RecursionError):
        raise refuse("JSON Parse error: Invalid value. at offset: 0") from None
    if not isinstance(content, dict):
        raise refuse("JSON Value: Is not object")
    return content


def _columns(signature: Any, content: dict[str, Any]) -> dict[str, Any]:
    """Values by input: from ``inputs``, or from the list of rows under ``instances``."""
    wanted = sorted(signature.inputs)
    if "instances" in content and "inputs" in content:
        raise refuse("Expecting only one of 'inputs' or 'instances' keys to exist")
    if "inputs" in content:
        columns = content["inputs"]
    elif "instances" in content:
        columns = content["instances"]
        if not isinstance(columns, list):
            raise refuse("Expecting 'instances' to be an list/array")
        if not columns:
            raise refuse("No values in 'instances' array")
        if isinstance(columns[0], dict):
            for number, row in enumerate(columns):
                if not isinstance(row, dict) or sorted(row) != wanted:
                    raise refuse(
                        f"Failed to process element: {number} of 'instances' list. "
                        f"JSON object: keys must be equal to: {','.join(wanted)}"
                    )
            columns = {alias: [row[alias] for row in columns] for alias in wanted}
    else:
        raise refuse("Missing 'inputs' or 'instances' key")
    if not isinstance(columns, dict):
        columns = {wanted[0]: columns}
    for alias in wanted:
        if alias not in columns:
            raise refuse(f"Missing named input: {alias} in 'inputs' object.")
    return {alias: columns[alias] for alias in wanted}


def _read_arrays(signature: Any, content: dict[str, Any]) -> Arrays:
    arrays: Arrays = {}
    for alias, column in _columns(signature, content).items():
        try:
            wanted = api.TYPES[signature.inputs[alias].dtype][0]
            found = np.array(column)
        except (KeyError, ValueError) as error:
            raise refuse(f"input {alias}: {error}") from None
        fits = found.dtype.kind in KINDS[wanted.kind]
        if not fits or (wanted.kind in "iu" and (found.astype(wanted) != found).any()):
            raise refuse(f"input {alias}: a JSON value is not of expected type: {wanted}")
        arrays[alias] = found.astype(wanted)
    check_inputs(signature, arrays)
    return arrays


def _predict(core: ServingCore, fields: Fields, body: bytes) -> dict[str, Any]:
    if fields["method"].lower() != "predict":
        raise ServingError("UNIMPLEMENTED", f"{fields['method']} is not implemented")
    content = _read_json(body)
    name = str(content.get("signature_name", ""))
    request = api.predict_pb2.PredictRequest()
    _fill(request.model_spec, fields)
    core.find(request.model_spec)
    if name and name not in core.model.signatures:
        raise refuse(f'Serving signature name: "{name}" not found in signature def')
    name, signature = core.signature(name)
    arrays = _read_arrays(signature, content)
    outputs = select_outputs(signature, ())
    results, _ = core.run(name, arrays, outputs, deadline=time.monotonic() + TIMEOUT_S)
    lists = {alias: array.tolist() for alias, array in zip(outputs, results, strict=True)}
    if "inputs" in content:
        return {"outputs": lists if len(lists) > 1 else lists[outputs[0]]}
    rows = zip(*lists.values(), strict=True)
    named = [dict(zip(outputs, row, strict=True)) for row in rows]
    return {"predictions": named if len(lists) > 1 else lists[outputs[0]]}


def _to_dict(message: Any) -> dict[str, Any]:
    fields: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def _describe(core: ServingCore, fields: Fields, _: bytes) -> dict[str, Any]:
    if not fields["name"]:
        raise refuse("Missing model name in request.")
    if not fields["metadata"]:
        request = api.get_model_status_pb2.GetModelStatusRequest()
        _fill(request.model_spec, fields)
        return _to_dict(core.status(request))
    request = api.get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    _fill(request.model_spec, fields)
    spec = core.metadata(request).model_spec
    signatures = {"signature_def": _to_dict(core.signature_map())}
    return {"model_spec": _to_dict(spec), "metadata": signatures}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: RestServer

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are counted in the metrics, not logged."""

    def do_GET(self) -> None:
        shown = self.server.monitoring
        if shown.enable and self.path == shown.path:
            self._reply(200, self.server.core.metrics.text(), "text/plain")
        else:
            self._answer(QUERY, _describe, b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length):
            self.close_connection = True
            error = {"error": f"Content-Length must be below 10^9, got {length or 'none'}"}
            self._reply(413 if length else 411, json.dumps(error))
        else:
            self._answer(CALL, _predict, self.rfile.read(int(length)))

    def _answer(self, pattern: re.Pattern[str], work: Work, body: bytes) -> None:
        """Do ``work`` on the fields of a path that fits ``pattern``; refuse another."""
        if not self.path.lower().startswith("/v1/"):
            self._reply(404, NOT_FOUND, "text/html")
            return
        core, match = self.server.core, pattern.fullmatch(self.path)
        fields = match.groupdict("") if match else {"name": ""}
        started, status, code = time.perf_counter(), 200, "OK"
        with self.server.idle:
            self.server.busy += 1
        try:
            try:
                if match is None:
                    raise refuse(f"Malformed request: {self.command} {self.path}")
                content = work(core, fields, body)
                seconds = time.perf_counter() - started
                core.observe_request(seconds, fields.get("method", ""), "REST")
            except ServingError as error:
                status, code, content = error.http_status, error.code, {"error": error.text}
            core.metrics.count(PREFIX + "request_count", model_name=fields["name"], status=code)
            self._reply(status, json.dumps(content))
        finally:
            with self.server.idle:
                self.server.busy -= 1
                self.server.idle.notify_all()

    def _reply(self, status: int, text: str, kind: str = "application/json") -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()  # before the request counts as answered


class RestServer(ThreadingHTTPServer):
    """The REST front of a core on its own port, a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, core: ServingCore, host: str, port: int, monitoring: Monitoring) -> None:
        super().__init__((host, port), _Handler)
        self.core = core
        self.monitoring = monitoring
        self.busy = 0
        self.idle = Condition()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event; anything else is told."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def start(self) -> None:
        """Begin to answer."""
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self, grace_s: float) -> None:
        """Take no new connection; wait for the requests being answered."""
        self.shutdown()
        with self.idle:
            self.idle.wait_for(lambda: self.busy == 0, grace_s)
        self.server_close()
