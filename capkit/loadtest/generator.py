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
from threading import Event, Semaphore, Thread
from typing import Any

import grpc
import numpy as np

METHOD = "/tensorflow.serving.PredictionService/Predict"
TIMING_KEY = "capkit-timing"


class Generator:
    """Sends what the plan says; one row a request: intended, sent, done, code, wait, service, batch."""

    def __init__(self, plan: dict[str, Any], requests: list[bytes], call: Any) -> None:
        self.plan, self.requests, self.call = plan, requests, call
        self.rows: list[tuple[float, ...]] = []
        self.stop = Event()

    def note(self, intended: float, sent: float, call: Any) -> None:
        """Add the row of an answered call."""
        done, told = time.monotonic(), ["nan"] * 3
        for key, value in call.trailing_metadata() or ():
            if key == TIMING_KEY:
                told = value.split(",")
        wait, service, batch = (float(number) for number in told)
        code = call.code().value[0]
        self.rows.append((intended, sent, done, code, wait / 1e6, service / 1e6, batch))

    def open_loop(self, arrivals: list[float]) -> tuple[float, bool]:
        """Send at the given times whatever the server does; the clock at time 0, and if all was sent."""
        answered = Semaphore(0)

        def send(intended: float, data: bytes) -> None:
            def done(future: Any) -> None:
                try:
                    self.note(intended, sent, future)
                finally:
                    answered.release()

            sent = time.monotonic()
            self.call.future(data, timeout=self.plan["timeout_s"]).add_done_callback(done)

        begin, count = time.monotonic() + 0.05, 0
        for offset in arrivals:
            intended = begin + offset
            while (ahead := intended - time.monotonic()) > 0 and not self.stop.is_set():
                time.sleep(min(ahead, 0.1))
            if self.stop.is_set():
                break
            send(intended, self.requests[count % len(self.requests)])
            count += 1
        for _ in range(count):
            answered.acquire()
        return begin, count == len(arrivals)

    def closed_loop(self) -> tuple[float, bool]:
        """So many clients that each wait for the answer before they send again."""
        begin, clients = time.monotonic(), self.plan["clients"]
        end = begin + self.plan["duration_s"]

        def client(index: int) -> None:
            while (sent := time.monotonic()) < end and not self.stop.is_set():
                data = self.requests[index % len(self.requests)]
                try:
                    _, done = self.call.with_call(data, timeout=self.plan["timeout_s"])
                except grpc.RpcError as error:
                    done = error
                self.note(sent, sent, done)
                index += clients

        threads = [Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return begin, not self.stop.is_set()


def main(folder: Path) -> None:
    """Carry out the plan in ``folder``."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    with np.load(folder / "requests.npz") as file:
        ends, joined = np.cumsum(file["lengths"]), file["joined"].tobytes()
        requests = [joined[b - n : b] for b, n in zip(ends, file["lengths"], strict=True)]
    if plan["cores"]:
        os.sched_setaffinity(0, plan["cores"])
    sys.setswitchinterval(2e-4)
    size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(plan["target"], options=size) as channel:
        generator = Generator(plan, requests, channel.unary_unary(METHOD))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: generator.stop.set())
        try:
            grpc.channel_ready_future(channel).result(timeout=plan["timeout_s"])
        except grpc.FutureTimeoutError:
            sys.exit(f"no server answers at {plan['target']}")
        gc.collect()
        gc.freeze()
        cpu_s = time.process_time()
        if plan["clients"]:
            begin, complete = generator.closed_loop()
        else:
            begin, complete = generator.open_loop(np.load(folder / "arrivals.npy").tolist())
        cpu_s = time.process_time() - cpu_s
    rows = np.array(sorted(generator.rows), dtype=float).reshape(-1, 7)
    rows[:, :3] -= begin
    np.savez(folder / "result.npz", rows=rows, began=begin, cpu_s=cpu_s, complete=complete)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
