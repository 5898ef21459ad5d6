"""Figures of the load generator: its rate and lateness beside locust, its latency beside perf_analyzer.

The fast server is nghttpd (Debian's package nghttp2-server), which answers every call with the same bytes: a
server written in Python would be slower than the generator. `python benchmarks/loadtest.py` writes loadtest.md.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_page
from peers import locust, perf_analyzer

from capkit import loadtest, serving
from capkit.course import reference
from capkit.loadtest.generator import METHOD
from capkit.serving.client import Client

HERE = Path(__file__).parent
SERVER_CORES, LOAD_CORES = loadtest.split_cores()
MESSAGE = bytes(3185)
PAIRS = 5


@contextmanager
def fast_server() -> Iterator[str]:
    """nghttpd on one core, answering any call of the method with 100 bytes and status 0."""
    if not shutil.which("nghttpd"):
        sys.exit("nghttpd is not on PATH: apt-get install nghttp2-server")
    with socket.socket() as probe, tempfile.TemporaryDirectory() as name:
        probe.bind(("127.0.0.1", 0))
        port, folder = probe.getsockname()[1], Path(name)
        probe.close()
        answer = folder / METHOD[1:]
        answer.parent.mkdir()
        answer.write_bytes(b"\0" + (100).to_bytes(4, "big") + bytes(100))
        (folder / "types").write_text(f"application/grpc {METHOD.rpartition('.')[2]}\n")
        command = ["taskset", "-c", str(SERVER_CORES[0]), "nghttpd", "--no-tls", "-a", "127.0.0.1"]
        command += ["-d", name, "--trailer", "grpc-status: 0", "-m", "1000"]
        command += [f"--mime-types-file={folder}/types", str(port)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            time.sleep(0.5)
            try:
                yield f"127.0.0.1:{port}"
            finally:
                process.terminate()


def locust_rate(target: str, users: int, seconds: int = 5) -> float:
    """Good calls a second of locust, pinned to the generator's core."""
    command = ["taskset", "-c", ",".join(map(str, LOAD_CORES)), locust(), "-f"]
    command += [HERE / "locustfile.py", "--headless", "-u", str(users), "-r", "200"]
    command += ["-t", f"{seconds}s", "--only-summary", "--host", target]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    calls, failed, rate = re.search(
        r"Aggregated\s+(\d+)\s+(\d+)\(.*\|\s+([\d.]+)\s+[\d.]+\s*$", done.stderr + done.stdout, re.M
    ).groups()
    assert int(calls) > 0 and int(failed) == 0, done.stderr
    return float(rate)


def beside_locust() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Calls a second at several numbers of users, in turn; then the lateness at 80 % of the best rate."""
    rows = []
    with fast_server() as target:
        for users in (1, 16, 64):
            for _ in range(PAIRS):
                ours = loadtest.run_closed(
                    target, users, 4.0, [MESSAGE], warmup_s=1.0, cores=LOAD_CORES
                )
                assert not ours.errors
                rows.append((users, ours.throughput, locust_rate(target, users)))
        rates = pd.DataFrame(rows, columns=["users", "capkit, 1/s", "locust, 1/s"])
        rates["ratio"] = rates["capkit, 1/s"] / rates["locust, 1/s"]
        rates = rates.groupby("users").median().reset_index()
        own, other = rates["capkit, 1/s"].max(), rates["locust, 1/s"].max()
        loads = {"80 % of 3 x locust's best": 2.4 * other}
        loads |= {f"{share} % of the own best": share / 100 * own for share in (20, 50, 80)}
        rows = []
        for load, rate in loads.items():
            schedule = loadtest.draw_schedule("poisson", rate, 5.0, np.random.default_rng(1))
            late = [
                np.quantile(
                    loadtest.run(
                        target, schedule, [MESSAGE], warmup_s=1.0, cores=LOAD_CORES
                    ).lateness_ms,
                    [0.5, 0.99],
                )
                for _ in range(PAIRS)
            ]
            rows.append((load, rate, *np.median(late, axis=0)))
    columns = ["load", "1/s", "lateness p50, ms", "lateness p99, ms"]
    return rates, pd.DataFrame(rows, columns=columns)


def perf_analyzer_row(target: str) -> tuple[float, float]:
    """Throughput (1/s) and median latency (ms) that perf_analyzer measures at concurrency 1."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "out.csv"
        command = [perf_analyzer(), "--service-kind", "tfserving", "-i", "grpc", "-m", "mnist_cnn"]
        command += ["-u", target, "-b", "1", "--concurrency-range", "1:1"]
        command += ["--measurement-interval", "2000", "-f", table]
        subprocess.run(command, check=True, capture_output=True)
        row = pd.read_csv(table).iloc[0]
    return row["Inferences/Second"], row["p50 latency"] / 1e3


def beside_perf_analyzer() -> pd.DataFrame:
    """Both at concurrency 1 on an emulated device of 10 ms, in turn."""
    rows = []
    model = reference("04_training_benchmark").path("mnist_cnn")
    with serving.serve(model, device="fixed_s=0.01") as server:
        with Client(server.grpc_target, "mnist_cnn") as client:
            message = client.sample_request()
        for _ in range(PAIRS):
            ours = loadtest.run_closed(server.grpc_target, 1, 6.0, [message], warmup_s=1.0)
            theirs = perf_analyzer_row(server.grpc_target)
            rows.append((ours.throughput, theirs[0], ours.percentile(0.5), theirs[1]))
    names = ["capkit, 1/s", "perf_analyzer, 1/s", "capkit p50, ms", "perf_analyzer p50, ms"]
    table = pd.DataFrame(rows, columns=names).median().to_frame().T
    table["throughput, %"] = 100 * (table.iloc[:, 0] / table.iloc[:, 1] - 1)
    table["p50, %"] = 100 * (table.iloc[:, 2] / table.iloc[:, 3] - 1)
    return table


def main() -> None:
    rates, lateness = beside_locust()
    parts = {
        "Calls a second, one core for the generator and one for the server: medians of pairs": rates,
        "Lateness in an open loop (Poisson)": lateness,
        "Concurrency 1, emulated device of 10 ms: medians of pairs": beside_perf_analyzer(),
    }
    write_page(__file__, "The load generator", parts)


if __name__ == "__main__":
    main()
