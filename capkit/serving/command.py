"""`python -m capkit serve`."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from capkit.serving.batching import Batching
from capkit.serving.device import Device
from capkit.serving.launch import BACKENDS, choose_backend, latest_version, serve
from capkit.serving.metrics import Monitoring

T = TypeVar("T")


def _read(file: Path | None, parse: Callable[[str], T]) -> T | None:
    return parse(file.read_text(encoding="utf-8")) if file else None


def main(arguments: list[str] | None = None) -> int:
    """Serve a SavedModel over gRPC and REST until SIGTERM or SIGINT; work in flight is finished."""
    parser = argparse.ArgumentParser(prog="python -m capkit serve", description=main.__doc__)
    parser.add_argument("--model-dir", required=True, help="folder with numbered version folders")
    parser.add_argument("--model-name", default="", help="name in the API (default: the folder's)")
    parser.add_argument("--backend", default="auto", choices=BACKENDS)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address that the embedded server listens on: this machine only; "
        "0.0.0.0 opens it to the network",
    )
    parser.add_argument("--port", type=int, default=8500, help="gRPC port, 0 for a free one")
    parser.add_argument("--rest-port", type=int, default=8501, help="REST port, 0 for a free one")
    parser.add_argument("--batching-parameters-file", type=Path, help="TensorFlow Serving's file")
    parser.add_argument("--monitoring-config-file", type=Path, help="TensorFlow Serving's file")
    parser.add_argument("--device", help="emulate one, such as slots=1,fixed_s=0.01")
    parser.add_argument("--max-threads", type=int, default=64, help="calls at once")
    parser.add_argument("--cores", default="", help="CPUs to run on, such as 0,1")
    parser.add_argument("--stop-on-eof", action="store_true", help="stop when standard input ends")
    given = parser.parse_args(arguments)
    try:
        options: dict[str, Any] = {
            "grpc_port": given.port,
            "rest_port": given.rest_port,
            "batching": _read(given.batching_parameters_file, Batching.parse),
            "monitoring": _read(given.monitoring_config_file, Monitoring.parse),
            "device": Device.parse(given.device) if given.device else None,
            "max_threads": given.max_threads,
            "cores": [int(core) for core in given.cores.split(",") if core],
        }
        latest_version(given.model_dir)
        name = given.model_name or Path(given.model_dir).resolve().name
        if choose_backend(given.backend, options["device"]) == "embedded":
            from capkit.serving.embedded import run

            run(given.model_dir, name, host=given.host, stop_on_eof=given.stop_on_eof, **options)
        if given.host != "127.0.0.1":
            parser.error("--host is for the embedded back end only")
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        with serve(given.model_dir, model_name=name, backend=given.backend, **options) as server:
            print(f"{server.backend}: {server.grpc_target}, {server.rest_url}", flush=True)
            stop.wait()
    except (ValueError, OSError, RuntimeError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return 0
