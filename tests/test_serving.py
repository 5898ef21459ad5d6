"""The parts of the server: batching, overload, the emulated device, tensors, launching, the profile.

What it says on the wire is in test_conformance.py.
"""

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
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
from capkit.serving.batching import Batching, BatchScheduler, Task
from capkit.serving.client import Client, RestClient
from capkit.serving.device import Device
from capkit.serving.executor import Executor
from capkit.serving.launch import choose_backend, server_command
from capkit.serving.metrics import Monitoring, ServingError

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


def executed_batches(parameters, sizes, busy_s=0.0):
    """Sizes of the batches that a scheduler makes of tasks handed in at once."""
    batches = []

    def execute(batch):
        batches.append([task.examples for task in batch])
        time.sleep(busy_s)

    scheduler = BatchScheduler(parameters, execute)
    tasks = [Task(None, size, float("inf")) for size in sizes]
    for task in tasks:
        scheduler.submit(task)
    scheduler.stop()
    assert all(task.done.is_set() for task in tasks)
    return batches


def test_scheduler_fills_batches_in_order():
    parameters = Batching(4, 10_000_000, 10, 1)
    assert executed_batches(parameters, [1, 2, 1, 3, 3, 1]) == [[1, 2, 1], [3], [3, 1]]


def test_scheduler_waits_for_the_time_out_and_no_longer():
    scheduler = BatchScheduler(Batching(4, 50_000, 10, 1), lambda batch: None)
    task = Task(None, 1, float("inf"))
    started = time.monotonic()
    scheduler.submit(task)
    task.done.wait()
    assert time.monotonic() - started >= 0.05
    scheduler.stop()


def test_scheduler_gives_up_a_batch_whose_tasks_all_timed_out():
    scheduler = BatchScheduler(Batching(4, 0, 10, 1), lambda batch: None)
    task = Task(None, 1, time.monotonic() - 1)
    scheduler.submit(task)
    task.done.wait()
    scheduler.stop()
    assert isinstance(task.error, ServingError)
    assert (task.error.code, task.error.text) == (
        "RESOURCE_EXHAUSTED",
        "Run() timeout exceeded while waiting in batching queue",
    )


def test_scheduler_hands_a_failure_to_every_task():
    def fail(batch):
        raise ServingError("INTERNAL", "broken")

    scheduler = BatchScheduler(Batching(2, 0, 10, 1), fail)
    tasks = [Task(None, 1, float("inf")) for _ in range(2)]
    for task in tasks:
        scheduler.submit(task)
        task.done.wait()
    scheduler.stop()
    assert all(str(task.error) == "broken" for task in tasks)


def wait_until(reached):
    while not reached():
        time.sleep(0.001)


def test_slots_are_granted_in_order_of_arrival_and_time_counts_from_then():
    executor, order, gates = Executor(Device(slots=2, fixed_s=1.0), 10), [], {}

    def work(number):
        order.append((number, executor.place))
        gates[number].wait()

    for number in range(5):
        gates[number] = threading.Event()
        executor.submit(work, number)
    wait_until(lambda: len(order) == 2)
    time.sleep(0.02)
    assert [number for number, _ in order] == [0, 1], "two slots, the others wait"
    for number in range(5):
        gates[number].set()
        wait_until(lambda done=number + 3: len(order) >= min(done, 5))
    assert [number for number, _ in order] == [0, 1, 2, 3, 4]
    places = [place for _, place in order]
    assert all(place.arrived <= place.started for place in places)
    assert places[2].started - places[2].arrived >= 0.02


def test_slot_is_given_back_once_and_work_after_it_needs_none():
    executor, released, gate, seen = Executor(None, 10), threading.Event(), threading.Event(), []

    def answers_after_its_slot():
        executor.release()
        assert executor.place is None
        released.set()
        gate.wait()

    executor.submit(answers_after_its_slot)
    released.wait()
    assert executor.call(lambda: seen.append(executor.place.refused)) is None
    gate.set()
    assert executor.call(lambda: 7) == 7
    assert seen == [False]


def test_more_calls_than_there_is_room_for_are_told_at_once():
    executor, gate = Executor(None, 2), threading.Event()
    executor.submit(gate.wait)
    executor.submit(gate.wait)
    assert executor.call(lambda: executor.place.refused) is True
    gate.set()
    wait_until(lambda: executor._left == 2)
    assert executor.call(lambda: executor.place.refused) is False


def test_failure_of_a_call_reaches_its_caller_and_frees_the_slot():
    executor = Executor(None, 2)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            executor.call(lambda: 1 / 0)
    assert executor.call(lambda: 1) == 1


def test_emulated_exponential_device_has_its_mean_and_variance(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    executor = Executor(Device(fixed_s=1.0, per_example_s=0.5, law="exponential"), 1)
    for _ in range(4000):
        executor.pad(time.perf_counter(), 2)
    assert np.mean(slept) == pytest.approx(2.0, rel=0.06)
    assert np.var(slept) / np.mean(slept) ** 2 == pytest.approx(1.0, rel=0.15)


def test_batching_text_form_and_its_defaults():
    text = "# a comment\nmax_batch_size { value: 8 }\nallowed_batch_sizes: 4 allowed_batch_sizes: 8"
    parsed = Batching.parse(text)
    assert (parsed.max_batch_size, parsed.batch_timeout_micros, parsed.max_enqueued_batches) == (
        8,
        0,
        10,
    )
    assert Batching.parse(parsed.to_text()) == parsed
    assert [parsed.padded(size) for size in (1, 4, 5)] == [4, 4, 8]
    assert Batching.parse("").max_batch_size == 1000


@pytest.mark.parametrize(
    "text, message",
    [
        ("max_batch_size: 8", "not a batching parameters file"),
        ("nonsense { value: 1 }", "not a batching parameters file"),
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "must increase and end with"),
    ],
)
def test_wrong_batching_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Batching.parse(text)


@pytest.mark.parametrize("enable", [True, False])
def test_monitoring_text_form_and_its_defaults(enable):
    given = Monitoring(enable, "/metrics")
    assert Monitoring.parse(given.to_text()) == given
    assert Monitoring.parse("prometheus_config { enable: true }") == Monitoring()
    assert not Monitoring.parse("").enable


@pytest.mark.parametrize(
    "text, message",
    [
        ("prometheus { enable: true }", "not a monitoring config file: .* no field named"),
        ("prometheus_config { enable: 7 }", "not a monitoring config file"),
        ('prometheus_config { path: "metrics" }', "must begin with /, got 'metrics'"),
    ],
)
def test_wrong_monitoring_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Monitoring.parse(text)


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


def test_folder_without_a_version_is_refused(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match="no version folder"):
        serving.serve(tmp_path)


def stand_in(folder, name, script):
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_real_program_is_preferred_and_its_failure_told(tmp_path, monkeypatch):
    script = "import sys; sys.exit(' '.join(sys.argv[1:]))"
    stand_in(tmp_path, "tensorflow_model_server", script)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert choose_backend("auto", None) == "tensorflow_model_server"
    assert choose_backend("auto", Device(fixed_s=0.1)) == "embedded"
    with pytest.raises(RuntimeError, match=f"--model_base_path={MODEL.resolve()} --monitoring"):
        serving.serve(MODEL)


def test_container_is_chosen_only_if_its_image_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    stand_in(tmp_path, "docker", "import sys; sys.exit(1)")
    assert choose_backend("auto", None) == "embedded"
    assert choose_backend("container", None) == "container"
    stand_in(tmp_path, "docker", "")
    assert choose_backend("auto", None) == "container"


OWN_FLAGS = [
    "--tensorflow_intra_op_parallelism=1",
    "--tensorflow_inter_op_parallelism=1",
    "--grpc_max_threads=9",
]


@pytest.mark.parametrize("batching", [None, SMALL_QUEUE])
@pytest.mark.parametrize("monitoring", [None, Monitoring(path="/numbers")])
@pytest.mark.parametrize("backend", ["tensorflow_model_server", "container"])
def test_command_lines_and_files_of_the_real_servers(
    tmp_path, monkeypatch, backend, batching, monitoring
):
    monkeypatch.setenv("PATH", str(tmp_path))
    options = {"batching": batching, "monitoring": monitoring, "max_threads": 9}
    options |= {"ports": (18500, 18501), "config": tmp_path}
    if backend == "container":
        start = ["docker", "run", "--rm", "--init"]
        start += ["-p", "127.0.0.1:18500:8500", "-p", "127.0.0.1:18501:8501"]
        start += ["-v", f"{MODEL}:/models/mnist_cnn:ro", "-v", f"{tmp_path}:/capkit:ro"]
        start += ["-e", "MODEL_NAME=mnist_cnn", "tensorflow/serving"]
        seen = "/capkit"
    else:
        start = ["tensorflow_model_server", "--port=18500", "--rest_api_port=18501"]
        start += ["--model_name=mnist_cnn", f"--model_base_path={MODEL}"]
        seen = tmp_path
    expected = [*start, f"--monitoring_config_file={seen}/monitoring.txt", *OWN_FLAGS]
    files = {"monitoring.txt": (monitoring or Monitoring()).to_text()}
    if batching:
        expected += ["--enable_batching", f"--batching_parameters_file={seen}/batching.txt"]
        files["batching.txt"] = (
            "max_batch_size { value: 4 }\nbatch_timeout_micros { value: 1000 }\n"
            "max_enqueued_batches { value: 1 }\nnum_batch_threads { value: 1 }\n"
            "allowed_batch_sizes: 2\nallowed_batch_sizes: 4\n"
        )
    assert server_command(backend, MODEL, "mnist_cnn", **options) == expected
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == files


#: Starts the embedded server with what the real one was given, and notes the signal that ends it.
RUNS_EMBEDDED = r"""
import re, signal, subprocess, sys
from pathlib import Path
text = " ".join(sys.argv[1:])
ports = re.findall(r"(?:port=|-p 127\.0\.0\.1:)(\d+)", text)
base, *config = re.findall(r"(?:model_base_path=|-v )([^\s:]+)", text)
for folder in config:
    text = text.replace("=/capkit/", f"={folder}/")
command = [sys.executable, "-m", "capkit", "serve", "--backend=embedded", f"--model-dir={base}"]
command += [f"--port={ports[0]}", f"--rest-port={ports[1]}"]
for name, path in re.findall(r"--(\w+)_file=(\S+)", text):
    command.append(f"--{name.replace('_', '-')}-file={path}")
child = subprocess.Popen(command)
def stop(number, frame):
    Path(__file__).with_name("ended").write_text(signal.Signals(number).name)
    child.send_signal(number)
signal.signal(signal.SIGTERM, stop)
sys.exit(child.wait())
"""


@pytest.mark.parametrize(
    "backend, program, label",
    [
        ("tensorflow_model_server", "tensorflow_model_server", "tensorflow_model_server"),
        ("container", "docker", "tensorflow_model_server (container)"),
    ],
)
def test_real_server_is_waited_for_labelled_and_ended(
    tmp_path, monkeypatch, backend, program, label
):
    stand_in(tmp_path, program, RUNS_EMBEDDED)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    options = {"batching": SMALL_QUEUE, "monitoring": Monitoring(path="/numbers")}
    with serving.serve(MODEL, backend=backend, **options) as server:
        assert (server.backend, server.device) == (label, "cpu")
        assert predict_many(server.grpc_target, 1)[0] == ["OK"]
        assert predict_many(server.grpc_target, 1, size=8)[0] == ["INVALID_ARGUMENT"]
        rest = RestClient(server.rest_url)
        assert rest.call("/numbers")[0] == 200
        rest.close()
    assert (tmp_path / "ended").read_text() == "SIGTERM"
    assert not psutil.pid_exists(server.pid)


@pytest.mark.parametrize(
    "device", ["slots=0", "fixed_s=-1", "fixed_s=0", "law=normal", "speed=2", "slots=x"]
)
def test_impossible_devices_are_refused(device):
    with pytest.raises(ValueError):
        Device.parse(device)


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--model-name=x", "no version folder"),
        ("--device=slots=0", "a device has 1 or more slots"),
        (f"--batching-parameters-file={__file__}", "not a batching parameters file"),
        (f"--monitoring-config-file={__file__}", "not a monitoring config file"),
        ("--monitoring-config-file=nowhere", "No such file"),
    ],
)
def test_command_line_reports_what_is_wrong(capsys, tmp_path, flag, message):
    with pytest.raises(SystemExit) as caught:
        serving.main(["--model-dir", str(tmp_path), "--backend", "embedded", flag])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


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
