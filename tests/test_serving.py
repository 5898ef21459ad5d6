"""The embedded server alive: batches, overload, its command line, tensors, the profile.

What it says on the wire is in test_conformance.py; how servers are started in test_launching.py.
"""

import contextlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_conformance import IMAGE, METHOD, MODEL, good_request, outcome

from capkit import serving
from capkit.course import reference
from capkit.serving import api
from capkit.serving.batching import Batching
from capkit.serving.client import Client, RestClient
from capkit.serving.metrics import Monitoring

SMALL_QUEUE = Batching(
    max_batch_size=4,
    batch_timeout_micros=1000,
    max_enqueued_batches=1,
    num_batch_threads=1,
    allowed_batch_sizes=(2, 4),
)


@pytest.fixture(scope="module")
def server():
    with serving.serve(MODEL, backend="embedded") as running:
        yield running


@pytest.fixture(scope="module")
def slow_server():
    """Batches of at most 4 on an emulated device that needs 0.1 s for each; metrics at /numbers."""
    options = {"batching": SMALL_QUEUE, "monitoring": Monitoring(path="/numbers")}
    with serving.serve(MODEL, device="fixed_s=0.1", max_threads=20, **options) as running:
        yield running


@pytest.fixture
def client(server):
    with Client(server.grpc_target, "mnist_cnn") as opened:
        yield opened


# --- what only the embedded server has ---------------------------------------------------------


def listening(pid):
    """Addresses that a process listens on."""
    found = psutil.Process(pid).net_connections("tcp")
    return [c.laddr.ip.removeprefix("::ffff:") for c in found if c.status == psutil.CONN_LISTEN]


def test_backend_is_named_and_nothing_listens_beyond_loopback(server):
    assert server.backend == "embedded stand-in"
    assert listening(server.pid) == ["127.0.0.1"] * 2


def test_tells_the_time_in_queue_and_slot(client):
    _, call = client.prediction.Predict.with_call(good_request())
    wait_us, service_us, batch = dict(call.trailing_metadata())["capkit-timing"].split(",")
    assert int(wait_us) >= 0 and int(service_us) > 0 and batch == "1"


@pytest.mark.parametrize(
    "images, text",
    [
        (IMAGE.astype(np.float64), "Expects input image to be float32 but float64 is provided"),
        (IMAGE[..., 0], "Input image must have shape [-1, 28, 28, 1], got [1, 28, 28]"),
    ],
)
def test_wrong_input_is_refused_before_it_meets_others_in_a_batch(client, images, text):
    assert outcome(client.prediction.Predict, good_request(images)) == ("INVALID_ARGUMENT", text)


def test_command_line_server(tmp_path):
    """Its own addresses and metrics path; a late call; SIGTERM with two calls in flight."""
    config = tmp_path / "monitoring.txt"
    config.write_text('prometheus_config { enable: true path: "/numbers" }')
    command = [sys.executable, "-m", "capkit", "serve", "--backend=embedded", "--host=0.0.0.0"]
    command += [f"--model-dir={MODEL}", "--port=0", "--rest-port=0", "--device=fixed_s=0.4"]
    command.append(f"--monitoring-config-file={config}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        where = json.loads(process.stdout.readline())
        assert where["backend"] == "embedded stand-in"
        assert set(listening(process.pid)) <= {"0.0.0.0", "::"}
        port, rest_port = (where[key].rpartition(":")[2] for key in ("grpc", "rest"))
        rest = RestClient(f"http://127.0.0.1:{rest_port}")
        with Client(f"127.0.0.1:{port}", "mnist_cnn") as client, ThreadPoolExecutor() as pool:
            predict = client.prediction.Predict
            assert outcome(predict, good_request())[0] == "OK"
            first = predict.future(good_request())
            time.sleep(0.1)
            assert outcome(predict, good_request(), timeout=0.05)[0] == "DEADLINE_EXCEEDED"
            assert first.code().name == outcome(predict, good_request())[0] == "OK"
            assert rest.call("/monitoring/prometheus/metrics")[0] == 404
            executed = (
                'request_latency_count{model_name="mnist_cnn",API="Predict",entrypoint="GRPC"} 3'
            )
            assert executed in rest.call("/numbers")[1], "the late one never had the device"
            in_flight = predict.future(good_request())
            in_flight_too = pool.submit(rest.predict, IMAGE, "mnist_cnn")
            time.sleep(0.2)
            process.terminate()
            assert in_flight.code().name == "OK"
            assert in_flight_too.result().shape == (1, 10)
        rest.close()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


# --- batching, the emulated device, overload ---------------------------------------------------


def predict_many(target, count, size=1):
    """Send ``count`` requests at once; status names, and (service ms, batch) of the good ones."""
    data = good_request(np.repeat(IMAGE, size, axis=0)).SerializeToString()
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(METHOD)
        futures = [call.future(data) for _ in range(count)]
        codes = [future.code().name for future in futures]
        texts = {future.details() for future in futures if future.code().name != "OK"}
        timings = [
            tuple(float(v) for v in dict(f.trailing_metadata())["capkit-timing"].split(","))
            for f in futures
            if f.code().name == "OK"
        ]
    return codes, texts, timings


def test_full_queue_and_too_many_calls_have_answers_of_their_own(slow_server):
    codes, texts, timings = predict_many(slow_server.grpc_target, 16)
    assert set(codes) == {"OK", "UNAVAILABLE"}
    assert texts == {
        "The batch scheduling queue to which this task was submitted is full; "
        "currently 1 batches enqueued and max_enqueued_batches is 1"
    }
    assert all(service >= 100_000 for _, service, _ in timings)
    assert max(batch for _, _, batch in timings) <= 4


def test_too_many_calls_and_the_end_of_the_parent():
    """One server, started by a process that is killed while a request is in flight."""
    code = (
        "import sys; from capkit import serving; "
        "from capkit.serving.metrics import Monitoring; "
        f"s = serving.serve({str(MODEL)!r}, device='fixed_s=0.2', max_threads=2, "
        "monitoring=Monitoring(enable=False)); "
        "print(s.pid, s.grpc_target, s.rest_url, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as parent:
        pid, target, rest_url = parent.stdout.readline().decode().split()
        codes, texts, _ = predict_many(target, 6)
        assert codes.count("OK") == 2
        assert texts == {"Server Threadpool Exhausted"}
        rest = RestClient(rest_url)
        assert rest.call("/monitoring/prometheus/metrics")[0] == 404
        rest.close()
        server = psutil.Process(int(pid))
        with Client(target, "mnist_cnn") as client:
            waiting = client.prediction.Predict.future(good_request())
            time.sleep(0.1)
            parent.kill()
            assert waiting.result().outputs["output_0"].float_val, "work in flight is finished"
    server.wait(10)


def test_request_larger_than_a_batch_is_refused(slow_server):
    codes, texts, _ = predict_many(slow_server.grpc_target, 1, size=8)
    assert codes == ["INVALID_ARGUMENT"]
    assert texts == {"Task size 8 is larger than maximum input batch size 4"}


def test_deadline_exceeded_reaches_the_client(slow_server):
    with Client(slow_server.grpc_target, "mnist_cnn") as client:
        code, _ = outcome(client.prediction.Predict, good_request(), timeout=0.03)
    assert code == "DEADLINE_EXCEEDED"


def test_batches_are_counted_under_tensorflow_servings_names(slow_server):
    """A single request is padded to a batch of two; a value on a bucket's limit counts above it."""
    rest = RestClient(slow_server.rest_url)
    prefix = ":tensorflow:serving:batching_session:"

    def numbers():
        predict_many(slow_server.grpc_target, 1)
        lines = rest.call("/numbers")[1].splitlines()
        named = (line.removeprefix(prefix).rsplit(" ", 1) for line in lines if prefix in line)
        return {name: float(value) for name, value in named if name[0] != "#"}

    before, after = numbers(), numbers()
    rest.close()
    gained = {name: value - before[name] for name, value in after.items()}
    for name, value in {
        'queuing_latency_count{thread_pool_name=""}': 1,
        'input_batch_size_bucket{le="1"}': 0,
        'input_batch_size_bucket{le="2"}': 1,
        "input_batch_size_sum{}": 1,
        "processed_batch_size_sum{}": 2,
        'padding_size_sum{execution_batch_size="2"}': 1,
        "wrapped_run_count{}": 1,
    }.items():
        assert gained[name] == value, name
    for name, first, count in (
        ('queuing_latency_bucket{thread_pool_name="",', ["100", "120", "144", "172.8"], 52),
        ("processed_batch_size_bucket{", ["1", "2", "4", "8"], 14),
    ):
        limits = [key.split('"')[-2] for key in after if key.startswith(name)]
        assert limits[:4] == first and limits[-1] == "+Inf" and len(limits) == count + 1


# --- tensors -----------------------------------------------------------------------------------


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.booleans(),
)
def test_tensor_survives_both_forms(array, raw):
    proto = api.to_proto(array, raw=raw)
    again = api.from_proto(type(proto).FromString(proto.SerializeToString()))
    assert again.dtype == array.dtype and again.shape == array.shape
    np.testing.assert_array_equal(again, array)


@given(st.binary(max_size=60))
def test_random_bytes_are_a_tensor_or_refused(data):
    from google.protobuf.message import DecodeError

    with contextlib.suppress(DecodeError, ValueError):
        api.from_proto(api.tensor_pb2.TensorProto.FromString(data))


def test_messages_need_no_tensorflow():
    code = (
        "import sys; from capkit.serving import api; assert 'tensorflow' not in sys.modules; "
        "api.predict_request([1.0], 'm', input_name='x')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- launching ---------------------------------------------------------------------------------


def test_busy_port_is_an_error_that_says_so(server):
    port = int(server.grpc_target.rpartition(":")[2])
    with pytest.raises(RuntimeError, match="the server ended"):
        serving.serve(MODEL, backend="embedded", grpc_port=port)


# --- the profile -------------------------------------------------------------------------------


def test_line_through_batch_times_is_found_with_an_interval():
    rng = np.random.default_rng(1)
    sizes = np.repeat([1, 2, 4, 8, 16, 32, 64], 20)
    times = (0.5 + 0.01 * sizes) * (1 + 0.02 * rng.standard_normal(sizes.size))
    line = serving.fit_batches(sizes, times)
    assert line.fixed_interval_s[0] < 0.5 < line.fixed_interval_s[1]
    assert line.per_image_interval_s[0] < 0.01 < line.per_image_interval_s[1]
    assert line.predict([48]) == pytest.approx([0.98], rel=0.02)


@pytest.mark.parametrize("sizes, times", [([1, 2], [1, 2]), ([1, 2, 3], [1, 0, 2])])
def test_line_needs_three_sizes_and_positive_times(sizes, times):
    with pytest.raises(ValueError):
        serving.fit_batches(sizes, times)


def test_profile_round_trips_and_checks_itself():
    data = reference("05_serving_benchmark").data
    profile = serving.ServiceProfile.from_dict(data)
    assert profile.to_dict() == {k: data[k] for k in profile.to_dict()}
    with pytest.raises(ValueError, match="needs service_time_s too"):
        serving.ServiceProfile.from_dict({k: v for k, v in data.items() if k != "service_time_s"})
    with pytest.raises(ValueError, match="must be positive"):
        serving.ServiceProfile.from_dict(data | {"service_time_s": 0.0})
