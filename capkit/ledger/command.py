"""`python -m capkit ledger`: predict, lock, measure, report."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from capkit.ledger.measurement import lock_path, measure
from capkit.ledger.predictions import LOADS, check_terms, lock_predictions
from capkit.ledger.report import read_ledger, read_parts
from capkit.ledger.subject import DEVICE, Subject, calibrate, device_subject


def main(arguments: list[str] | None = None) -> int:
    """Predict an emulated device and the real model, lock the predictions, measure, print the signed errors."""
    parser = argparse.ArgumentParser(prog="python -m capkit ledger", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for locks, entries, CSV")
    parser.add_argument("--loads", type=float, nargs="+", default=LOADS, help="shares of full load")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load at each, sent twice")
    parser.add_argument("--target", help="host:port of a server: that one only, not the two here")
    parser.add_argument("--model-name", default="mnist_cnn", help="of the server at --target")
    parser.add_argument("--model-dir", help="folder with numbered versions; the course's without")
    parser.add_argument("--device", default=DEVICE, help="the emulated device")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)

    import grpc

    from capkit import course
    from capkit.loadtest import split_cores
    from capkit.queueing import error_table
    from capkit.serving import attach, serve

    server_cores, load_cores = split_cores()
    folder: Path = given.out
    host, _, port = (given.target or "host:1").rpartition(":")
    if not (host and port.isdigit()):
        parser.error(f"--target is host:port, such as 127.0.0.1:8500; got {given.target!r}")
    try:
        check_terms(given.loads, given.seconds)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.glob("*.json")):
            raise ValueError(f"{folder} holds a ledger already: take another folder")
        model_dir = given.model_dir or course.reference("04_training_benchmark").path("mnist_cnn")

        def complete(subject: Subject) -> bool:
            with subject.server:
                known = calibrate(subject, given.seconds, np.random.default_rng(given.seed))
                terms = (given.loads, given.seconds, given.seed)
                lock = lock_predictions(lock_path(folder, subject.name), subject, known, *terms)
                print(f"{subject.name}: locked {lock['locked']}, sha256 {lock['sha256']}")
                done = measure(subject, folder)
            print(f"{subject.name}: {done} of {len(given.loads)} loads measured")
            return done == len(given.loads)

        try:
            if given.target:
                server = attach(given.target, given.model_name)
                complete(Subject("real model", server, cores=load_cores))
            else:
                server = serve(model_dir, device=given.device, cores=server_cores)
                if complete(device_subject(server, given.device, load_cores)):
                    server = serve(model_dir, cores=server_cores)
                    complete(Subject("real model", server, cores=load_cores))
        except KeyboardInterrupt:
            print("interrupted: what was measured is kept")
        table = read_ledger(folder)
    except grpc.RpcError as error:
        parser.exit(1, f"{parser.prog}: {error.code().name}: {error.details()}\n")
    except (ValueError, RuntimeError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    table.to_csv(folder / "ledger.csv", index=False)
    read_parts(folder).to_csv(folder / "parts.csv", index=False)
    for server_name, rows in table.groupby("server", sort=False):
        print(f"\n{server_name}: errors in per cent\n{error_table(rows).to_string(index=False)}")
    return 0 if table["valid"].all() else 1
