"""The load generator's process: `python -m capkit.loadtest.generator FOLDER`.

It reads ``plan.json``, ``requests.npz`` and, for an open loop, ``arrivals.npy`` from the folder and
writes ``result.npz`` there. One thread sends and reads; no TensorFlow, no gRPC library, requests come to
it serialised. SIGTERM ends the sending; what was measured by then is written.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import hpack
import numpy as np

from capkit.loadtest.http2 import Connection

METHOD = "/tensorflow.serving.PredictionService/Predict"
STATUS_KEY, TIMING_KEY = b"grpc-status", b"capkit-timing"
UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE = 2, 4, 13, 14
RESETS = {7: UNAVAILABLE, 8: 1, 11: 8}  # HTTP/2's error code to gRPC's status
AHEAD_S = 0.05


class Generator:
    """Sends what the plan says; a row a request: intended, sent, done, then how it ended."""

    def __init__(self, plan: dict[str, Any], requests: list[bytes], connection: Connection) -> None:
        self.plan, self.requests, self.connection = plan, requests, connection
        self.sent: list[float] = []
        self.done: list[float | None] = []
        self.ends: list[bytes | int | None] = []  # the last header block, or a status code
        self.oldest = 0  # all before it have ended
        self.stopped = ""

    def stop(self, *signal_details: object) -> None:
        """Send no more."""
        self.stopped = "interrupted before the end of the schedule"

    def send(self) -> None:
        """Begin the next call."""
        count = len(self.sent)
        self.connection.call(self.requests[count % len(self.requests)])
        self.sent.append(time.monotonic())
        self.done.append(None)
        self.ends.append(None)

    def read(self, seconds: float) -> int:
        """Wait for answers so long; note them, give up calls past their deadline. How many ended."""
        connection, oldest = self.connection, self.oldest
        while oldest < len(self.sent) and self.ends[oldest] is not None:
            oldest += 1
        self.oldest, now = oldest, time.monotonic()
        if oldest < len(self.sent):
            deadline = self.sent[oldest] + self.plan["timeout_s"]
            if now >= deadline:
                connection.cancel(2 * oldest + 1)
                self.done[oldest], self.ends[oldest] = now, DEADLINE_EXCEEDED
                return 1
            seconds = min(seconds, deadline - now)
        connection.wait(min(seconds, 0.1))
        ended, connection.ended = connection.ended, []
        for stream, when, how in ended:
            self.done[stream // 2] = when
            self.ends[stream // 2] = RESETS.get(how, INTERNAL) if isinstance(how, int) else how
        return len(ended)

    def open_loop(self, begin: float, arrivals: list[float]) -> None:
        """Send at the given times whatever the server does."""
        connection, count = self.connection, 0
        while count < len(arrivals) and not self.over():
            now = time.monotonic() - begin
            while (
                count < len(arrivals)
                and arrivals[count] <= now
                and len(connection.open) < connection.most_open
            ):
                self.send()
                count += 1
            due = arrivals[count] if count < len(arrivals) else now
            self.read(begin + due - time.monotonic())

    def closed_loop(self, begin: float) -> None:
        """So many clients that each wait for the answer before they send again."""
        end = begin + self.plan["duration_s"]
        free = self.plan["clients"]
        while time.monotonic() < end and not self.over():
            for _ in range(free):
                self.send()
            free = self.read(end - time.monotonic())

    def over(self) -> bool:
        """Whether nothing more is to be sent."""
        self.stopped = self.stopped or self.connection.lost or self.connection.refusing
        return bool(self.stopped)

    def drain(self) -> None:
        """Wait for the answers that are still to come."""
        while self.connection.open and not self.connection.lost:
            self.read(0.1)
        if self.connection.open:
            self.over()
            self.done = [time.monotonic() if end is None else end for end in self.done]

    def rows(self, intended: Any, begin: float) -> Any:
        """The table of the requests sent: intended, sent, done, code, wait, service, batch."""
        ends = [UNAVAILABLE if end is None else end for end in self.ends]
        sent, done = np.array(self.sent), np.array(self.done, dtype=float)
        decoder, told = hpack.Decoder(), np.full((len(ends), 4), np.nan)
        for row, end in zip(told, ends, strict=True):
            row[0] = end if isinstance(end, int) else UNKNOWN
            for key, value in () if isinstance(end, int) else decoder.decode(end, raw=True):
                if key == STATUS_KEY:
                    row[0] = int(value)
                elif key == TIMING_KEY:
                    row[1:] = [float(number) for number in value.split(b",")]
        told[:, 1:3] /= 1e6
        due = sent - begin if intended is None else intended[: sent.size]
        return np.column_stack([due, sent - begin, done - begin, told])


def main(folder: Path) -> None:
    """Carry out the plan in ``folder``."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    with np.load(folder / "requests.npz") as file:
        ends, joined = np.cumsum(file["lengths"]), file["joined"].tobytes()
        requests = [joined[b - n : b] for b, n in zip(ends, file["lengths"], strict=True)]
    arrivals = None if plan["clients"] else np.load(folder / "arrivals.npy")
    if plan["cores"]:
        os.sched_setaffinity(0, plan["cores"])
    try:
        connection = Connection(plan["target"], METHOD, plan["timeout_s"])
    except OSError as error:
        sys.exit(f"no server answers at {plan['target']}: {error}")
    generator = Generator(plan, requests, connection)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, generator.stop)
    gc.collect()
    gc.freeze()
    cpu_s, begin = time.process_time(), time.monotonic()
    if arrivals is None:
        generator.closed_loop(begin)
    else:
        begin += AHEAD_S
        generator.open_loop(begin, arrivals.tolist())
    generator.drain()
    cpu_s = time.process_time() - cpu_s
    connection.close()
    np.savez(
        folder / "result.npz",
        rows=generator.rows(arrivals, begin),
        began=begin,
        cpu_s=cpu_s,
        stopped=generator.stopped,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
