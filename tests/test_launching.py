"""Which server is started, with which command and files, and what is told when it cannot be."""

import os
import socket
import stat
import sys

import psutil
import pytest
from test_conformance import MODEL
from test_serving import SMALL_QUEUE, predict_many

from capkit import serving
from capkit.serving.client import RestClient
from capkit.serving.device import Device
from capkit.serving.launch import attach, choose_backend, server_command
from capkit.serving.metrics import Monitoring


def test_folder_without_a_version_is_refused(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match="no version folder"):
        serving.serve(tmp_path)


def stand_in(folder, name, script):
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("target", ["localhost", "localhost:", ":8500", "localhost:grpc"])
def test_target_without_host_or_port_is_refused(target):
    with pytest.raises(ValueError, match=r"target must be host:port, got"):
        attach(target, "mnist_cnn")


def test_target_where_nothing_listens_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        assert attach(target, "mnist_cnn").grpc_target == target
    with pytest.raises(ValueError, match=f"nothing listens at the target '{target}'"):
        attach(target, "mnist_cnn")


def test_real_program_is_preferred_and_its_failure_told(tmp_path, monkeypatch):
    script = "import sys; sys.exit(' '.join(sys.argv[1:]))"
    stand_in(tmp_path, "tensorflow_model_server", script)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert choose_backend("auto", None) == "tensorflow_model_server"
    assert choose_backend("auto", Device(fixed_s=0.1)) == "embedded"
    with pytest.raises(RuntimeError, match=f"--model_base_path={MODEL.resolve()} --monitoring"):
        serving.serve(MODEL)


def test_container_is_chosen_only_if_its_image_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    stand_in(tmp_path, "docker", "import sys; sys.exit(1)")
    assert choose_backend("auto", None) == "embedded"
    assert choose_backend("container", None) == "container"
    stand_in(tmp_path, "docker", "")
    assert choose_backend("auto", None) == "container"


OWN_FLAGS = [
    "--tensorflow_intra_op_parallelism=1",
    "--tensorflow_inter_op_parallelism=1",
    "--grpc_max_threads=9",
]


@pytest.mark.parametrize("batching", [None, SMALL_QUEUE])
@pytest.mark.parametrize("monitoring", [None, Monitoring(path="/numbers")])
@pytest.mark.parametrize("backend", ["tensorflow_model_server", "container"])
def test_command_lines_and_files_of_the_real_servers(
    tmp_path, monkeypatch, backend, batching, monitoring
):
    monkeypatch.setenv("PATH", str(tmp_path))
    options = {"batching": batching, "monitoring": monitoring, "max_threads": 9}
    options |= {"ports": (18500, 18501), "config": tmp_path}
    if backend == "container":
        start = ["docker", "run", "--rm", "--init"]
        start += ["-p", "127.0.0.1:18500:8500", "-p", "127.0.0.1:18501:8501"]
        start += ["-v", f"{MODEL}:/models/mnist_cnn:ro", "-v", f"{tmp_path}:/capkit:ro"]
        start += ["-e", "MODEL_NAME=mnist_cnn", "tensorflow/serving"]
        seen = "/capkit"
    else:
        start = ["tensorflow_model_server", "--port=18500", "--rest_api_port=18501"]
        start += ["--model_name=mnist_cnn", f"--model_base_path={MODEL}"]
        seen = tmp_path
    expected = [*start, f"--monitoring_config_file={seen}/monitoring.txt", *OWN_FLAGS]
    files = {"monitoring.txt": (monitoring or Monitoring()).to_text()}
    if batching:
        expected += ["--enable_batching", f"--batching_parameters_file={seen}/batching.txt"]
        files["batching.txt"] = (
            "max_batch_size { value: 4 }\nbatch_timeout_micros { value: 1000 }\n"
            "max_enqueued_batches { value: 1 }\nnum_batch_threads { value: 1 }\n"
            "allowed_batch_sizes: 2\nallowed_batch_sizes: 4\n"
        )
    assert server_command(backend, MODEL, "mnist_cnn", **options) == expected
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == files


#: Starts the embedded server with what the real one was given, and notes the signal that ends it.
RUNS_EMBEDDED = r"""
import re, signal, subprocess, sys
from pathlib import Path
text = " ".join(sys.argv[1:])
ports = re.findall(r"(?:port=|-p 127\.0\.0\.1:)(\d+)", text)
base, *config = re.findall(r"(?:model_base_path=|-v )([^\s:]+)", text)
for folder in config:
    text = text.replace("=/capkit/", f"={folder}/")
command = [sys.executable, "-m", "capkit", "serve", "--backend=embedded", f"--model-dir={base}"]
command += [f"--port={ports[0]}", f"--rest-port={ports[1]}"]
for name, path in re.findall(r"--(\w+)_file=(\S+)", text):
    command.append(f"--{name.replace('_', '-')}-file={path}")
child = subprocess.Popen(command)
def stop(number, frame):
    Path(__file__).with_name("ended").write_text(signal.Signals(number).name)
    child.send_signal(number)
signal.signal(signal.SIGTERM, stop)
sys.exit(child.wait())
"""


@pytest.mark.parametrize(
    "backend, program, label",
    [
        ("tensorflow_model_server", "tensorflow_model_server", "tensorflow_model_server"),
        ("container", "docker", "tensorflow_model_server (container)"),
    ],
)
def test_real_server_is_waited_for_labelled_and_ended(
    tmp_path, monkeypatch, backend, program, label
):
    stand_in(tmp_path, program, RUNS_EMBEDDED)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    options = {"batching": SMALL_QUEUE, "monitoring": Monitoring(path="/numbers")}
    with serving.serve(MODEL, backend=backend, **options) as server:
        assert (server.backend, server.device) == (label, "cpu")
        assert predict_many(server.grpc_target, 1)[0] == ["OK"]
        assert predict_many(server.grpc_target, 1, size=8)[0] == ["INVALID_ARGUMENT"]
        rest = RestClient(server.rest_url)
        assert rest.call("/numbers")[0] == 200
        rest.close()
    assert (tmp_path / "ended").read_text() == "SIGTERM"
    assert not psutil.pid_exists(server.pid)


@pytest.mark.parametrize(
    "device", ["slots=0", "fixed_s=-1", "fixed_s=0", "law=normal", "speed=2", "slots=x"]
)
def test_impossible_devices_are_refused(device):
    with pytest.raises(ValueError):
        Device.parse(device)


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--model-name=x", "no version folder"),
        ("--device=slots=0", "a device has 1 or more slots"),
        (f"--batching-parameters-file={__file__}", "not a batching parameters file"),
        (f"--monitoring-config-file={__file__}", "not a monitoring config file"),
        ("--monitoring-config-file=nowhere", "No such file"),
    ],
)
def test_command_line_reports_what_is_wrong(capsys, tmp_path, flag, message):
    with pytest.raises(SystemExit) as caught:
        serving.main(["--model-dir", str(tmp_path), "--backend", "embedded", flag])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
