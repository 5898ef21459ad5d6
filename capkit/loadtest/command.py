"""`python -m capkit loadtest`: an open or closed loop against any server of the API."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from capkit.loadtest.schedule import LAWS


def main(arguments: list[str] | None = None) -> int:
    """Send a load to a server of TensorFlow Serving's gRPC API and report the latency."""
    parser = argparse.ArgumentParser(prog="python -m capkit loadtest", description=main.__doc__)
    parser.add_argument("--target", default="127.0.0.1:8500", help="host:port of gRPC")
    parser.add_argument("--model-name", default="mnist_cnn")
    load = parser.add_mutually_exclusive_group(required=True)
    load.add_argument("--rate", type=float, nargs="+", help="open loop: requests a second")
    load.add_argument("--trace", help="open loop: replay chat, code or a CSV file's arrival times")
    load.add_argument("--clients", type=int, help="closed loop: clients that wait for answers")
    parser.add_argument("--law", default="poisson", choices=LAWS, help="of the arrivals at --rate")
    parser.add_argument("--trace-column", default="timestamp", help="column of the file")
    parser.add_argument("--speed", type=float, default=1.0, help="replay --trace so much faster")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured, at each level")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds of load not counted")
    parser.add_argument("--batch", type=int, default=1, help="examples in a request")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="CSV file for the levels; a JSON file beside it")
    given = parser.parse_args(arguments)

    import grpc
    import pandas as pd

    from capkit.datasets import arrival_times
    from capkit.loadtest.run import run, run_closed
    from capkit.loadtest.schedule import replay
    from capkit.loadtest.sweep import sweep
    from capkit.serving.client import Client

    target, warmup_s = given.target, given.warmup
    rng = np.random.default_rng(given.seed)
    try:
        with Client(target, given.model_name) as client:
            data = [client.sample_request(given.batch)]
        if given.clients:
            seconds = warmup_s + given.seconds
            result = run_closed(target, given.clients, seconds, data, warmup_s=warmup_s)
            table = pd.DataFrame([result.row()])
        elif given.trace:
            recorded = arrival_times(given.trace, rng, column=given.trace_column)
            due = (recorded - recorded[0]) / given.speed < warmup_s + given.seconds
            schedule = replay(recorded[due], speed=given.speed)
            table = pd.DataFrame([run(target, schedule, data, warmup_s=warmup_s).row()])
        else:
            options = {"law": given.law, "path": given.out, "warmup_s": warmup_s}
            table = sweep(target, given.rate, data, rng, duration_s=given.seconds, **options)
    except grpc.RpcError as error:
        parser.exit(1, f"{parser.prog}: {error.code().name}: {error.details()}\n")
    except (ValueError, RuntimeError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    if given.out:
        table.to_csv(given.out, index=False)
    print(table.round(3).T.to_string(header=False))
    return 0 if table["valid"].all() else 1
