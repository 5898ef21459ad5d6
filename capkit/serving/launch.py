"""Start a server of TensorFlow Serving's API: the real program, its container, or the stand-in."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from capkit.serving.batching import Batching
from capkit.serving.device import Device
from capkit.serving.metrics import Monitoring

PROGRAM = "tensorflow_model_server"
IMAGE = "tensorflow/serving"
LABELS = {PROGRAM: PROGRAM, "container": f"{PROGRAM} (container)", "embedded": "embedded stand-in"}
BACKENDS = ("auto", *LABELS)


def latest_version(base_path: str | Path) -> int:
    """The highest of the folders below a base path that are named by a number and hold a SavedModel."""
    base = Path(base_path)
    versions = [
        int(file.parent.name)
        for file in base.glob("*/saved_model.pb")
        if file.parent.name.isascii() and file.parent.name.isdigit()
    ]
    if not versions:
        raise ValueError(
            f"no version folder with a saved_model.pb below {base}: "
            "export the model to a numbered folder, such as mnist_cnn/1"
        )
    return max(versions)


def container_engine() -> str | None:
    """The container engine on PATH, if any."""
    return next((name for name in ("docker", "podman") if shutil.which(name)), None)


def has_image() -> bool:
    """Whether a container engine is here and has TensorFlow Serving's image."""
    if not (engine := container_engine()):
        return False
    return subprocess.run([engine, "image", "inspect", IMAGE], capture_output=True).returncode == 0


def choose_backend(backend: str, device: Device | None) -> str:
    """The back end that ``auto`` means here, or the one asked for; `ValueError` if it cannot be had.

    The container is chosen only if its image is here already: nothing is downloaded unasked.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if device is not None and backend not in ("auto", "embedded"):
        raise ValueError(f"only the embedded back end emulates a device, not {backend}")
    if backend == PROGRAM and not shutil.which(PROGRAM):
        raise ValueError(f"{PROGRAM} is not on PATH: README says how to get it")
    if backend == "container" and not container_engine():
        raise ValueError("no container engine (docker, podman) on PATH")
    if backend != "auto" or device is not None:
        return "embedded" if device is not None else backend
    if shutil.which(PROGRAM):
        return PROGRAM
    return "container" if has_image() else "embedded"


def server_command(
    backend: str,
    base_path: Path,
    model_name: str,
    *,
    ports: tuple[int, int],
    config: Path,
    batching: Batching | None,
    monitoring: Monitoring | None,
    max_threads: int,
) -> list[str]:
    """Command line of the real server; its config files are written to the folder ``config``.

    The program has no flag for the interface and listens on all; the container's ports are bound to
    127.0.0.1. The image's first process is a shell script, which only ``--init`` lets SIGTERM end.
    """
    seen = Path("/capkit") if backend == "container" else config
    shown = monitoring or Monitoring()
    (config / "monitoring.txt").write_text(shown.to_text(), encoding="utf-8")
    flags = [
        f"--monitoring_config_file={seen}/monitoring.txt",
        "--tensorflow_intra_op_parallelism=1",
        "--tensorflow_inter_op_parallelism=1",
        f"--grpc_max_threads={max_threads}",
    ]
    if batching:
        (config / "batching.txt").write_text(batching.to_text(), encoding="utf-8")
        flags += ["--enable_batching", f"--batching_parameters_file={seen}/batching.txt"]
    if backend == PROGRAM:
        where = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
        what = [f"--model_name={model_name}", f"--model_base_path={base_path}"]
        return [PROGRAM, *where, *what, *flags]
    return [
        *(container_engine() or "docker", "run", "--rm", "--init"),
        *("-p", f"127.0.0.1:{ports[0]}:8500", "-p", f"127.0.0.1:{ports[1]}:8501"),
        *("-v", f"{base_path}:/models/{model_name}:ro", "-v", f"{config}:/capkit:ro"),
        *("-e", f"MODEL_NAME={model_name}", IMAGE, *flags),
    ]


class Server:
    """A running server; it is stopped at the end of a ``with`` block, or with this process.

    Attributes
    ----------
    grpc_target, rest_url : str
        ``host:port`` of gRPC; ``http://host:port`` of REST.
    backend, device : str
        Which server answers, as results are labelled; ``cpu`` or the emulated device.
    model_name : str
        The model's name in the API.
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
    ) -> None:
        self.grpc_target, self.rest_url = grpc_target, rest_url
        self.backend, self.device, self.model_name, self.pid = backend, device, model_name, pid
        self._end: Callable[[], Any] = lambda: None

    def stop(self) -> None:
        """Stop the server if it was started here, and wait until it is gone."""
        self._end()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.terminate()
    try:
        process.wait(15.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()
    shutil.rmtree(folder, ignore_errors=True)


def attach(target: str, model_name: str) -> Server:
    """A server that runs already, by its gRPC address; REST is taken to be on port 8501.

    Its process is found if it listens on this machine and is ours to see. `ValueError` where ``target`` is not
    ``host:port``, or nothing listens there.
    """
    import psutil

    host, _, port = target.rpartition(":")
    if not (host and port.isdecimal()):
        raise ValueError(f"target must be host:port, got {target!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except OSError as error:
        raise ValueError(f"nothing listens at the target {target!r} ({error}): start it") from None
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    pids = [c.pid for c in listening if c.laddr.port == int(port)]
    pid = pids[0] if pids and host in ("127.0.0.1", "localhost") else None
    label = f"server at {target}"
    return Server(target, f"http://{host}:8501", backend=label, model_name=model_name, pid=pid)


def serve(
    model_dir: str | Path,
    *,
    model_name: str = "",
    backend: str = "auto",
    grpc_port: int = 0,
    rest_port: int = 0,
    batching: Batching | None = None,
    monitoring: Monitoring | None = None,
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
    batching : Batching, optional
        Micro-batching.
    monitoring : Monitoring, optional
        Whether and where the REST port shows metrics; at TensorFlow Serving's usual path without it.
    device : Device or str, optional
        Emulated device (embedded back end only), such as ``"slots=1,fixed_s=0.01"``.
    max_threads : int
        Calls in the server at once (``--grpc_max_threads``); more are RESOURCE_EXHAUSTED.
    cores : sequence of int, optional
        CPUs that the embedded server may run on.
    timeout_s : float
        How long to wait for it.

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
    chosen = choose_backend(backend, device)
    folder = Path(tempfile.mkdtemp(prefix="capkit-serve-"))
    ports = (grpc_port, rest_port)
    if chosen == "embedded":
        command = [sys.executable, "-m", "capkit", "serve", "--backend=embedded", "--stop-on-eof"]
        command += [f"--model-dir={base_path}", f"--model-name={name}"]
        command += [f"--port={grpc_port}", f"--rest-port={rest_port}"]
        command += [f"--max-threads={max_threads}", f"--cores={','.join(map(str, cores or ()))}"]
        command += [f"--device={device}"] if device else []
        for flag, given in (("batching-parameters", batching), ("monitoring-config", monitoring)):
            if given:
                (folder / f"{flag}.txt").write_text(given.to_text(), encoding="utf-8")
                command.append(f"--{flag}-file={folder}/{flag}.txt")
    else:
        ports = (grpc_port or _free_port(), rest_port or _free_port())
        options: dict[str, Any] = {"batching": batching, "monitoring": monitoring, "ports": ports}
        options |= {"max_threads": max_threads, "config": folder}
        command = server_command(chosen, base_path, name, **options)
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=err)
    try:
        where = _await_model(process, folder, ports, name, timeout_s, chosen == "embedded")
    except BaseException:
        _end(process, folder)
        raise
    server = Server(
        *where,
        backend=LABELS[chosen],
        model_name=name,
        device=f"emulated ({device.label})" if device else "cpu",
        pid=process.pid,
    )
    server._end = weakref.finalize(server, _end, process, folder)
    return server


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _await_model(
    process: subprocess.Popen[bytes],
    folder: Path,
    ports: tuple[int, int],
    name: str,
    timeout_s: float,
    embedded: bool,
) -> tuple[str, str]:
    """Wait until the model answers: the embedded server says where then, others are asked."""
    from capkit.serving.client import Client

    target, rest_url = f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    deadline = time.monotonic() + timeout_s
    while True:
        first, newline, _ = (folder / "out").read_text(encoding="utf-8").partition("\n")
        if embedded and newline:
            said = json.loads(first)
            return said["grpc"], said["rest"]
        if not embedded:
            with Client(target, name) as client:
                if client.state() == "AVAILABLE":
                    return target, rest_url
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            words = (folder / "err").read_text(encoding="utf-8", errors="replace")[-2000:].strip()
            what = f"ended with status {process.returncode}" if ended else "did not answer in time"
            raise RuntimeError(f"the server {what}: {words or 'it said nothing'}")
        time.sleep(0.02)
