"""The CNN: counted, built, trained, exported; its epoch time and its profile."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkit import training
from capkit.datasets import load_mnist

PROFILE = training.TrainingProfile(
    examples_per_s={8: 2000.0, 128: 10_000.0},
    fixed_s=0.003,
    per_example_s=0.0001,
    fit_extra_s=0.001,
    accuracy=0.94,
    accuracy_low=0.92,
    accuracy_high=0.95,
    parameters=347_146,
    flops_per_image=1_104_586,
    memory_mib=700.0,
    bytes_per_example=784.0,
    checkpoint_bytes=4_165_752,
    checkpoint_s=0.1,
    workers=2,
    scaling_efficiency=0.8,
    batch_size=32,
    epochs=3,
    train_examples=4000,
    device="a CPU",
)


@pytest.fixture(scope="module")
def tensorflow():
    return training.import_tensorflow()


@pytest.fixture(scope="module")
def digits():
    x_train, y_train, x_test, y_test = load_mnist()
    return training.to_inputs(x_train), y_train, training.to_inputs(x_test), y_test


@pytest.fixture
def model(tensorflow):
    tensorflow.keras.utils.set_random_seed(1)
    return training.build_cnn()


def test_count_agrees_with_keras_layer_by_layer(model):
    count = training.count_cnn()
    assert list(count.index) == [layer.name for layer in model.layers]
    for layer in model.layers:
        assert count.loc[layer.name, "parameters"] == layer.count_params()
        assert count.loc[layer.name, "output"] == " x ".join(map(str, layer.output.shape[1:]))
    assert count["parameters"].sum() == model.count_params() == 347_146
    assert count["weight_bytes"].sum() == sum(w.nbytes for w in model.get_weights())


def test_operations_agree_with_an_independent_count():
    """Loops written out: each output element of the convolution and of the dense layers."""
    conv = sum(2 * 9 + 1 for _ in itertools.product(range(26), range(26), range(32)))
    hidden = sum(2 * 13 * 13 * 32 + 1 for _ in range(64))
    digit = sum(2 * 64 + 1 for _ in range(10))
    count = training.count_cnn()["flops_per_image"]
    assert (count["conv"], count["hidden"], count["digit"]) == (conv, hidden, digit)
    assert count.sum() == conv + hidden + digit


def test_operations_agree_with_tensorflow_s_profiler(model, tensorflow, capfd):
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    spec = tensorflow.TensorSpec((1, 28, 28, 1), tensorflow.float32)
    concrete = tensorflow.function(lambda image: model(image)).get_concrete_function(spec)
    graph = convert_variables_to_constants_v2(concrete).graph
    profiler = tensorflow.compat.v1.profiler
    options = profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    total = profiler.profile(graph, options=options).total_float_ops
    counted = training.count_cnn()["flops_per_image"].sum()
    left_out = 26 * 26 * 32 + 13 * 13 * 32 * 4 + 64 + 10 * 5
    assert counted <= total <= counted + left_out


def test_float64_by_hand_agrees_with_keras(model, digits):
    inputs = digits[2][:200]
    by_hand = training.predict_float64(model.get_weights(), inputs)
    np.testing.assert_allclose(by_hand.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(by_hand, model.predict(inputs, verbose=0), atol=2e-6)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((5, 28, 28), dtype=np.float32),
        np.zeros((28, 28), dtype=np.uint8),
        np.zeros((5, 28, 28, 1), dtype=np.uint8),
        np.zeros((5, 32, 32), dtype=np.uint8),
    ],
)
def test_images_of_another_kind_are_refused(images):
    with pytest.raises(ValueError, match="expected uint8 images of shape"):
        training.to_inputs(images)


def test_training_learns_and_is_reproducible(tensorflow, digits):
    x_train, y_train, x_test, y_test = digits
    runs = []
    for _ in range(2):
        tensorflow.keras.utils.set_random_seed(5)
        model = training.build_cnn()
        epochs = training.train(
            model, x_train[:640], y_train[:640], epochs=2, validation=(x_test, y_test)
        )
        runs.append((epochs, model.get_weights()))
    epochs = runs[0][0]
    assert list(epochs["epoch"]) == [1, 2]
    assert epochs["val_accuracy"].iloc[-1] > 0.6
    assert epochs["loss"].iloc[-1] < epochs["loss"].iloc[0]
    assert (epochs["train_s"] > 0).all()
    assert (epochs["start_s"] + epochs["train_s"] <= epochs["end_s"]).all()
    assert epochs["start_s"].iloc[1] >= epochs["end_s"].iloc[0]
    assert list(runs[1][0]["loss"]) == list(epochs["loss"])
    for first, second in zip(runs[0][1], runs[1][1], strict=True):
        np.testing.assert_array_equal(first, second)


def test_progress_is_shown_and_removed(model, digits, capsys):
    training.train(model, digits[0][:64], digits[1][:64], epochs=1, progress=True)
    shown, silent = capsys.readouterr()
    assert "2/2" in shown
    assert shown.endswith("\r")
    assert silent == ""


def test_restart_repeats_a_training_bit_for_bit(model, digits):
    inputs, labels = digits[0][:160], digits[1][:160]
    runs = []
    for _ in range(2):
        training.restart(model, 3)
        training.train(model, inputs, labels, epochs=2)
        runs.append(model.get_weights())
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first, second)


def test_step_by_hand_does_what_fit_does(model, tensorflow, digits):
    inputs, labels = digits[0][:96], digits[1][:96]
    start = model.get_weights()
    step = training.train_step(model)
    for first in range(0, 96, 32):
        step(inputs[first : first + 32], labels[first : first + 32])
    other = training.build_cnn()
    other.set_weights(start)
    other.fit(inputs, labels, batch_size=32, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_exported_model_answers_as_the_model_and_is_the_same_each_time(
    model, tensorflow, digits, tmp_path, capfd
):
    first = training.export(model, tmp_path / "mnist_cnn")
    second = training.export(model, tmp_path / "other", version=2)
    assert (first.name, second.name) == ("1", "2")
    signature = tensorflow.saved_model.load(str(first)).signatures["serving_default"]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    image = signature.structured_input_signature[1]["image"]
    assert image.shape.as_list() == [None, 28, 28, 1]
    assert image.dtype == tensorflow.float32
    inputs = digits[2][:50]
    answer = signature(image=tensorflow.constant(inputs))["output_0"].numpy()
    np.testing.assert_allclose(answer, model(inputs).numpy(), atol=1e-6)
    for wrong in (inputs[..., 0], inputs[:, :14]):
        with pytest.raises(tensorflow.errors.InvalidArgumentError, match="not compatible"):
            signature(image=tensorflow.constant(wrong))
    size = sum(p.stat().st_size for p in first.rglob("*") if p.is_file())
    assert 4 * 347_146 < size < 1.5e6
    weights = "variables/variables.data-00000-of-00001"
    kept = [(path / weights).read_bytes()[: 4 * 347_146] for path in (first, second)]
    assert kept[0] == kept[1]


def test_version_is_a_positive_number(model, tmp_path):
    with pytest.raises(ValueError, match="from 1, got 0"):
        training.export(model, tmp_path, version=0)


def test_import_of_tensorflow_prints_nothing():
    code = "from capkit import training; training.import_tensorflow(); training.import_keras()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")


def test_quiet_stderr_gives_the_descriptor_back(capfd):
    with pytest.raises(KeyError), training.quiet_stderr():
        os.write(2, b"silenced")
        raise KeyError
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_epoch_times_takes_turns_and_leaves_the_first_out():
    calls = []

    def way(name):
        return lambda size: calls.append((name, size)) or float(len(calls))

    table = training.epoch_times({"a": way("a"), "b": way("b")}, [4, 16], rounds=3)
    assert calls == [("a", 4), ("a", 16), ("b", 4), ("b", 16)] * 4
    assert table["epoch_s"].tolist() == [9.0, 10.0, 11.0, 12.0]  # the middle of turns 2 to 4
    assert (table["low_s"] < table["epoch_s"]).all()
    assert (table["epoch_s"] < table["high_s"]).all()


@pytest.mark.parametrize("size", [0, 97])
def test_an_epoch_needs_a_batch_that_exists(digits, size):
    with pytest.raises(ValueError, match=f"between 1 and 96, got {size}"):
        training.run_epoch(
            lambda *batch: 0.0, digits[0][:96], digits[1][:96], size, np.random.default_rng(1)
        )


def test_an_epoch_shows_every_image_once(digits):
    seen = []
    inputs = np.arange(10, dtype=np.float32)
    training.run_epoch(
        lambda images, labels: seen.extend(images) or 0.0,
        inputs,
        np.zeros(10, np.uint8),
        4,
        np.random.default_rng(1),
    )
    assert sorted(seen) == list(inputs)
    assert seen != list(inputs)


@given(
    fixed_s=st.floats(1e-4, 1.0),
    per_example_s=st.floats(1e-6, 1e-2),
    small=st.integers(1, 64),
    extra=st.integers(1, 1000),
)
def test_line_through_two_sizes_is_found_again(fixed_s, per_example_s, small, extra):
    sizes = np.array([small, small + extra])
    found = training.fit_step_time(sizes, fixed_s + per_example_s * sizes)
    assert found == pytest.approx((fixed_s, per_example_s), rel=1e-6)


@given(
    fixed_s=st.floats(1e-4, 1.0),
    per_example_s=st.floats(1e-6, 1e-2),
    small=st.integers(1, 64),
    extra=st.integers(64, 1000),
    examples=st.integers(2000, 9000),
)
def test_line_through_two_epochs_is_found_again(fixed_s, per_example_s, small, extra, examples):
    """The last, smaller batch of an epoch is in both directions of the calculation."""
    sizes = np.array([small, small + extra])
    epochs = [sum(fixed_s + per_example_s * n for n in batches(examples, b)) for b in sizes]
    found = training.fit_epoch_time(sizes, epochs, examples)
    assert found == pytest.approx((fixed_s, per_example_s), rel=1e-5)
    predicted = training.predict_epoch_s(fixed_s, per_example_s, examples, sizes)
    np.testing.assert_allclose(predicted, epochs)


def batches(examples, size):
    return [min(size, examples - first) for first in range(0, examples, size)]


@pytest.mark.parametrize(
    ("sizes", "seconds", "message"),
    [
        ([8, 8], [1, 1], "two different batch sizes"),
        ([8, 16, 32], [1, 2, 3], "two different batch sizes"),
        ([8, 16], [2, 1], "measure again with more rounds"),
        ([8, 16], [1, 3], "take sizes further apart"),
    ],
)
def test_no_line_no_answer(sizes, seconds, message):
    with pytest.raises(ValueError, match=message):
        training.fit_step_time(sizes, seconds)


def test_profile_survives_json():
    data = json.loads(json.dumps(PROFILE.to_dict()))
    assert data["examples_per_s"] == {"8": 2000.0, "128": 10_000.0}
    assert training.TrainingProfile.from_dict({**data, "more": 1}) == PROFILE
    del data["fixed_s"]
    with pytest.raises(ValueError, match="fixed_s missing"):
        training.TrainingProfile.from_dict(data)


def test_hours_are_steps_times_step_time():
    """4,000 images in 125 steps of 32: 3 + 1 + 3.2 ms each; a rest of 8 costs a step of 4.8 ms."""
    assert PROFILE.epoch_s(4000) == pytest.approx(125 * 0.0072)
    assert PROFILE.step_s(32) == pytest.approx(0.0072)
    hours = PROFILE.accelerator_hours(4000, 3)
    assert hours == pytest.approx(3 * 125 * 0.0072 / 3600)
    more = PROFILE.accelerator_hours(4008, 3)
    assert more - hours == pytest.approx(3 * 0.0048 / 3600)
    assert PROFILE.accelerator_hours(4000, 3, batch_size=128) < hours


def test_failures_cost_hours_and_rare_ones_cost_only_the_checkpoints():
    plain = PROFILE.accelerator_hours(10**8, 3)
    rare, often = (
        PROFILE.accelerator_hours(10**8, 3, mtbf_h=hours, restart_s=60) for hours in (10_000, 1)
    )
    assert plain < rare < often
    assert rare == pytest.approx(plain, rel=1e-3)
    assert PROFILE.checkpoint_interval_s(1) == training.daly_interval_s(0.1, 3600)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fixed_s": 0.0}, "fixed_s"),
        ({"fit_extra_s": -0.004}, r"fixed_s \+ fit_extra_s"),
        ({"memory_mib": float("nan")}, "memory_mib"),
        ({"examples_per_s": {8: -1.0}}, r"examples_per_s\[8\]"),
        ({"accuracy": 0.99}, "must hold the accuracy"),
    ],
)
def test_profile_refuses_what_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        training.TrainingProfile(**{**vars(PROFILE), **change})
    with pytest.raises(ValueError, match="at least 1"):
        PROFILE.accelerator_hours(0, 1)
    with pytest.raises(ValueError, match="batch_size"):
        PROFILE.step_s(0)
