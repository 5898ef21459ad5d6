"""Clients that others wrote talk to the embedded server as they talk to TensorFlow Serving."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import require
from test_conformance import MODEL

from benchmarks import peers
from capkit import serving
from capkit.serving.client import Client

#: A process of its own: its copies of the messages collide with those of tensorflow-serving-api. The
#: version is always given, as its default of 0 is the latest to OpenVINO's server only.
OVMSCLIENT = """
import json, sys
import numpy as np, ovmsclient
from ovmsclient.tfs_compat.base import errors

target, rest = sys.argv[1:]
images = np.full((2, 28, 28, 1), 0.5, dtype=np.float32)
clients = {"gRPC": ovmsclient.make_grpc_client(target), "REST": ovmsclient.make_http_client(rest)}
said = {}
for name, client in clients.items():
    said[name] = {
        "status": client.get_model_status("mnist_cnn", 1),
        "metadata": client.get_model_metadata("mnist_cnn", 1),
        "outputs": client.predict({"image": images}, "mnist_cnn", 1).tolist(),
    }
    for case, call in {
        "unknown model": lambda: client.predict({"image": images}, "m", 1),
        "no status": lambda: client.get_model_status("m", 1),
        "wrong shape": lambda: client.predict({"image": images[..., 0]}, "mnist_cnn", 1),
        "unknown version": lambda: client.get_model_metadata("mnist_cnn", 7),
    }.items():
        try:
            call()
        except errors.ModelServerError as error:
            said[name][case] = type(error).__name__
assert "tensorflow" not in sys.modules
print(json.dumps(said))
"""


def test_ovmsclient():
    with serving.serve(MODEL, backend="embedded") as server:
        rest = server.rest_url.removeprefix("http://")
        command = [sys.executable, "-c", OVMSCLIENT, server.grpc_target, rest]
        done = subprocess.run(command, capture_output=True, text=True)
        with Client(server.grpc_target, "mnist_cnn") as client:
            expected = client.predict(np.full((2, 28, 28, 1), 0.5))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for answers in said.values():
        state = {"state": "AVAILABLE", "error_code": 0, "error_message": ""}
        assert answers["status"] == {"1": state}
        np.testing.assert_allclose(answers["outputs"], expected, rtol=1e-6)
        assert answers["unknown model"] == "ModelNotFoundError"
        assert answers["no status"] == "ModelNotFoundError"
        assert answers["unknown version"] == "ModelNotFoundError"
        assert answers["wrong shape"] == "InvalidInputError"
    inputs = {"image": {"shape": [-1, 28, 28, 1], "dtype": "DT_FLOAT"}}
    assert said["gRPC"]["metadata"]["inputs"] == inputs
    assert said["gRPC"]["metadata"]["model_version"] == 1
    assert said["REST"]["metadata"]["model_spec"]["version"] == "1"


@pytest.mark.more
def test_perf_analyzer(tmp_path):
    """On a device of 10 ms: at most 100 answers a second, none sooner than 10 ms, no error."""
    try:
        program = peers.perf_analyzer()
    except FileNotFoundError as error:
        require(False, "perf_analyzer", error)
    table = tmp_path / "result.csv"
    with serving.serve(MODEL, device="fixed_s=0.01") as server:
        command = [program, "--service-kind", "tfserving", "-i", "grpc", "-m", "mnist_cnn"]
        command += ["-u", server.grpc_target, "-b", "1", "--concurrency-range", "1:1"]
        command += ["--measurement-interval", "1000", "-f", table]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "error" not in (done.stdout + done.stderr).lower()
    row = pd.read_csv(table).iloc[0]
    assert 50 <= row["Inferences/Second"] <= 100
    assert 10_000 <= row["p50 latency"] <= 20_000, "microseconds"
