"""The device benchmark: the whole command on the CPU with small sizes, its counts, checks and choices."""

import json
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from gpu_report import HALF, PLACE, check_report, run_command

from capkit import gpubench
from capkit.gpubench import backends, ceilings, choice, measure, networks, timing
from capkit.training import build_cnn, count_cnn, predict_float64


def test_whole_command_runs_and_its_report_has_the_schema(quick_run):
    run, out = quick_run
    assert run.stderr == ""
    assert run.returncode == 0, run.stdout
    report = json.loads(out.read_text())
    check_report(report)
    assert report["quick"] is True
    assert report["gpu_seen"] or "no GPU seen: with one" in run.stdout
    assert run.stdout.count(": right\n") == 4
    found = {tuple(row[key] for key in PLACE) for row in report["results"]}
    assert report["left_out"] == []
    assert found == {
        (network, precision, kind, size)
        for network, size in (("course", 1), ("course", 8), ("large", 1))
        for precision in ("float32", HALF[report["gpu_seen"]])
        for kind in ("inference", "training")
    }


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_whole_command_runs_on_other_back_ends(backend, tmp_path):
    if not find_spec(backend):
        pytest.skip(f"{backend} is not installed: python -m pip install {backend}")
    out = tmp_path / "report.json"
    run = run_command(out, KERAS_BACKEND=backend)
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(out.read_text())
    check_report(report)
    assert report["backend"] == backend
    assert len(report["results"]) == 12


def test_few_packages_are_needed():
    """A GPU machine without a network seldom has more than these."""
    needless = (
        "scipy",
        "statsmodels",
        "numba",
        "matplotlib",
        "pulp",
        "pooch",
        "papermill",
        "tensorflow",
    )
    code = f"import sys, capkit.gpubench; print([m for m in {needless} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


# --- the networks, counted and computed by hand


def test_count_agrees_with_the_course_s_table():
    work = networks.count(build_cnn())
    table = count_cnn()
    assert work.parameters == table["parameters"].sum()
    assert work.flops == table["flops_per_image"].sum()
    assert work.first_flops == table.at["conv", "flops_per_image"]


def test_large_network_s_work_is_what_its_shapes_say():
    work = networks.count(networks.build("large", "float32"))
    conv, conv_2 = 26**2 * 128 * (2 * 9 + 1), 24**2 * 256 * (2 * 9 * 128 + 1)
    hidden, digit = 256 * (2 * 12**2 * 256 + 1), 10 * (2 * 256 + 1)
    assert work.flops == conv + conv_2 + hidden + digit
    assert work.parameters == 10 * 128 + (9 * 128 + 1) * 256 + (144 * 256 + 1) * 256 + 257 * 10


def test_float64_outputs_of_the_course_s_cnn_are_those_of_the_formula():
    model = build_cnn()
    images = np.random.default_rng(3).random((5, 28, 28, 1))
    expected = predict_float64(model.get_weights(), images)
    assert networks.float64_outputs(model, images) == pytest.approx(expected, rel=1e-12)


def test_float64_outputs_refuse_a_layer_that_they_do_not_know():
    layer = type("Dropout", (), {"get_weights": lambda self: []})()
    with pytest.raises(ValueError, match="got a Dropout"):
        networks.float64_outputs(SimpleNamespace(layers=[layer]), np.zeros((1, 28, 28, 1)))


def test_mixed_precision_keeps_weights_and_the_last_layer_in_float32():
    model = networks.build("large", "mixed_float16")
    assert {layer.compute_dtype for layer in model.layers[:-1]} == {"float16"}
    assert model.layers[-1].compute_dtype == "float32"
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert networks.build("course", "float32").layers[0].compute_dtype == "float32"


# --- a check that can fail


@pytest.fixture(scope="module")
def tensorflow():
    return backends.TensorFlow()


def test_wrong_outputs_are_found(tensorflow, monkeypatch):
    rng = np.random.default_rng(1)
    assert measure.check(tensorflow, "course", "float32", rng)["ok"]
    right = tensorflow.get
    monkeypatch.setattr(tensorflow, "get", lambda tensor: right(tensor)[::-1])
    row = measure.check(tensorflow, "course", "float32", rng)
    assert row["relative_error"] > 0.05
    assert row["loss_relative_error"] < 1e-4
    assert not row["ok"]
    monkeypatch.setattr(tensorflow, "get", lambda tensor: right(tensor) * np.nan)
    assert not measure.check(tensorflow, "course", "float32", rng)["ok"]


def test_float32_may_be_tf32_on_a_gpu_only(tensorflow, monkeypatch):
    def cut(tensor):
        probabilities = right(tensor).astype(np.float64)
        return probabilities ** (1 + 3e-3)

    right = tensorflow.get
    monkeypatch.setattr(tensorflow, "get", cut)
    rng = np.random.default_rng(1)
    row = measure.check(tensorflow, "course", "float32", rng)
    assert row["relative_error"] == pytest.approx(3e-3, rel=0.01)
    assert (row["tolerance"], row["ok"]) == (1e-4, False)
    monkeypatch.setattr(tensorflow, "gpu", True)
    monkeypatch.setattr(tensorflow, "_reset_peak", lambda: None)
    row = measure.check(tensorflow, "course", "float32", rng)
    assert (row["tolerance"], row["ok"]) == (6e-3, True)


def test_wrong_loss_is_found(tensorflow, monkeypatch):
    monkeypatch.setattr(tensorflow, "training", lambda *given: lambda *batch: {"loss": 2.0})
    row = measure.check(tensorflow, "course", "float32", np.random.default_rng(1))
    assert row["relative_error"] < 1e-5
    assert not row["ok"]


def test_training_step_in_float16_is_right(tensorflow):
    """What a GPU runs; its loss is scaled, so that small gradients survive."""
    model = networks.build("course", "mixed_float16")
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    images, labels = measure.draw(np.random.default_rng(1), 4)
    exact = -np.log(networks.float64_outputs(model, images)[np.arange(4), labels]).mean()
    batch = [tensorflow.put(images), tensorflow.put(labels)]
    step = tensorflow.training(model, *batch)
    losses = [float(step(*batch)["loss"]) for _ in range(5)]
    assert losses[0] == pytest.approx(exact, rel=1e-2)
    assert 0 < losses[-1] < losses[0]
    assert np.isfinite(tensorflow.get(tensorflow.inference(model, batch[0])(batch[0]))).all()


def test_training_step_learns(tensorflow):
    rng = np.random.default_rng(1)
    model = networks.build("course", "mixed_bfloat16")
    batch = [tensorflow.put(array) for array in measure.draw(rng, 32)]
    step = tensorflow.training(model, *batch)
    losses = [float(step(*batch)["loss"]) for _ in range(40)]
    assert losses[-1] < losses[0] / 1.5


def test_product_s_error_tells_the_precision(tensorflow):
    errors = {
        dtype: ceilings.measure_product(tensorflow, "product", dtype, 64, 0.01)["relative_error"]
        for dtype in ("float32", "bfloat16")
    }
    assert errors["float32"] < 1e-6
    assert 1e-4 < errors["bfloat16"] < 1e-2
    chained = ceilings.measure_product(tensorflow, "small", "float32", 16, 0.01, chain=50)
    assert chained["relative_error"] < 1e-4


# --- timing, with a clock played by hand


class Played:
    """A clock that only calls move: ``call_s`` in a row, more if each is awaited."""

    def __init__(self, monkeypatch, call_s):
        self.now, self.call_s, self.waited = 0.0, call_s, []
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def call(self, index):
        self.now += self.call_s
        return index


def test_calls_in_a_row_fill_the_time_and_their_results_are_let_go(monkeypatch):
    played = Played(monkeypatch, call_s=0.0001)
    row = timing.in_a_row(played.call, played.waited.append, call_s=0.001, block_s=0.1, gpu=False)
    assert row.calls == 5 * 200
    assert played.waited == [list(range(16, 20)), *[list(range(196, 200))] * timing.REPEATS]
    assert row.seconds == pytest.approx(0.0001)
    assert {"cpu_percent", "memory_mib"} <= set(row.usage)


@pytest.mark.parametrize("gpu", [True, False])
def test_gpu_s_figures_are_those_of_calls_that_ran_on_it(monkeypatch, gpu):
    class Sampler:
        def __init__(self, interval_s):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *raised):
            pass

        def frame(self):
            return pd.DataFrame(
                {"t_s": [0.1, 0.2], "cpu_percent": 50.0, "gpu_percent": 7.0, "gpu_power_w": np.nan}
            )

    counter = iter([100.0, 160.0])
    monkeypatch.setattr(timing.telemetry, "Sampler", Sampler)
    monkeypatch.setattr(timing.telemetry, "gpu_energy_j", lambda: next(counter))
    row = timing.in_a_row(lambda index: index, lambda results: None, 1.0, 0.01, gpu=gpu)
    assert row.energy_j == (60.0 if gpu else None)
    assert row.usage == {"cpu_percent": 50.0, **({"gpu_percent": 7.0} if gpu else {})}


def test_slow_call_is_made_once_a_repeat(monkeypatch):
    played = Played(monkeypatch, call_s=2.0)
    row = timing.in_a_row(played.call, played.waited.append, call_s=2.0, block_s=0.1, gpu=False)
    assert played.waited == [[0]] * timing.REPEATS
    assert row.seconds == pytest.approx(2.0)


@pytest.mark.parametrize(("call_s", "calls"), [(2**-8, 1 + 128), (0.25, 1 + 3), (2.0, 1 + 1)])
def test_warm_up_lasts_half_a_second_and_three_calls(monkeypatch, call_s, calls):
    played = Played(monkeypatch, call_s)
    assert timing.warm_up(played.call, played.waited.append, 0.75) == call_s
    assert played.waited == list(range(calls))


def test_awaited_calls_are_at_least_so_many():
    waited = []
    seconds = timing.awaited_s(lambda index: index, waited.append, 0.0)
    assert waited == [0, 1, 2, 3, 4]
    assert (seconds > 0).all()


# --- what is left out says why


class Fake:
    """A network whose call takes ``image_s`` an image by its row, or fails."""

    def __init__(self, monkeypatch, image_s, fails=()):
        def measure_row(backend, model, kind, size, rng, block_s):
            if (kind, size) in fails:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nand a long dump")
            return {"kind": kind, "batch_size": size, "row_median_ms": 1e3 * image_s * size}

        monkeypatch.setattr(measure, "measure_row", measure_row)

    def run(self, budget_s=100.0):
        rows = measure.Rows()
        effort = measure.Effort({"course": (1, 32, 256)}, 0.0, budget_s, 1, 1)
        limits = {"copy": 1e9, "float32": 1e9}
        clock = measure.Clock(budget_s)
        list(measure.measure_network(None, "course", "float32", limits, effort, clock, None, rows))
        return rows


def test_sizes_beyond_the_limit_of_a_call_are_left_out(monkeypatch):
    rows = Fake(monkeypatch, image_s=0.03).run()
    assert [row["batch_size"] for row in rows.results] == [1, 32] * 2
    assert [row["reason"] for row in rows.left_out] == [
        "a call would take some 7.7 s, more than 2"
    ] * 2


def test_device_out_of_memory_is_told_and_the_rest_goes_on(monkeypatch):
    rows = Fake(monkeypatch, image_s=1e-5, fails=[("inference", 256)]).run()
    assert len(rows.results) == 5
    assert rows.left_out[0]["reason"] == "out of memory: RESOURCE_EXHAUSTED: Out of memory"


def test_used_up_budget_is_told(monkeypatch):
    rows = Fake(monkeypatch, image_s=1e-5).run(budget_s=0.0)
    assert rows.results == []
    assert {row["reason"] for row in rows.left_out} == {"the 0 s of the benchmark were used up"}


def test_floor_takes_the_longer_of_the_two():
    work = networks.Work(parameters=100, flops=1000, first_flops=10)
    row = {"kind": "inference", "batch_size": 2, "row_median_ms": 10.0}
    found = measure.add_floor(row, work, {"copy": 1e9, "float32": 1e6}, "float32")
    assert (found["bound"], found["floor_ms"], found["floor_percent"]) == ("compute", 2.0, 20.0)
    found = measure.add_floor(row, work, {"copy": 1e6, "float16": 1e9}, "mixed_float16")
    assert found["bound"] == "memory"
    assert found["floor_ms"] == pytest.approx((400 + 2 * 3176) / 1e3)


def test_row_without_its_ceiling_has_no_floor():
    work = networks.Work(parameters=100, flops=1000, first_flops=10)
    row = {"kind": "inference", "batch_size": 2, "row_median_ms": 10.0}
    found = measure.add_floor(row, work, {"copy": 1e9, "float16": 1e9}, "float32")
    assert found == {**row, "floor_ms": None, "bound": None, "floor_percent": None}


# --- the choice of back end, and wrong input


@pytest.mark.parametrize(
    ("installed", "gpus", "expected"),
    [
        (("tensorflow", "torch"), {}, ("tensorflow", None)),
        (("tensorflow", "torch"), {"torch": "H100"}, ("torch", "H100")),
        (("tensorflow", "jax"), {"tensorflow": "T4", "jax": "T4"}, ("tensorflow", "T4")),
        (("torch", "jax"), {"torch": "H200", "jax": "H200"}, ("jax", "H200")),
    ],
)
def test_back_end_is_the_first_that_sees_a_gpu(monkeypatch, installed, gpus, expected):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(choice, "find_spec", lambda name: name in (*installed, "keras"))
    monkeypatch.setattr(choice, "gpu_of", gpus.get)
    assert gpubench.choose_backend() == expected


def test_back_end_named_by_the_environment_is_kept(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(choice, "find_spec", lambda name: name in ("jax", "keras"))
    monkeypatch.setattr(choice, "gpu_of", lambda name: None)
    assert gpubench.choose_backend() == ("jax", None)
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError, match="jax is not installed, which KERAS_BACKEND names"
    ):
        gpubench.choose_backend()
    monkeypatch.delenv("KERAS_BACKEND")
    with pytest.raises(
        ModuleNotFoundError, match="none of tensorflow, jax, torch is installed: py"
    ):
        gpubench.choose_backend()


def test_keras_is_needed_and_named(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(choice, "find_spec", lambda name: name == "torch")
    with pytest.raises(ModuleNotFoundError, match="Keras is not installed"):
        gpubench.choose_backend()


def test_broken_back_end_is_told_and_the_next_one_tried(monkeypatch, tmp_path, capsys):
    def gpu_of(name):
        if name in broken:
            raise broken[name]
        return "H100"

    broken = {"tensorflow": ImportError("no libcudart"), "jax": RuntimeError("no plugin")}
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(choice, "find_spec", lambda name: True)
    monkeypatch.setattr(choice, "gpu_of", gpu_of)
    told = []
    assert gpubench.choose_backend(told.append) == ("torch", "H100")
    assert told == [
        "tensorflow is installed, but does not start: ImportError: no libcudart",
        "jax is installed, but does not start: RuntimeError: no plugin",
    ]
    broken["torch"] = OSError("libtorch.so")
    assert gpubench.main(["--out", str(tmp_path / "x.json")]) == 2
    assert "no installed back end starts (tensorflow, jax, torch)" in capsys.readouterr().err


def test_unknown_back_end_is_refused_with_status_2(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    assert gpubench.main(["--out", str(tmp_path / "x.json")]) == 2
    assert "one of tensorflow, jax, torch, or unset; it is 'theano'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "said"), [("none/x.json", "there is no folder"), ("", "is a folder")]
)
def test_unusable_place_is_refused_before_anything_runs(tmp_path, capsys, place, said):
    with pytest.raises(SystemExit):
        gpubench.main(["--out", str(tmp_path / place)])
    assert said in capsys.readouterr().err
