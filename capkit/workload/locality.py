"""The same bytes from memory, from disk and over HTTP: what the place of the data costs."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd

Read = Callable[[int, int], bytes]


@contextmanager
def serve_bytes(content: bytes) -> Iterator[int]:
    """Serve ``content`` over HTTP on the loopback interface, ranges included; gives the port.

    >>> with serve_bytes(b"0123456789") as port, over_http(port) as read:
    ...     read(2, 3)
    b'234'
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # one connection for all requests
        wbufsize = -1  # headers and body leave together

        def do_GET(self) -> None:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            body = content[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def over_http(port: int) -> Iterator[Read]:
    """A reader of ranges from `serve_bytes`, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def read(start: int, size: int) -> bytes:
        connection.request("GET", "/", headers={"Range": f"bytes={start}-{start + size - 1}"})
        return connection.getresponse().read()

    try:
        yield read
    finally:
        connection.close()


@contextmanager
def from_disk(path: Path, *, cold: bool) -> Iterator[Read]:
    """A reader of ranges from a file; ``cold`` drops it from the page cache first, where the system can."""
    with path.open("rb", buffering=0) as file:
        if cold and hasattr(os, "posix_fadvise"):
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

        def read(start: int, size: int) -> bytes:
            file.seek(start)
            return file.read(size)

        yield read


def compare_places(
    content: bytes, record: int, folder: Path, work: Callable[[bytes], object]
) -> pd.DataFrame:
    """Do the same work on the same bytes from four places, in one piece and record by record.

    Parameters
    ----------
    content : bytes
        The data, whole records.
    record : int
        Bytes of a record.
    folder : Path
        Where the file for the disk is written.
    work : callable(bytes)
        What is done with each piece: the job whose time is compared.

    Returns
    -------
    DataFrame
        Index ``place`` (memory, page cache, disk, HTTP) and ``read`` (whole, by record): ``reads``, ``mb``,
        ``seconds`` with the work, ``us_per_read``.

    ValueError if the content is not made of whole records.
    """
    if record < 1 or not content or len(content) % record:
        raise ValueError(f"{len(content)} bytes are not whole records of {record} bytes")
    path = folder / "records.bin"
    path.write_bytes(content)

    def seconds(read: Read, size: int) -> float:
        started = time.perf_counter()
        for start in range(0, len(content), size):
            work(read(start, size))
        return time.perf_counter() - started

    rows = {}
    for label, size in (("whole", len(content)), ("by record", record)):
        rows["memory", label] = seconds(lambda start, size: content[start : start + size], size)
        for place, cold in (("disk", True), ("page cache", False)):
            with from_disk(path, cold=cold) as read:
                rows[place, label] = seconds(read, size)
        with serve_bytes(content) as port, over_http(port) as read:
            read(0, 1)  # connect
            rows["HTTP", label] = seconds(read, size)
    table = pd.Series(rows).rename_axis(["place", "read"]).to_frame("seconds")
    reads = {"whole": 1, "by record": len(content) // record}
    table.insert(0, "reads", table.index.get_level_values("read").map(reads))
    table.insert(1, "mb", len(content) / 1e6)
    table["us_per_read"] = 1e6 * table["seconds"] / table["reads"]
    return table.loc[["memory", "page cache", "disk", "HTTP"]]
