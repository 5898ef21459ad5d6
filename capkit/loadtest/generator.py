"""The load generator's process: `python -m capkit.loadtest.generator FOLDER`.

It reads ``plan.json``, ``requests.npz`` and, for an open loop, ``arrivals.npy`` from the folder and
writes ``result.npz`` there. It imports gRPC and NumPy and nothing of TensorFlow: requests come to it
serialised. SIGTERM ends the sending; what was measured by then is written.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from threading import Event, Lock, Semaphore, Thread
from typing import Any

import grpc
import numpy as np

METHOD = "/tensorflow.serving.PredictionService/Predict"
TIMING_KEY = "capkit-timing"


class Record:
    """One row a request: intended, sent, answered, status code, server's wait, service, batch."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._lock = Lock()

    def add(self, intended: float, sent: float, call: Any) -> None:
        """Note an answered call."""
        done = time.monotonic()
        code = call.code().value[0]
        wait = service = batch = float("nan")
        for key, value in call.trailing_metadata() or ():
            if key == TIMING_KEY:
                wait, service, batch = (float(number) for number in value.split(","))
        with self._lock:
            self._rows.append((intended, sent, done, code, wait / 1e6, service / 1e6, batch))

    def write(self, path: Path, begin: float, cpu_s: float, complete: bool) -> None:
        """Write all rows, in order of the intended time, with times from ``begin``."""
        rows = np.array(sorted(self._rows), dtype=float).reshape(-1, 7)
        rows[:, :3] -= begin
        np.savez(path, rows=rows, began=begin, cpu_s=cpu_s, complete=complete)


def open_loop(
    call: Any, requests: list[bytes], arrivals: Any, timeout_s: float, record: Record, stop: Event
) -> tuple[float, bool]:
    """Send at the given times whatever the server does; the clock at time 0, and whether all was sent."""
    answered = Semaphore(0)

    def note(intended: float, sent: float) -> Any:
        def done(future: Any) -> None:
            try:
                record.add(intended, sent, future)
            finally:
                answered.release()

        return done

    begin = time.monotonic() + 0.05
    count = 0
    for offset in arrivals:
        intended = begin + offset
        while (ahead := intended - time.monotonic()) > 0 and not stop.is_set():
            time.sleep(min(ahead, 0.1))
        if stop.is_set():
            break
        data = requests[count % len(requests)]
        sent = time.monotonic()
        call.future(data, timeout=timeout_s).add_done_callback(note(intended, sent))
        count += 1
    for _ in range(count):
        answered.acquire(timeout=timeout_s + 5.0)
    return begin, count == len(arrivals)


def closed_loop(
    call: Any,
    requests: list[bytes],
    plan: dict[str, Any],
    timeout_s: float,
    record: Record,
    stop: Event,
) -> tuple[float, bool]:
    """So many clients that each wait for the answer (and think) before they send again."""
    begin = time.monotonic()
    end = begin + plan["duration_s"]

    def client(number: int) -> None:
        index = number
        while (sent := time.monotonic()) < end and not stop.is_set():
            try:
                _, done = call.with_call(requests[index % len(requests)], timeout=timeout_s)
                record.add(sent, sent, done)
            except grpc.RpcError as error:
                record.add(sent, sent, error)
            index += plan["clients"]

    threads = [Thread(target=client, args=(number,)) for number in range(plan["clients"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return begin, not stop.is_set()


def main(folder: Path) -> None:
    """Carry out the plan in ``folder``."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    with np.load(folder / "requests.npz") as file:
        ends = np.cumsum(file["lengths"])
        joined = file["joined"].tobytes()
    requests = [joined[b - n : b] for b, n in zip(ends, np.diff(ends, prepend=0), strict=True)]
    if plan["cores"]:
        os.sched_setaffinity(0, plan["cores"])
    sys.setswitchinterval(2e-4)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    record = Record()
    with grpc.insecure_channel(plan["target"], options=size) as channel:
        call = channel.unary_unary(METHOD)
        try:
            grpc.channel_ready_future(channel).result(timeout=plan["timeout_s"])
        except grpc.FutureTimeoutError:
            sys.exit(f"no server answers at {plan['target']}")
        gc.collect()
        gc.freeze()
        cpu_s = time.process_time()
        if plan["clients"]:
            begin, complete = closed_loop(call, requests, plan, plan["timeout_s"], record, stop)
        else:
            arrivals = np.load(folder / "arrivals.npy").tolist()
            begin, complete = open_loop(call, requests, arrivals, plan["timeout_s"], record, stop)
        record.write(folder / "result.npz", begin, time.process_time() - cpu_s, complete)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
