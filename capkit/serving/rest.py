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

from capkit.serving import api, metrics
from capkit.serving.core import PREFIX, ServingCore
from capkit.serving.metrics import ServingError
from capkit.serving.model import Arrays, check_inputs, refuse, select_outputs

WHICH = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
QUERY = re.compile(WHICH + r"(?P<metadata>/metadata)?", re.IGNORECASE)
CALL = re.compile(WHICH + r":(?P<method>predict|classify|regress)", re.IGNORECASE)
NOT_FOUND = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"


def _metadata_request(match: re.Match[str]) -> Any:
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
        raise refuse(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except (UnicodeDecodeError, RecursionError):
        raise refuse("JSON Parse error: Invalid value. at offset: 0") from None
    if not isinstance(content, dict) or ("instances" in content) == ("inputs" in content):
        raise refuse("Missing 'inputs' or 'instances' key")
    return content


def _read_arrays(signature: Any, content: dict[str, Any]) -> Arrays:
    """Inputs of a request: a list of rows under ``instances``, or columns under ``inputs``."""
    columns = content.get("inputs")
    if "instances" in content:
        rows = content["instances"]
        if not isinstance(rows, list) or not rows:
            raise refuse("'instances' must be a list of at least one element")
        columns = rows
        if all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
            columns = {alias: [row[alias] for row in rows] for alias in rows[0]}
    if not isinstance(columns, dict):
        columns = {next(iter(signature.inputs)): columns}
    if columns.keys() != set(signature.inputs):
        raise refuse(f"the inputs are {sorted(signature.inputs)}, got {sorted(columns)}")
    arrays: Arrays = {}
    for alias, column in columns.items():
        try:
            arrays[alias] = np.array(column, dtype=api.TYPES[signature.inputs[alias].dtype][0])
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise refuse(f"input {alias}: {error}") from None
    check_inputs(signature, arrays)
    return arrays


def _predict(core: ServingCore, match: re.Match[str], body: bytes) -> dict[str, Any]:
    core.find(_metadata_request(match).model_spec)
    if match["method"].lower() != "predict":
        raise ServingError("UNIMPLEMENTED", f"{match['method']} is not implemented")
    content = _read_json(body)
    name = str(content.get("signature_name", ""))
    if name and name not in core.model.signatures:
        raise refuse(f'Serving signature name: "{name}" not found in signature def')
    name, signature = core.signature(name)
    arrays = _read_arrays(signature, content)
    outputs = select_outputs(signature, ())
    results, _ = core.run(name, arrays, outputs)
    lists = {alias: array.tolist() for alias, array in zip(outputs, results, strict=True)}
    if "inputs" in content:
        return {"outputs": lists if len(lists) > 1 else lists[outputs[0]]}
    rows = zip(*lists.values(), strict=True)
    named = [dict(zip(outputs, row, strict=True)) for row in rows]
    return {"predictions": named if len(lists) > 1 else lists[outputs[0]]}


def _describe(core: ServingCore, match: re.Match[str]) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    version = str(core.model.version)
    if match["metadata"]:
        core.metadata(_metadata_request(match))
        options = {
            "preserving_proto_field_name": True,
            "always_print_fields_with_no_presence": True,
        }
        signatures = MessageToDict(core.signature_map(), **options)
        spec = {"name": core.model.name, "signature_name": "", "version": version}
        return {"model_spec": spec, "metadata": {"signature_def": signatures}}
    if match["label"]:
        core.find(_metadata_request(match).model_spec)
    core.status(match["name"], int(match["version"]) if match["version"] else None)
    good = {"error_code": "OK", "error_message": ""}
    state = {"version": version, "state": "AVAILABLE", "status": good}
    return {"model_version_status": [state]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: RestServer

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are counted in the metrics, not logged."""

    def do_GET(self) -> None:
        core, match = self.server.core, QUERY.fullmatch(self.path)
        if self.path == metrics.PATH:
            self._reply(200, core.metrics.text(), "text/plain")
        elif match:
            self._answer(lambda: _describe(core, match), "GetModelStatus", match["name"])
        else:
            self._refuse(CALL)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            self._reply(411, json.dumps({"error": "Content-Length is required"}))
            return
        body, match = self.rfile.read(int(length)), CALL.fullmatch(self.path)
        if match:
            core = self.server.core
            self._answer(lambda: _predict(core, match, body), "predict", match["name"])
        else:
            self._refuse(QUERY)

    def _refuse(self, other: re.Pattern[str]) -> None:
        if other.fullmatch(self.path):
            text = f"Malformed request: {self.command} {self.path}"
            self._reply(400, json.dumps({"error": text}))
        else:
            self._reply(404, NOT_FOUND, "text/html")

    def _answer(self, work: Callable[[], Any], method: str, model_name: str) -> None:
        started, status, code = time.perf_counter(), 200, "OK"
        core = self.server.core
        with self.server.idle:
            self.server.busy += 1
        try:
            try:
                content = work()
                core.observe_request(time.perf_counter() - started, method, "REST")
            except ServingError as error:
                status, code, content = error.http_status, error.code, {"error": error.text}
            core.metrics.count(PREFIX + "request_count", model_name=model_name, status=code)
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


class RestServer(ThreadingHTTPServer):
    """The REST front of a core on its own port, a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, core: ServingCore, host: str, port: int) -> None:
        super().__init__((host, port), _Handler)
        self.core = core
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
