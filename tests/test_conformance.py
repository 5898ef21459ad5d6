"""TensorFlow Serving's API as it is on the wire, on every back end that is here.

The embedded server always; `tensorflow_model_server` if it is on PATH; the container if its image is
here; a server that serves the course's mnist_cnn if the environment variable CAPKIT_SERVER says where:
``host:port`` of gRPC (REST on 8501 of the same host), or ``host:port,host:port`` of gRPC and REST.
"""

import json
import os
import shutil
import socket
import urllib.error
import urllib.request

import numpy as np
import pytest

from capkit import serving
from capkit.course import reference
from capkit.serving import api
from capkit.serving.client import Client, RestClient
from capkit.serving.launch import PROGRAM, has_image

MODEL = reference("04_training_benchmark").path("mnist_cnn")
IMAGE = np.zeros((1, 28, 28, 1), dtype=np.float32)
METHOD = "/tensorflow.serving.PredictionService/Predict"
PREDICT = "/v1/models/mnist_cnn:predict"
ADDRESS = os.environ.get("CAPKIT_SERVER", "")
BACKENDS = ["embedded"]
BACKENDS += [PROGRAM] if shutil.which(PROGRAM) else []
BACKENDS += ["container"] if has_image() else []
BACKENDS += [f"server at {ADDRESS}"] if ADDRESS else []


@pytest.fixture(scope="module", params=BACKENDS)
def server(request):
    if request.param in serving.launch.LABELS:
        with serving.serve(MODEL, backend=request.param) as running:
            yield running
    else:
        target, _, rest = ADDRESS.partition(",")
        rest = rest or f"{target.rpartition(':')[0]}:8501"
        yield serving.Server(
            target, f"http://{rest}", backend=request.param, model_name="mnist_cnn"
        )


@pytest.fixture
def client(server):
    with Client(server.grpc_target, "mnist_cnn") as opened:
        yield opened


@pytest.fixture
def rest(server):
    opened = RestClient(server.rest_url)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def next_good_request_is_answered(client, rest):
    yield
    assert client.predict(IMAGE).shape == (1, 10)
    assert rest.predict(IMAGE, "mnist_cnn").shape == (1, 10)


@pytest.fixture
def stand_in_only(server):
    if server.backend != "embedded stand-in":
        pytest.skip("only the embedded stand-in answers so")


def good_request(images=IMAGE, **form):
    request = api.predict_request(images, "mnist_cnn", input_name="image")
    request.inputs["image"].CopyFrom(api.to_proto(images, **form))
    return request


def outcome(call, request, **options):
    """Code and text of a call's answer."""
    answered = call.future(request, **options)
    return answered.code().name, answered.details()


# --- what is refused ---------------------------------------------------------------------------


def no_spec(request):
    request.ClearField("model_spec")


def no_name(request):
    request.model_spec.name = ""


def unknown_model(request):
    request.model_spec.name = "m"


def long_name(request):
    request.model_spec.name = "m" * 2000


def unknown_version(request):
    request.model_spec.version.value = 7


def unknown_label(request):
    request.model_spec.version_label = "x"


def unknown_signature(request):
    request.model_spec.signature_name = "x"


def missing_input(request):
    request.inputs.clear()


def one_input_too_many(request):
    request.inputs["b"].CopyFrom(api.to_proto(IMAGE))


def other_input_name(request):
    request.inputs["input_1"].CopyFrom(request.inputs["image"])
    del request.inputs["image"]


def empty_tensor(request):
    request.inputs["image"].Clear()


def truncated_tensor(request):
    request.inputs["image"].tensor_content = b"123"


def set_shape(request, *sizes):
    shape = request.inputs["image"].tensor_shape
    shape.ClearField("dim")
    for size in sizes:
        shape.dim.add(size=size)


def absurd_shape(request):
    set_shape(request, 10**6, 10**6)


def absurd_shape_of_one_value(request):
    request.inputs["image"].CopyFrom(api.to_proto(IMAGE[0, 0, 0], raw=False))
    set_shape(request, 10**6, 10**6)


def shape_beyond_any_integer(request):
    set_shape(request, *[2**62] * 4)


def negative_shape(request):
    set_shape(request, -1, 28, 28, 1)


def unknown_output(request):
    request.output_filter.append("dense_2")


def output_twice(request):
    request.output_filter.extend(["output_0", "output_0"])


REFUSALS = {
    no_spec: ("INVALID_ARGUMENT", "Missing ModelSpec"),
    no_name: ("INVALID_ARGUMENT", "ModelSpec has no name specified."),
    unknown_model: ("NOT_FOUND", "Servable not found for request: Latest(m)"),
    long_name: (
        "NOT_FOUND",
        ("Servable not found for request: Latest(" + "m" * 2000)[:1024] + "...TRUNCATED",
    ),
    unknown_version: ("NOT_FOUND", "Servable not found for request: Specific(mnist_cnn, 7)"),
    unknown_label: ("INVALID_ARGUMENT", "Unrecognized servable version label: x"),
    unknown_signature: ("FAILED_PRECONDITION", 'Serving signature key "x" not found.'),
    missing_input: (
        "INVALID_ARGUMENT",
        "input size does not match signature: 0!=1 len({}) != len({image}). "
        "Sent extra: {}. Missing but required: {image}.",
    ),
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
    **dict.fromkeys(
        (
            empty_tensor,
            truncated_tensor,
            absurd_shape,
            absurd_shape_of_one_value,
            shape_beyond_any_integer,
            negative_shape,
        ),
        ("INVALID_ARGUMENT", "tensor parsing error: image"),
    ),
    unknown_output: (
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: dense_2 "
        "Outputs expected to be in the set {output_0}.",
    ),
    output_twice: ("INVALID_ARGUMENT", "duplicate output tensor alias: output_0"),
}


@pytest.mark.parametrize("change", REFUSALS, ids=lambda change: change.__name__)
def test_refuses_with_the_code_and_text(client, change):
    request = good_request()
    change(request)
    assert outcome(client.prediction.Predict, request) == REFUSALS[change]


@pytest.mark.parametrize("images", [IMAGE.astype(np.float64), IMAGE[..., 0], IMAGE[:, :14]])
def test_other_type_or_shape_is_refused(client, images):
    code, text = outcome(client.prediction.Predict, good_request(images))
    assert code == "INVALID_ARGUMENT" and text


def test_status_and_metadata_refuse_with_the_code_and_text(client):
    ask = client.models.GetModelStatus
    request = api.get_model_status_pb2.GetModelStatusRequest()
    assert outcome(ask, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.name = "m"
    assert outcome(ask, request) == ("NOT_FOUND", "Could not find any versions of model m")
    request.model_spec.version.value = 7
    assert outcome(ask, request) == ("NOT_FOUND", "Could not find version 7 of model m")
    describe = client.prediction.GetModelMetadata
    request = api.get_model_metadata_pb2.GetModelMetadataRequest()
    assert outcome(describe, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.name = "mnist_cnn"
    assert outcome(describe, request) == (
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    request.metadata_field.append("x")
    text = "Metadata field x is not supported"
    assert outcome(describe, request) == ("INVALID_ARGUMENT", text)
    request.metadata_field[:] = ["signature_def"]
    unknown_model(request)
    assert outcome(describe, request) == REFUSALS[unknown_model]


@pytest.mark.parametrize(
    "method",
    [f"PredictionService/{name}" for name in ("Classify", "Regress", "MultiInference")]
    + ["ModelService/HandleReloadConfigRequest"],
)
def test_calls_outside_the_course_are_unimplemented(client, stand_in_only, method):
    call = client.channel.unary_unary(f"/tensorflow.serving.{method}")
    assert outcome(call, b"")[0] == "UNIMPLEMENTED"


# --- what is no request at all -----------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 5, 1600, 3100])
def test_truncated_message_is_refused(client, server, cut):
    call = client.channel.unary_unary(METHOD)
    code, _ = outcome(call, good_request().SerializeToString()[:-cut])
    assert code != "OK"
    if server.backend == "embedded stand-in":
        assert code == "INTERNAL"


@pytest.mark.parametrize(
    "method", ["PredictionService/Predict", "PredictionService/GetModelMetadata"]
)
def test_random_and_damaged_messages_are_refused_or_answered(client, method):
    rng = np.random.default_rng(1)
    call = client.channel.unary_unary(f"/tensorflow.serving.{method}")
    good = np.frombuffer(good_request().SerializeToString(), dtype=np.uint8)
    codes = set()
    for _ in range(100):
        codes.add(outcome(call, rng.bytes(rng.integers(1, 300)))[0])
        damaged = good.copy()
        damaged[rng.integers(60, size=3)] = rng.integers(256, size=3)
        codes.add(outcome(call, damaged.tobytes())[0])
    assert codes <= {"OK", "INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}


def test_huge_message_is_answered_or_refused(client):
    images = np.zeros((6400, 28, 28, 1), dtype=np.float32)
    assert images.nbytes > 2e7
    code, _ = outcome(client.prediction.Predict, good_request(images))
    assert code in ("OK", "RESOURCE_EXHAUSTED")
    flat = outcome(client.prediction.Predict, good_request(images.ravel()))
    assert flat[0] == "INVALID_ARGUMENT"


def test_connections_that_are_dropped_do_no_harm(server):
    """100 to each port, some after half a greeting."""
    for address in (server.grpc_target, server.rest_url.removeprefix("http://")):
        host, _, port = address.rpartition(":")
        for number in range(100):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM"[: number % 20])


def test_call_whose_deadline_passes_is_given_up(client):
    many = good_request(np.repeat(IMAGE, 1000, axis=0))
    code, _ = outcome(client.prediction.Predict, many, timeout=0.001)
    assert code == "DEADLINE_EXCEEDED"


def test_cancelled_calls_are_given_up(client):
    many = good_request(np.repeat(IMAGE, 500, axis=0))
    calls = [client.prediction.Predict.future(many) for _ in range(20)]
    for call in calls:
        call.cancel()
    codes = [call.code().name for call in calls]
    assert codes[-1] == "CANCELLED" and set(codes) <= {"CANCELLED", "OK"}


# --- good answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", ["", "serving_default"])
def test_answers_in_float_val_and_echoes_the_model(client, signature):
    request = good_request()
    request.model_spec.signature_name = signature
    answer = client.prediction.Predict(request)
    output = answer.outputs["output_0"]
    assert len(output.float_val) == 10 and not output.tensor_content
    assert sum(output.float_val) == pytest.approx(1.0)
    spec = answer.model_spec
    assert (spec.name, spec.signature_name) == ("mnist_cnn", "serving_default")
    request.model_spec.version.value = spec.version.value
    request.output_filter.append("output_0")
    assert client.prediction.Predict(request) == answer


def test_both_tensor_forms_and_both_apis_answer_alike(client, rest):
    images = np.random.default_rng(1).random((3, 28, 28, 1), dtype=np.float32)
    raw = client.predict(images)
    answer = client.prediction.Predict(good_request(images, raw=False))
    np.testing.assert_array_equal(raw, api.from_proto(answer.outputs["output_0"]))
    np.testing.assert_allclose(rest.predict(images, "mnist_cnn"), raw, rtol=1e-6)
    for content in (
        {"inputs": images.tolist()},
        {"inputs": {"image": images.tolist()}},
        {"instances": [{"image": image.tolist()} for image in images]},
    ):
        status, answer = rest.call(PREDICT, content)
        assert status == 200
        (key,) = answer
        assert key == ("outputs" if "inputs" in content else "predictions")
        np.testing.assert_allclose(answer[key], raw, rtol=1e-6)


def test_last_of_too_few_values_is_repeated(client):
    whole = np.ones_like(IMAGE)
    whole[0, 0, 0] = 0.5
    short = good_request(np.float32([0.5, 1.0]), raw=False)
    set_shape(short, 1, 28, 28, 1)
    assert client.prediction.Predict(short) == client.prediction.Predict(good_request(whole))


def test_names_come_from_the_metadata(client):
    inputs, outputs = client.signature()
    assert inputs == {"image": {"shape": [-1, 28, 28, 1], "type": "float32"}}
    assert list(outputs) == ["output_0"]
    assert client.state() == "AVAILABLE"


# --- REST --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, content, status, text",
    [
        ("/v1/models", None, 400, "Missing model name in request."),
        ("/v1/models/m", None, 404, "Could not find any versions of model m"),
        ("/v1/models/m/metadata", None, 404, "Servable not found for request: Latest(m)"),
        ("/v1/models/mnist_cnn/versions/7", None, 404, "Could not find version 7 of model mnist"),
        (f"/v1/models/m/versions/{10**20}", None, 400, f"Failed to convert version: {10**20} to"),
        ("/v1/models/mnist_cnn", {}, 400, "Malformed request: POST /v1/models/mnist_cnn"),
        ("/v1/elsewhere", None, 400, "Malformed request: GET /v1/elsewhere"),
        (PREDICT, None, 400, f"Malformed request: GET {PREDICT}"),
        (PREDICT, [], 400, "Is not object"),
        (PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
        (PREDICT, {"inputs": [], "instances": []}, 400, "only one of 'inputs' or 'instances' keys"),
        (PREDICT, {"instances": {}}, 400, "Expecting 'instances' to be an list/array"),
        (PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
        (PREDICT, {"instances": [{"b": 1}]}, 400, "Failed to process element: 0"),
        (PREDICT, {"inputs": {"b": 1}}, 400, "Missing named input: image in 'inputs' object."),
        (PREDICT, {"instances": ["1"]}, 400, "is not of expected type: float"),
        (PREDICT, {"instances": [None]}, 400, "is not of expected type: float"),
        (PREDICT, {"instances": [True]}, 400, "is not of expected type: float"),
        (PREDICT, {"instances": [[1, 2], [3]]}, 400, ""),
        (PREDICT, {"instances": [[1, 2], [3, 4]]}, 400, ""),
        ("/v1/models/m:predict", {"instances": []}, 404, "Latest(m)"),
        ("/v1/models/mnist_cnn/versions/7:predict", {}, 404, "Specific(mnist_cnn, 7)"),
        ("/v1/models/mnist_cnn/labels/x:predict", {}, 400, "servable version label: x"),
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


@pytest.mark.parametrize("method", ["classify", "regress"])
def test_rest_calls_outside_the_course_are_not_implemented(rest, stand_in_only, method):
    assert rest.call(f"/v1/models/mnist_cnn:{method}", {"examples": []})[0] == 501


def post(server, body):
    """Status and error text of the answer to a body that may be no JSON."""
    try:
        urllib.request.urlopen(server.rest_url + PREDICT, data=body).close()
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["error"]
    return 200, ""


GOOD_BODY = json.dumps({"instances": IMAGE.tolist()}).encode()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"instances": [', GOOD_BODY[:-1], GOOD_BODY[:2000], b"[" * 5000, b"\xff\xfe"],
)
def test_rest_says_that_a_body_is_no_json(server, body):
    status, text = post(server, body)
    assert status == 400 and text.startswith("JSON Parse error: ")


def test_rest_refuses_random_bodies(server):
    rng = np.random.default_rng(1)
    bodies = [rng.bytes(rng.integers(1, 300)) for _ in range(100)] + [b"9" * 5000]
    assert {post(server, body)[0] for body in bodies} == {400}


def test_rest_takes_a_huge_body(server):
    assert post(server, GOOD_BODY[:-1] + b" " * 30_000_000 + b"}") == (200, "")
    numbers = b"0.5," * 5_000_000
    assert post(server, b'{"instances": [' + numbers + b"0.5]}")[0] == 400


@pytest.mark.parametrize("length", ["100", "9" * 20, "9" * 5000, "-1", "x"])
def test_rest_survives_a_body_shorter_than_promised(server, length):
    host, _, port = server.rest_url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode() + b"{}")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            assert b" 200 " not in answer.readline()


def test_rest_path_outside_the_api_is_not_found(server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.rest_url}/elsewhere")
    assert caught.value.code == 404 and b"<H1>Not Found</H1>" in caught.value.read()


def test_rest_gives_status_and_metadata(rest):
    _, status = rest.call("/v1/models/mnist_cnn")
    (version,) = status["model_version_status"]
    assert version["state"] == "AVAILABLE"
    assert version["status"] == {"error_code": "OK", "error_message": ""}
    number = version["version"]
    assert isinstance(number, str), "int64 is a string in JSON"
    assert rest.call(f"/v1/models/mnist_cnn/versions/{number}") == (200, status)
    _, metadata = rest.call("/V1/Models/mnist_cnn/Metadata")
    assert metadata["model_spec"] == {"name": "mnist_cnn", "version": number, "signature_name": ""}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    image = signature["inputs"]["image"]
    assert image["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in image["tensor_shape"]["dim"]] == ["-1", "28", "28", "1"]


# --- metrics -----------------------------------------------------------------------------------


def test_metrics_have_tensorflow_servings_names_labels_and_buckets(server, client, rest):
    client.predict(IMAGE)
    rest.predict(IMAGE, "mnist_cnn")
    request = good_request()
    unknown_model(request)
    outcome(client.prediction.Predict, request)
    rest.call("/v1/models/m")
    rest.call("/v1/elsewhere")
    status, text = rest.call("/monitoring/prometheus/metrics")
    if status == 404 and ADDRESS in server.backend:
        pytest.skip("this server was started without --monitoring_config_file")
    lines = text.splitlines()
    prefix = ":tensorflow:serving:"
    counted = [line.rpartition(" ")[0] for line in lines]
    for labels in (
        'model_name="mnist_cnn",status="OK"',
        'model_name="m",status="NOT_FOUND"',
        'model_name="",status="INVALID_ARGUMENT"',
    ):
        assert f"{prefix}request_count{{{labels}}}" in counted
    for name, labels in (
        ("request_latency", 'model_name="mnist_cnn",API="Predict",entrypoint="GRPC"'),
        ("request_latency", 'model_name="mnist_cnn",API="predict",entrypoint="REST"'),
        ("runtime_latency", 'model_name="mnist_cnn",API="Predict",runtime="TF1"'),
    ):
        assert f"# TYPE {prefix}{name} histogram" in lines
        start = f'{prefix}{name}_bucket{{{labels},le="'
        buckets = [line.removeprefix(start) for line in lines if line.startswith(start)]
        limits = [bucket.partition('"')[0] for bucket in buckets]
        assert limits[:6] == ["10", "18", "32.4", "58.32", "104.976", "188.957"]
        assert limits[-1] == "+Inf" and len(limits) == 34
        counts = [int(bucket.rpartition(" ")[2]) for bucket in buckets]
        assert counts == sorted(counts) and counts[-1] > 0
        assert f"{prefix}{name}_count{{{labels}}} {counts[-1]}" in lines
    assert "# HELP" not in text
