"""Start a server of TensorFlow Serving's API: the real program, its container, or the stand-in."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any

from capkit.serving.batching import Batching
from capkit.serving.device import Device
from capkit.serving.metrics import PATH as METRICS_PATH

PROGRAM = "tensorflow_model_server"
IMAGE = "tensorflow/serving"
BACKENDS = ("auto", PROGRAM, "container", "embedded")
LABELS = {
    PROGRAM: PROGRAM,
    "container": f"{PROGRAM} (container)",
    "embedded": "embedded stand-in",
}
STOP_S = 15.0


def latest_version(base_path: str | Path) -> int:
    """The highest version below a model's base path: folders named by a number.

    Raises
    ------
    ValueError
        There is no such folder with a SavedModel in it.
    """
    base = Path(base_path)
    versions = [
        int(child.name)
        for child in (base.iterdir() if base.is_dir() else ())
        if child.name.isascii() and child.name.isdigit() and (child / "saved_model.pb").is_file()
    ]
    if not versions:
        raise ValueError(
            f"no version folder with a saved_model.pb below {base}: "
            "export the model to a numbered folder, such as mnist_cnn/1"
        )
    return max(versions)


def choose_backend(backend: str, device: Device | None) -> str:
    """The back end that ``auto`` means here, or the one asked for if it can be had.

    Raises
    ------
    ValueError
        No such back end, its program is not on PATH, or it cannot emulate a device.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if device is not None and backend not in ("auto", "embedded"):
        raise ValueError(f"only the embedded back end emulates a device, not {backend}")
    if backend == "embedded" or device is not None:
        return "embedded"
    if backend in ("auto", PROGRAM) and shutil.which(PROGRAM):
        return PROGRAM
    if backend == PROGRAM:
        raise ValueError(f"{PROGRAM} is not on PATH: README says how to get it")
    engine = container_engine()
    if backend == "container":
        if engine is None:
            raise ValueError("no container engine (docker, podman) on PATH")
        return backend
    if engine is not None:
        known = subprocess.run(
            [engine, "image", "inspect", IMAGE], capture_output=True, check=False
        )
        if known.returncode == 0:
            return "container"
    return "embedded"


def container_engine() -> str | None:
    """The container engine on PATH, if any."""
    return next((name for name in ("docker", "podman") if shutil.which(name)), None)


def server_command(
    backend: str,
    base_path: Path,
    model_name: str,
    *,
    ports: tuple[int, int],
    config: Path,
    batching: Batching | None,
    max_threads: int,
) -> list[str]:
    """Command line of the real server, with its config files written to the folder ``config``.

    The program listens on every interface for gRPC; the container's ports are bound to 127.0.0.1.
    """
    (config / "monitoring.txt").write_text(
        f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n', encoding="utf-8"
    )
    if batching:
        (config / "batching.txt").write_text(batching.to_text(), encoding="utf-8")
    seen = Path("/capkit") if backend == "container" else config
    flags = [
        f"--monitoring_config_file={seen / 'monitoring.txt'}",
        "--tensorflow_intra_op_parallelism=1",
        "--tensorflow_inter_op_parallelism=1",
        f"--grpc_max_threads={max_threads}",
    ]
    if batching:
        flags += ["--enable_batching", f"--batching_parameters_file={seen / 'batching.txt'}"]
    if backend == PROGRAM:
        where = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
        return [
            PROGRAM,
            *where,
            f"--model_name={model_name}",
            f"--model_base_path={base_path}",
            *flags,
        ]
    return [
        *(container_engine() or "docker", "run", "--rm"),
        *("-p", f"127.0.0.1:{ports[0]}:8500", "-p", f"127.0.0.1:{ports[1]}:8501"),
        *("-v", f"{base_path}:/models/{model_name}:ro", "-v", f"{config}:/capkit:ro"),
        *("-e", f"MODEL_NAME={model_name}", IMAGE),
        *flags,
    ]


class Server:
    """A running server; stopped at the end of a ``with`` block, and with this process at the latest.

    Attributes
    ----------
    grpc_target, rest_url : str
        ``host:port`` of gRPC; ``http://host:port`` of REST.
    backend : str
        Which server it is, as results are labelled.
    model_name : str
        The name under which the model is served.
    device : str
        ``cpu``, or the emulated device.
    pid : int or None
        Its process, where it is known.
    """

    def __init__(
        self,
        grpc_target: str,
        rest_url: str,
        *,
        backend: str,
        model_name: str,
        device: str = "cpu",
        pid: int | None = None,
        process: subprocess.Popen[bytes] | None = None,
        folder: str = "",
    ) -> None:
        self.grpc_target = grpc_target
        self.rest_url = rest_url
        self.backend = backend
        self.model_name = model_name
        self.device = device
        self.pid = process.pid if process else pid
        self._finalizer = weakref.finalize(self, _end, process, folder)

    def stop(self) -> None:
        """Stop the server if it was started here; wait until it is gone."""
        self._finalizer()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _end(process: subprocess.Popen[bytes] | None, folder: str) -> None:
    if process is not None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def attach(target: str, model_name: str) -> Server:
    """A server that runs already, by its gRPC address; REST is taken to be on port 8501.

    Its process is found if it listens on this machine and is ours to see.
    """
    import psutil

    host, _, port = target.rpartition(":")
    pids = [
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == int(port)
    ]
    return Server(
        target,
        f"http://{host}:8501",
        backend=f"server at {target}",
        model_name=model_name,
        pid=pids[0] if pids and host in ("127.0.0.1", "localhost") else None,
    )


def serve(
    model_dir: str | Path,
    *,
    model_name: str = "",
    backend: str = "auto",
    grpc_port: int = 0,
    rest_port: int = 0,
    batching: Batching | str | Path | None = None,
    device: Device | str | None = None,
    max_threads: int = 64,
    cores: Sequence[int] | None = None,
    timeout_s: float = 120.0,
) -> Server:
    """Serve the latest version of a SavedModel in a process of its own and wait until it answers.

    Parameters
    ----------
    model_dir : str or Path
        Base path: the folder that holds the numbered version folders.
    model_name : str
        Name in the API; the folder's name without one.
    backend : str
        ``tensorflow_model_server``, ``container``, ``embedded``, or ``auto`` for the first that is here.
    grpc_port, rest_port : int
        Ports on 127.0.0.1; 0 for free ones.
    batching : Batching, str or Path, optional
        Micro-batching, or the path of TensorFlow Serving's parameter file.
    device : Device or str, optional
        Emulated device (embedded back end only), such as ``"slots=1,fixed_s=0.01"``.
    max_threads : int
        Calls in the server at once (``--grpc_max_threads``); more are refused with RESOURCE_EXHAUSTED.
    cores : sequence of int, optional
        CPUs that the embedded server may run on.
    timeout_s : float
        How long to wait for it.

    Returns
    -------
    Server
        A context manager.

    Raises
    ------
    ValueError
        No model there, or a back end that cannot be had.
    RuntimeError
        The server ended or did not answer in time; the text has its last words.
    """
    base_path = Path(model_dir).expanduser().resolve()
    latest_version(base_path)
    name = model_name or base_path.name
    device = Device.parse(device) if isinstance(device, str) else device
    if batching is not None and not isinstance(batching, Batching):
        batching = Batching.read(batching)
    chosen = choose_backend(backend, device)
    folder = Path(tempfile.mkdtemp(prefix="capkit-serve-"))
    ports = (grpc_port, rest_port)
    environment = dict(os.environ)
    if chosen == "embedded":
        command = [
            sys.executable,
            "-m",
            "capkit",
            "serve",
            "--backend",
            "embedded",
            "--stop-on-eof",
        ]
        command += ["--model-dir", str(base_path), "--model-name", name]
        command += ["--port", str(grpc_port), "--rest-port", str(rest_port)]
        command += ["--max-threads", str(max_threads)]
        if cores:
            command += ["--cores", ",".join(str(core) for core in cores)]
        if device:
            command += ["--device", str(device)]
        if batching:
            (folder / "batching.txt").write_text(batching.to_text(), encoding="utf-8")
            command += ["--batching-parameters-file", str(folder / "batching.txt")]
    else:
        ports = (grpc_port or free_port(), rest_port or free_port())
        command = server_command(
            chosen,
            base_path,
            name,
            ports=ports,
            config=folder,
            batching=batching,
            max_threads=max_threads,
        )
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=err, env=environment
        )
    label = "cpu" if device is None else f"emulated ({device})"
    try:
        if chosen == "embedded":
            ports = _announced_ports(process, folder, timeout_s)
        else:
            _await_model(process, folder, ports[0], name, timeout_s)
    except BaseException:
        _end(process, str(folder))
        raise
    return Server(
        f"127.0.0.1:{ports[0]}",
        f"http://127.0.0.1:{ports[1]}",
        backend=LABELS[chosen],
        model_name=name,
        device=label,
        process=process,
        folder=str(folder),
    )


def free_port() -> int:
    """A port on 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _check_alive(process: subprocess.Popen[bytes], folder: Path, deadline: float) -> None:
    ended = process.poll() is not None
    if ended or time.monotonic() > deadline:
        words = (folder / "err").read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        what = f"ended with status {process.returncode}" if ended else "did not answer in time"
        raise RuntimeError(f"the server {what}: {words or 'it said nothing'}")


def _announced_ports(
    process: subprocess.Popen[bytes], folder: Path, timeout_s: float
) -> tuple[int, int]:
    deadline = time.monotonic() + timeout_s
    while True:
        first, newline, _ = (folder / "out").read_text(encoding="utf-8").partition("\n")
        if newline:
            ready = json.loads(first)
            return ready["grpc_port"], ready["rest_port"]
        _check_alive(process, folder, deadline)
        time.sleep(0.02)


def _await_model(
    process: subprocess.Popen[bytes], folder: Path, port: int, name: str, timeout_s: float
) -> None:
    from capkit.serving.client import Client

    deadline = time.monotonic() + timeout_s
    with Client(f"127.0.0.1:{port}", name) as client:
        while client.state() != "AVAILABLE":
            _check_alive(process, folder, deadline)
            time.sleep(0.1)


def main(arguments: list[str] | None = None) -> int:
    """Serve a SavedModel over gRPC and REST until interrupted; only this machine can reach it."""
    parser = argparse.ArgumentParser(prog="python -m capkit serve", description=main.__doc__)
    parser.add_argument("--model-dir", required=True, help="folder with numbered version folders")
    parser.add_argument("--model-name", default="", help="name in the API (default: the folder's)")
    parser.add_argument("--backend", default="auto", choices=BACKENDS)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (embedded only)")
    parser.add_argument("--port", type=int, default=8500, help="gRPC port, 0 for a free one")
    parser.add_argument("--rest-port", type=int, default=8501, help="REST port, 0 for a free one")
    parser.add_argument("--batching-parameters-file", help="TensorFlow Serving's text file")
    parser.add_argument("--device", help="emulate one, such as slots=1,fixed_s=0.01")
    parser.add_argument("--max-threads", type=int, default=64, help="calls at once")
    parser.add_argument("--cores", default="", help="CPUs to run on, such as 0,1")
    parser.add_argument("--stop-on-eof", action="store_true", help="stop when standard input ends")
    given = parser.parse_args(arguments)
    cores = [int(core) for core in given.cores.split(",") if core]
    try:
        device = Device.parse(given.device) if given.device else None
        file = given.batching_parameters_file
        batching = Batching.read(file) if file else None
        name = given.model_name or Path(given.model_dir).resolve().name
        common: dict[str, Any] = {
            "grpc_port": given.port,
            "rest_port": given.rest_port,
            "batching": batching,
            "device": device,
            "max_threads": given.max_threads,
            "cores": cores or None,
        }
        if choose_backend(given.backend, device) == "embedded":
            from capkit.serving.embedded import run

            latest_version(given.model_dir)
            run(given.model_dir, name, host=given.host, stop_on_eof=given.stop_on_eof, **common)
        if given.host != "127.0.0.1":
            parser.error("--host is for the embedded back end only")
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        with serve(given.model_dir, model_name=name, backend=given.backend, **common) as server:
            print(
                f"{server.backend}: gRPC {server.grpc_target}, REST {server.rest_url}", flush=True
            )
            stop.wait()
    except (ValueError, OSError, RuntimeError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return 0
