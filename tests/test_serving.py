"""The server speaks TensorFlow Serving's API: codes and texts, both tensor forms, batching, overload."""

import contextlib
import os
import stat
import subprocess
import sys
import threading
import time
import urllib.request

import grpc
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from capkit import serving
from capkit.course import reference
from capkit.serving import api
from capkit.serving.batching import Batching, BatchScheduler, Task
from capkit.serving.client import Client, RestClient
from capkit.serving.device import Device, Executor
from capkit.serving.launch import choose_backend, server_command
from capkit.serving.metrics import LATENCY, QUEUING, ServingError

MODEL = reference("04_training_benchmark").path("mnist_cnn")
IMAGE = np.zeros((1, 28, 28, 1), dtype=np.float32)
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
    """Batches of at most 4 on an emulated device that needs 0.1 s for each."""
    with serving.serve(
        MODEL, batching=SMALL_QUEUE, device="fixed_s=0.1", max_threads=20
    ) as running:
        yield running


@pytest.fixture
def client(server):
    with Client(server.grpc_target, "mnist_cnn") as opened:
        yield opened
        assert opened.predict(IMAGE).shape == (1, 10), "the next good request is answered"


@pytest.fixture
def rest(server):
    opened = RestClient(server.rest_url)
    yield opened
    opened.close()


def good_request():
    return api.predict_request(IMAGE, "mnist_cnn", input_name="image")


def refusal(call, request, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, **options)
    return caught.value.code().name, caught.value.details()


# --- the texts of TensorFlow Serving -----------------------------------------------------------


def no_name(request):
    request.model_spec.name = ""


def unknown_model(request):
    request.model_spec.name = "m"


def unknown_version(request):
    request.model_spec.version.value = 7


def unknown_label(request):
    request.model_spec.version_label = "x"


def unknown_signature(request):
    request.model_spec.signature_name = "x"


def one_input_too_many(request):
    request.inputs["b"].CopyFrom(api.to_proto(IMAGE))


def other_input_name(request):
    request.inputs["input_1"].CopyFrom(request.inputs["image"])
    del request.inputs["image"]


def unreadable_tensor(request):
    request.inputs["image"].tensor_content = b"123"


def unknown_output(request):
    request.output_filter.append("dense_2")


def output_twice(request):
    request.output_filter.extend(["output_0", "output_0"])


def other_type(request):
    request.inputs["image"].CopyFrom(api.to_proto(IMAGE.astype(np.float64)))


def other_shape(request):
    request.inputs["image"].CopyFrom(api.to_proto(IMAGE[..., 0]))


REFUSALS = {
    no_name: ("INVALID_ARGUMENT", "ModelSpec has no name specified."),
    unknown_model: ("NOT_FOUND", "Servable not found for request: Latest(m)"),
    unknown_version: ("NOT_FOUND", "Servable not found for request: Specific(mnist_cnn, 7)"),
    unknown_label: ("INVALID_ARGUMENT", "Unrecognized servable version label: x"),
    unknown_signature: ("FAILED_PRECONDITION", 'Serving signature key "x" not found.'),
    one_input_too_many: (
        "INVALID_ARGUMENT",
        "input size does not match signature: 2!=1 len({b,image}) != len({image}). "
        "Sent extra: {b}. Missing but required: {}.",
    ),
    other_input_name: (
        "INVALID_ARGUMENT",
        "Signature input alias: image(feed name: serving_default_image:0) not found in request "
        "and no default value provided. Inputs expected to be in the request {input_1}, "
        "or default input alias set: ",
    ),
    unreadable_tensor: ("INVALID_ARGUMENT", "tensor parsing error: image"),
    unknown_output: (
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: dense_2 "
        "Outputs expected to be in the set {output_0}.",
    ),
    output_twice: ("INVALID_ARGUMENT", "duplicate output tensor alias: output_0"),
    other_type: ("INVALID_ARGUMENT", "Expects input image to be float32 but float64 is provided"),
    other_shape: (
        "INVALID_ARGUMENT",
        "Input image must have shape [-1, 28, 28, 1], got [1, 28, 28]",
    ),
}


@pytest.mark.parametrize("change", REFUSALS, ids=lambda change: change.__name__)
def test_refuses_with_the_code_and_text(client, change):
    request = good_request()
    change(request)
    assert refusal(client.prediction.Predict, request) == REFUSALS[change]


def test_status_and_metadata_refuse_with_the_code_and_text(client, server):
    ask = client.models.GetModelStatus
    request = api.get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "m"
    assert refusal(ask, request) == ("NOT_FOUND", "Could not find any versions of model m")
    request.model_spec.version.value = 7
    assert refusal(ask, request) == ("NOT_FOUND", "Could not find version 7 of model m")
    describe = client.prediction.GetModelMetadata
    request = api.get_model_metadata_pb2.GetModelMetadataRequest()
    assert refusal(describe, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.name = "mnist_cnn"
    assert refusal(describe, request)[1].endswith("must specify at least one metadata_field")
    request.metadata_field.append("x")
    assert refusal(describe, request) == (
        "INVALID_ARGUMENT",
        "Metadata field x is not supported",
    )


@pytest.mark.parametrize("method", ["Classify", "Regress", "MultiInference"])
def test_other_calls_are_unimplemented(server, method):
    with grpc.insecure_channel(server.grpc_target) as channel:
        call = channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
        assert refusal(call, b"")[0] == "UNIMPLEMENTED"


def test_bytes_that_are_no_message_are_refused(client):
    call = client.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    data = good_request().SerializeToString()
    for damaged in (data[:-5], data[: len(data) // 2], b"\xff" * 100):
        assert refusal(call, damaged)[0] == "INTERNAL"
    assert refusal(call, b"") == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")


def test_many_connections_opened_and_dropped(client, server):
    for _ in range(100):
        grpc.insecure_channel(server.grpc_target).close()
        urllib.request.urlopen(f"{server.rest_url}/v1/models/mnist_cnn").close()


# --- good answers ------------------------------------------------------------------------------


def test_answers_in_float_val_and_echoes_the_model(client):
    answer = client.prediction.Predict(good_request())
    output = answer.outputs["output_0"]
    assert len(output.float_val) == 10 and not output.tensor_content
    assert sum(output.float_val) == pytest.approx(1.0)
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (
        "mnist_cnn",
        1,
        "serving_default",
    )


def test_both_tensor_forms_and_both_apis_answer_alike(client, rest):
    images = np.random.default_rng(1).random((3, 28, 28, 1), dtype=np.float32)
    raw = client.predict(images)
    request = good_request()
    request.inputs["image"].CopyFrom(api.to_proto(images, raw=False))
    listed = api.from_proto(client.prediction.Predict(request).outputs["output_0"])
    np.testing.assert_array_equal(raw, listed)
    np.testing.assert_allclose(rest.predict(images, "mnist_cnn"), raw, rtol=1e-6)
    rows = {"inputs": {"image": images.tolist()}}
    status, answer = rest.call("/v1/models/mnist_cnn/versions/1:predict", rows)
    assert status == 200
    np.testing.assert_allclose(answer["outputs"], raw, rtol=1e-6)


def test_names_come_from_the_metadata(client):
    inputs, outputs = client.signature()
    assert inputs == {"image": {"shape": [-1, 28, 28, 1], "type": "float32"}}
    assert list(outputs) == ["output_0"]
    assert client.state() == "AVAILABLE"


def test_backend_is_named_and_nothing_listens_beyond_loopback(server):
    assert server.backend == "embedded stand-in"
    listening = psutil.Process(server.pid).net_connections("tcp")
    addresses = [c.laddr.ip for c in listening if c.status == psutil.CONN_LISTEN]
    assert len(addresses) == 2
    assert all(address.removeprefix("::ffff:") == "127.0.0.1" for address in addresses)


def test_tells_the_time_in_queue_and_slot(client):
    _, call = client.prediction.Predict.with_call(good_request())
    wait_us, service_us, batch = dict(call.trailing_metadata())["capkit-timing"].split(",")
    assert int(wait_us) >= 0 and int(service_us) > 0 and batch == "1"


# --- REST --------------------------------------------------------------------------------------

PREDICT = "/v1/models/mnist_cnn:predict"


@pytest.mark.parametrize(
    "path, content, status, text",
    [
        ("/v1/models/m", None, 404, "Could not find any versions of model m"),
        ("/v1/models/mnist_cnn", {}, 400, "Malformed request: POST /v1/models/mnist_cnn"),
        (PREDICT, None, 400, f"Malformed request: GET {PREDICT}"),
        (PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
        (PREDICT, {"instances": [[1, 2], [3]]}, 400, "input image"),
        ("/v1/models/m:predict", {"instances": []}, 404, "Latest(m)"),
        ("/v1/models/mnist_cnn:classify", {"examples": []}, 501, "classify"),
        (
            PREDICT,
            {"instances": [1], "signature_name": "x"},
            400,
            'Serving signature name: "x" not found in signature def',
        ),
    ],
)
def test_rest_refuses_with_the_status_and_text(rest, path, content, status, text):
    got, answer = rest.call(path, content)
    assert got == status
    assert text in answer["error"]


def test_rest_says_where_json_breaks_and_what_is_no_path(server):
    with pytest.raises(urllib.request.HTTPError) as caught:
        urllib.request.urlopen(server.rest_url + PREDICT, data=b'{"instances": [')
    assert b"JSON Parse error" in caught.value.read() and caught.value.code == 400
    with pytest.raises(urllib.request.HTTPError) as caught:
        urllib.request.urlopen(f"{server.rest_url}/elsewhere")
    assert caught.value.code == 404 and b"<H1>Not Found</H1>" in caught.value.read()


def test_rest_gives_status_and_metadata(rest):
    _, status = rest.call("/v1/models/mnist_cnn")
    ok = {"error_code": "OK", "error_message": ""}
    assert status == {
        "model_version_status": [{"version": "1", "state": "AVAILABLE", "status": ok}]
    }
    _, metadata = rest.call("/v1/models/mnist_cnn/metadata")
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["image"]["dtype"] == "DT_FLOAT"


def test_metrics_stand_under_tensorflow_servings_names(rest, client):
    client.predict(IMAGE)
    status, text = rest.call("/monitoring/prometheus/metrics")
    assert status == 200
    for line in (
        "# TYPE :tensorflow:serving:request_latency histogram",
        ':tensorflow:serving:request_count{model_name="mnist_cnn",status="OK"}',
        ':tensorflow:serving:request_latency_bucket{model_name="mnist_cnn",API="Predict",'
        'entrypoint="GRPC",le="104.976"}',
    ):
        assert line in text


def test_bucket_limits_are_tensorflow_servings():
    assert len(LATENCY) == 33 and len(QUEUING) == 52
    assert [f"{limit:.6g}" for limit in LATENCY[:6]] == [
        "10",
        "18",
        "32.4",
        "58.32",
        "104.976",
        "188.957",
    ]


# --- batching, the emulated device, overload ---------------------------------------------------


def predict_many(target, count, size=1):
    """Send ``count`` requests at once; status names, and (service ms, batch) of the good ones."""
    data = api.predict_request(
        np.repeat(IMAGE, size, axis=0), "mnist_cnn", input_name="image"
    ).SerializeToString()
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
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
    assert all(100_000 <= service < 200_000 for _, service, _ in timings)
    assert max(batch for _, _, batch in timings) <= 4


def test_too_many_calls_and_the_end_of_the_parent():
    """One server, started by a process that is killed while a request is in flight."""
    code = (
        "import sys; from capkit import serving; "
        f"s = serving.serve({str(MODEL)!r}, device='fixed_s=0.2', max_threads=2); "
        "print(s.pid, s.grpc_target, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as parent:
        pid, target = parent.stdout.readline().decode().split()
        codes, texts, _ = predict_many(target, 6)
        assert codes.count("OK") == 2
        assert texts == {"Server Threadpool Exhausted"}
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
        code, _ = refusal(client.prediction.Predict, good_request(), timeout=0.03)
    assert code == "DEADLINE_EXCEEDED"


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


def test_slots_are_granted_in_order_of_arrival():
    slots, order = Executor(None), []
    slots.acquire()

    def work(number):
        slots.acquire()
        order.append(number)
        slots.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for waiting, thread in enumerate(threads, 1):
        thread.start()
        while len(slots.waiting) < waiting:
            time.sleep(0.001)
    slots.release()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_emulated_exponential_device_has_its_mean_and_variance(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    executor = Executor(Device(fixed_s=1.0, per_example_s=0.5, law="exponential"))
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


def test_command_lines_of_the_real_servers(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    options = {
        "ports": (18500, 18501),
        "config": tmp_path,
        "batching": SMALL_QUEUE,
        "max_threads": 9,
    }
    program = server_command("tensorflow_model_server", MODEL, "mnist_cnn", **options)
    assert program == [
        "tensorflow_model_server",
        "--port=18500",
        "--rest_api_port=18501",
        "--model_name=mnist_cnn",
        f"--model_base_path={MODEL}",
        f"--monitoring_config_file={tmp_path}/monitoring.txt",
        "--tensorflow_intra_op_parallelism=1",
        "--tensorflow_inter_op_parallelism=1",
        "--grpc_max_threads=9",
        "--enable_batching",
        f"--batching_parameters_file={tmp_path}/batching.txt",
    ]
    assert Batching.parse((tmp_path / "batching.txt").read_text()) == SMALL_QUEUE
    container = server_command("container", MODEL, "mnist_cnn", **options)
    text = " ".join(container)
    assert text.startswith("docker run --rm -p 127.0.0.1:18500:8500 -p 127.0.0.1:18501:8501 ")
    assert f"-v {MODEL}:/models/mnist_cnn:ro -v {tmp_path}:/capkit:ro" in text
    assert "-e MODEL_NAME=mnist_cnn tensorflow/serving --monitoring_config_file=/capkit/" in text


@pytest.mark.parametrize(
    "device", ["slots=0", "fixed_s=-1", "fixed_s=0", "law=normal", "speed=2", "slots=x"]
)
def test_impossible_devices_are_refused(device):
    with pytest.raises(ValueError):
        Device.parse(device)


def test_command_line_reports_what_is_wrong(capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        serving.main(["--model-dir", str(tmp_path), "--backend", "embedded"])
    assert caught.value.code == 2
    assert "no version folder" in capsys.readouterr().err


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
