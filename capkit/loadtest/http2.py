"""One HTTP/2 connection that carries calls of one gRPC method: what a load generator needs, no more.

A general client spends 0.15 ms of Python on a call. Here a request is written as bytes that were made
beforehand, and of an answer only the frame that ends it is looked at; its header block is kept and decoded
(by ``hpack``) after the test. Frames, settings and flow control: RFC 9113; the calls: gRPC over HTTP/2.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, STREAM_WINDOW, FRAME_SIZE = 1, 2, 3, 4, 5
LARGEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535
CANCEL = 8

_header = struct.Struct(">BHBBI")
_word = struct.Struct(">I")
_setting = struct.Struct(">HI")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame, its length first.

    >>> frame(PING, ACK, 0, bytes(8)).hex()
    '0000080601000000000000000000000000'
    """
    size = len(payload)
    return _header.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


class Connection:
    """A connection to ``target`` (``host:port``) on which one gRPC method is called again and again.

    ``ended`` holds (stream, time, end) of each call that came to its end, where ``end`` is the answer's last
    header block, or HTTP/2's error code where the server reset the stream. ``open`` holds the streams of the calls under way, of
    which the server allows ``most_open``. ``refusing`` says why it takes no more calls, ``lost`` why nothing
    more can come.
    """

    def __init__(self, target: str, method: str, timeout_s: float) -> None:
        host, _, port = target.rpartition(":")
        if not host or not port.isdigit():
            raise ConnectionError("an address is host:port")
        self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        fields = {":method": "POST", ":scheme": "http", ":path": method, ":authority": target}
        fields |= {"content-type": "application/grpc", "te": "trailers"}
        fields["grpc-timeout"] = f"{max(round(timeout_s * 1e3), 1)}m"
        encoder = hpack.Encoder()
        encoder.header_table_size = 0  # the same bytes are right in every request
        self._block = encoder.encode(list(fields.items()))
        self._stream = -1
        self.open: set[int] = set()
        self.most_open = LARGEST_WINDOW
        self.ended: list[tuple[int, float, bytes | int]] = []
        self.lost, self.refusing = "", ""
        self._window, self._stream_window, self._frame_size = FIRST_WINDOW, FIRST_WINDOW, 16_384
        self._held: deque[tuple[int, memoryview]] = deque()  # bodies that a window holds back
        self._windows: dict[int, int] = {}  # of the streams whose bodies are held
        self._received, self._granted = 0, LARGEST_WINDOW
        self._in, self._out = bytearray(), bytearray(PREFACE)
        settings = {TABLE_SIZE: 0, ENABLE_PUSH: 0, STREAM_WINDOW: LARGEST_WINDOW}
        self._out += frame(SETTINGS, 0, 0, b"".join(_setting.pack(*s) for s in settings.items()))
        self._grant(LARGEST_WINDOW - FIRST_WINDOW)
        self._settled = False
        deadline = time.monotonic() + timeout_s
        while not self._settled and not self.lost and time.monotonic() < deadline:
            self.wait(deadline - time.monotonic())
        if not self._settled:
            raise ConnectionError(self.lost or "it does not speak HTTP/2")

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def call(self, message: bytes) -> int:
        """Begin a call with a serialised message; the number of its stream (1, 3, 5, ...)."""
        self._stream += 2
        self.open.add(self._stream)
        body = b"\0" + _word.pack(len(message)) + message
        self._out += frame(HEADERS, END_HEADERS, self._stream, self._block)
        fits = len(body) <= min(self._window, self._stream_window, self._frame_size)
        if fits and not self._held:
            self._window -= len(body)
            self._out += frame(DATA, END_STREAM, self._stream, body)
        else:
            self._held.append((self._stream, memoryview(body)))
            self._windows[self._stream] = self._stream_window
            self._send_held()
        return self._stream

    def cancel(self, stream: int) -> None:
        """Give a call up; nothing more is told of it."""
        self._forget(stream)
        self._out += frame(RST_STREAM, 0, stream, _word.pack(CANCEL))

    def wait(self, seconds: float) -> None:
        """Send what can be sent, and read what is there or comes within so many seconds."""
        self._flush()
        if self.lost:
            return
        writing = [self._socket] if self._out else []
        readable, writable, _ = select.select([self._socket], writing, [], max(seconds, 0.0))
        if writable:
            self._flush()
        if readable:
            self._read()
            self._flush()

    def _flush(self) -> None:
        try:
            while self._out and not self.lost:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError as error:
            self.lost = f"the connection broke: {error.strerror}"

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self.lost = f"the connection broke: {error.strerror}"
            return
        if not data:
            self.lost = "the server closed the connection"
            return
        how: bytes | int
        now = time.monotonic()
        buffer, start = self._in, 0
        buffer += data
        while len(buffer) - start >= 9:
            high, low, kind, flags, stream = _header.unpack_from(buffer, start)
            end = start + 9 + (high << 16) + low
            if end > len(buffer):
                break
            if kind == DATA:
                self._received += end - start - 9
                ends, how = flags & END_STREAM, b""
            elif kind == HEADERS:
                if flags & (PADDED | PRIORITY) or not flags & END_HEADERS:
                    self.lost = "the server sent headers in a form that gRPC servers do not use"
                    break
                ends, how = flags & END_STREAM, bytes(buffer[start + 9 : end])
            elif kind == RST_STREAM:
                ends, how = END_STREAM, _word.unpack_from(buffer, start + 9)[0]
            else:
                ends = 0
                self._control(kind, flags, stream, bytes(buffer[start + 9 : end]))
            if ends and stream in self.open:
                self._forget(stream)
                self.ended.append((stream, now, how))
            start = end
        del buffer[:start]
        if self._received > LARGEST_WINDOW // 2:
            self._grant(self._received)
            self._received = 0

    def _forget(self, stream: int) -> None:
        self.open.discard(stream)
        if self._windows.pop(stream, None) is not None:
            self._held = deque(item for item in self._held if item[0] != stream)

    def _grant(self, amount: int) -> None:
        self._out += frame(WINDOW_UPDATE, 0, 0, _word.pack(amount))

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self._settled = True
            for name, value in _setting.iter_unpack(payload):
                if name == MAX_STREAMS:
                    self.most_open = value
                elif name == FRAME_SIZE:
                    self._frame_size = value
                elif name == STREAM_WINDOW:
                    for held in self._windows:
                        self._windows[held] += value - self._stream_window
                    self._stream_window = value
            self._out += frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self._out += frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            (amount,) = _word.unpack(payload)
            if stream == 0:
                self._window += amount
            elif stream in self._windows:
                self._windows[stream] += amount
            self._send_held()
        elif kind == GOAWAY:
            self.refusing = "the server shut down"

    def _send_held(self) -> None:
        """Send of the bodies that are held back, in order, what the windows allow now."""
        blocked = []  # by a window of their own
        while self._held and self._window > 0:
            stream, body = self._held.popleft()
            while body and (size := min(self._window, self._windows[stream])) > 0:
                size = min(size, self._frame_size)
                part, body = body[:size], body[size:]
                self._window -= len(part)
                self._windows[stream] -= len(part)
                self._out += frame(DATA, 0 if body else END_STREAM, stream, bytes(part))
            if not body:
                del self._windows[stream]
            elif self._window > 0:
                blocked.append((stream, body))
            else:
                self._held.appendleft((stream, body))
        self._held.extendleft(reversed(blocked))
