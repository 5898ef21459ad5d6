"""Figures of the embedded server: against a bare gRPC echo, micro-batching, the emulated device.

`python benchmarks/serving.py` writes benchmarks/serving.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import psutil
from pages import write_page

from capkit import loadtest, serving
from capkit.course import reference
from capkit.loadtest.generator import METHOD
from capkit.serving import api
from capkit.simulation import simulate_fcfs

MODEL = reference("04_training_benchmark").path("mnist_cnn")
IMAGES = np.random.default_rng(1).random((64, 1, 28, 28, 1), dtype=np.float32)
REQUESTS = [
    api.predict_request(image, "mnist_cnn", input_name="image").SerializeToString()
    for image in IMAGES
]
SERVER_CORES, LOAD_CORES = loadtest.split_cores()


def echo() -> None:
    """A bare gRPC server that runs the same model call in its handler, and nothing else."""
    import grpc

    from capkit.serving.model import Model

    psutil.Process().cpu_affinity(SERVER_CORES)
    model = Model(MODEL, "mnist_cnn")

    def answer(data: bytes, context: object) -> bytes:
        request = api.predict_pb2.PredictRequest.FromString(data)
        image = api.from_proto(request.inputs["image"])
        response = api.predict_pb2.PredictResponse()
        (output,) = model.run("serving_default", {"image": image}, ("output_0",))
        response.outputs["output_0"].CopyFrom(api.to_proto(output, raw=False))
        return response.SerializeToString()

    server = grpc.server(ThreadPoolExecutor(64), options=[("grpc.so_reuseport", 0)])
    service, _, method = METHOD[1:].partition("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()


def closed(target: str, clients: int, seconds: float = 3.0) -> loadtest.LoadTestResult:
    """A closed loop with one second of warm-up."""
    return loadtest.run_closed(
        target, clients, 1.0 + seconds, REQUESTS, warmup_s=1.0, cores=LOAD_CORES
    )


def against_echo(pairs: int = 9) -> pd.DataFrame:
    """Throughput at 16 clients of the embedded server and of the echo, in turn."""
    command = [sys.executable, __file__, "--echo"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        serving.serve(MODEL, backend="embedded", cores=SERVER_CORES) as server,
    ):
        bare = f"127.0.0.1:{int(process.stdout.readline())}"
        rows = [
            (closed(server.grpc_target, 16).throughput, closed(bare, 16).throughput)
            for _ in range(pairs)
        ]
        process.stdin.close()
    table = pd.DataFrame(rows, columns=["embedded, 1/s", "echo, 1/s"])
    table["ratio"] = table.iloc[:, 0] / table.iloc[:, 1]
    return table


def micro_batching(pairs: int = 3) -> pd.DataFrame:
    """Throughput at 64 clients with several time-outs, each beside the unbatched server in turn."""
    rows = []
    options = {"backend": "embedded", "cores": SERVER_CORES, "max_threads": 256}
    with serving.serve(MODEL, **options) as plain:
        for timeout_us in (0, 500, 1000, 2000, 5000):
            batching = serving.Batching(32, timeout_us, num_batch_threads=1)
            with serving.serve(MODEL, batching=batching, **options) as batched:
                for _ in range(pairs):
                    on, off = (closed(s.grpc_target, 64).throughput for s in (batched, plain))
                    rows.append((timeout_us / 1e3, off, on, on / off))
    columns = ["time-out, ms", "off, 1/s", "on, 1/s", "ratio"]
    return pd.DataFrame(rows, columns=columns).groupby("time-out, ms").median().reset_index()


def emulated_device(requests: int = 3000, mean_s: float = 0.01, slots: int = 4) -> pd.DataFrame:
    """Latency of the emulated device against the replay of its own arrivals and service times."""
    rows = []
    for law in ("constant", "exponential"):
        device = serving.Device(slots=slots, fixed_s=mean_s, law=law)
        with serving.serve(MODEL, device=device, max_threads=1000) as server:
            for load in (0.3, 0.5, 0.7, 0.85):
                rate = load * slots / mean_s
                schedule = loadtest.draw_schedule(
                    "poisson", rate, requests / rate, np.random.default_rng(1)
                )
                result = loadtest.run(server.grpc_target, schedule, REQUESTS, cores=LOAD_CORES)
                replayed = 1e3 * (
                    simulate_fcfs(result.intended_s, result.service_s, slots) + result.service_s
                )
                row = {"service": law, "load": load, "requests": result.latency_ms.size}
                figures = {"mean": np.mean, "p95": lambda v: np.quantile(v, 0.95)}
                for name, figure in figures.items():
                    measured, predicted = figure(result.latency_ms), figure(replayed)
                    row[f"{name}, ms"] = measured
                    row[f"{name} error, %"] = 100 * (predicted / measured - 1)
                rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--echo", action="store_true", help="only the bare server, for a pair")
    given = parser.parse_args()
    if given.echo:
        echo()
        return
    pairs = against_echo()
    parts = {
        "One core, batch 1, 16 clients: the embedded server and a bare gRPC echo in turn (median first)": pd.concat(
            [pairs.median().to_frame().T, pairs], ignore_index=True
        )
    }
    later = {
        "Micro-batching, 64 clients: medians of pairs": micro_batching,
        "Emulated device of 4 slots and 10 ms against the replay of its own draws": emulated_device,
    }
    for heading, measure in later.items():
        parts[heading] = measure()
        write_page(__file__, "The embedded server", parts)


if __name__ == "__main__":
    main()
