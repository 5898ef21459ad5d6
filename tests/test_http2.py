"""The generator's HTTP/2 against gRPC's own server: messages whole, statuses right, ends noticed."""

import hashlib
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import hpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit import loadtest
from capkit.loadtest.generator import METHOD
from capkit.loadtest.http2 import Connection

STATUSES = [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK]


def answer(data, context):
    """A digest of the request, or the status that it asks for."""
    if data.startswith(b"status "):
        context.abort(STATUSES[int(data[7:])], "as asked")
    if data == b"slow":
        time.sleep(1.0)
    context.set_trailing_metadata((("digest", hashlib.sha256(data).hexdigest()),))
    return data[:10]


def start_server(**options):
    server = grpc.server(ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", -1)])
    service, _, method = METHOD[1:].partition("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    return server, target


@pytest.fixture(scope="module")
def target():
    server, address = start_server()
    yield address
    server.stop(0)


def call_all(connection, messages):
    """Call with every message at once; the last header fields of each answer, in order."""
    streams = [connection.call(message) for message in messages]
    deadline = time.monotonic() + 20
    while connection.open and not connection.lost and time.monotonic() < deadline:
        connection.wait(0.1)
    decoder = hpack.Decoder()
    ends = {stream: dict(decoder.decode(how)) for stream, _, how in connection.ended}
    connection.ended.clear()
    return [ends[stream] for stream in streams]


@settings(max_examples=15)
@given(
    st.lists(
        st.sampled_from([0, 1, 9, 16_000, 16_379, 16_380, 65_530, 65_536, 200_000, 3_000_000]),
        min_size=1,
        max_size=8,
    )
)
def test_messages_of_any_size_arrive_whole(target, sizes):
    messages = [np.random.default_rng(size).bytes(size) for size in sizes]
    connection = Connection(target, METHOD, 10.0)
    for _ in range(2):
        ends = call_all(connection, messages)
        assert [end["grpc-status"] for end in ends] == ["0"] * len(sizes)
        digests = [hashlib.sha256(message).hexdigest() for message in messages]
        assert [end["digest"] for end in ends] == digests
    connection.close()


def test_a_thousand_calls_at_once_are_all_answered(target):
    connection = Connection(target, METHOD, 20.0)
    ends = call_all(connection, [b"%d" % number for number in range(1000)])
    assert len({end["digest"] for end in ends}) == 1000
    connection.close()


def test_every_status_is_told_by_its_code(target):
    requests = [b"status %d" % number for number in range(len(STATUSES))]
    result = loadtest.run(target, np.arange(len(STATUSES)) * 0.002, requests)
    assert result.code.tolist() == [status.value[0] for status in STATUSES]
    assert result.errors == {status.name: 1 for status in STATUSES}


def test_call_past_its_deadline_is_given_up_and_the_next_one_answered(target):
    result = loadtest.run(target, [0.0, 0.01, 0.4], [b"slow", b"a", b"b"], timeout_s=0.3)
    assert result.code.tolist() == [grpc.StatusCode.DEADLINE_EXCEEDED.value[0], 0, 0]
    assert result.done_s[0] - result.sent_s[0] == pytest.approx(0.3, abs=0.1)


def test_server_that_shuts_down_ends_the_test_and_what_was_measured_is_kept():
    server, target = start_server()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(loadtest.run, target, np.arange(3000) * 0.01, [b"a"])
        time.sleep(1.5)
        server.stop(2.0)
        result = running.result(timeout=20)
    assert result.stopped == "the server shut down"
    assert result.doubt == result.stopped and not result.valid
    assert result.latency_ms.size > 20 and result.intended_s.size < 3000
    # A call that crosses the server's notice on the wire is cancelled, or finds nobody listening.
    assert sum(result.errors.values()) <= 2
    assert set(result.errors) <= {"CANCELLED", "UNAVAILABLE"}


def test_server_that_is_killed_ends_the_test_and_what_was_measured_is_kept():
    code = "import test_http2, time; s = test_http2.start_server(); print(s[1], flush=True); time.sleep(60)"
    here = Path(__file__).parent
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=here, stdout=subprocess.PIPE
    ) as process:
        target = process.stdout.readline().decode().strip()
        with ThreadPoolExecutor(1) as pool:
            requests = [b"a"] * 50 + [b"slow"]
            running = pool.submit(loadtest.run, target, np.arange(3000) * 0.01, requests)
            time.sleep(1.3)
            process.send_signal(signal.SIGKILL)
            result = running.result(timeout=20)
    assert "connection" in result.stopped and not result.valid
    assert result.latency_ms.size > 20
    assert set(result.errors) == {"UNAVAILABLE"}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", ":1"])
def test_address_that_is_none_is_told(address):
    with pytest.raises(RuntimeError, match="no server answers"):
        loadtest.run(address, [0.0], [b"a"], timeout_s=0.5)


def test_peer_that_speaks_something_else_is_told():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RuntimeError, match="does not speak HTTP/2"):
            loadtest.run(address, [0.0], [b"a"], timeout_s=0.5)
