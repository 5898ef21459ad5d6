"""Variants of the CNN: their bytes, answers, accuracy and signature; the statistics of the table."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from capkit import serving, training
from capkit.course import reference
from capkit.datasets import load_mnist
from capkit.serving.metrics import ServingError
from capkit.serving.model import Model
from capkit.serving.variants import accuracy_difference, quantize

MODEL = reference("04_training_benchmark").path("mnist_cnn")
FOLDERS = ("half_precision", "int8_weights", "smaller_cnn")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    return serving.measure_variants(MODEL, folder, seconds=0.2).set_index("variant"), folder


@pytest.fixture(scope="module")
def served(measured):
    """Each variant as the embedded server loads it, in the order of the table."""
    bases = [MODEL, *(measured[1] / name for name in FOLDERS)]
    return dict(zip(measured[0].index, [Model(base, "m") for base in bases], strict=True))


@pytest.fixture(scope="module")
def answers(served):
    inputs = {"image": training.to_inputs(load_mnist()[2])}
    return {name: m.run("serving_default", inputs, ("output_0",))[0] for name, m in served.items()}


def test_fewer_bytes_are_fewer_on_disk(measured):
    share = measured[0]["bytes"] / measured[0].loc["float32", "bytes"]
    assert share["half precision"] < 0.55
    assert share["int8 weights"] < 0.3
    assert share["smaller CNN"] < 0.2
    assert measured[0]["parameters"].tolist() == [347_146, 347_146, 347_146, 43_706]


def test_answers_stay_near_those_of_float32(answers):
    def largest(name):
        return np.abs(answers[name] - answers["float32"]).max()

    assert largest("half precision") < 1e-3
    assert largest("int8 weights") < 0.02
    for values in answers.values():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values.sum(axis=1), 1.0, atol=1e-3)


def test_accuracy_of_the_table_is_that_of_the_served_model(measured, answers):
    table, labels = measured[0], load_mnist()[3]
    right = {name: values.argmax(axis=1) == labels for name, values in answers.items()}
    for name, row in table.iterrows():
        assert row["accuracy"] == right[name].mean()
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
        assert row["change"] == pytest.approx(row["accuracy"] - table.loc["float32", "accuracy"])
        assert row["change_low"] < row["change"] < row["change_high"]
    assert table.loc["float32", ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx(
        [0.9291, 0.9575], abs=1e-4
    )
    assert table.loc["int8 weights", "change"] > -0.01
    assert table.loc["smaller CNN", "accuracy"] > 0.88


def test_times_are_positive_and_float32_is_its_own_measure(measured):
    times = ["service_1_ms", "service_32_ms", "ratio_1", "ratio_32"]
    assert (measured[0][times] > 0).all(axis=None)
    assert measured[0].loc["float32", ["ratio_1", "ratio_32"]].tolist() == [1.0, 1.0]


def test_signature_is_the_same_and_other_images_are_refused(served):
    def described(model):
        signature = model.signatures["serving_default"]
        return [
            (alias, info.dtype, info.shape)
            for alias, info in [*signature.inputs.items(), *signature.outputs.items()]
        ]

    for model in served.values():
        assert described(model) == [("image", 1, (-1, 28, 28, 1)), ("output_0", 1, (-1, 10))]
        for shape in [(1, 28, 14, 1), (2, 784), (0, 28, 28, 3)]:
            image = {"image": np.zeros(shape, dtype=np.float32)}
            with pytest.raises(ServingError):
                model.run("serving_default", image, ("output_0",))


def test_impossible_measurements_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no version folder"):
        serving.measure_variants(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="a time to measure above 0"):
        serving.measure_variants(MODEL, tmp_path, seconds=0.0)


FLOATS = st.floats(-100, 100, width=32)


@example(np.array([[1e-45]], dtype=np.float32))
@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=4), elements=FLOATS))
def test_quantised_weights_are_off_by_at_most_half_a_scale(weights):
    values, scale = quantize(weights)
    assert values.dtype == np.int8
    assert scale.shape == weights.shape[-1:]
    assert (np.abs(values * scale - weights) <= 0.5001 * scale).all()


def test_interval_of_the_difference_covers_the_truth():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        before = rng.random(1000) < 0.945
        now = np.where(before, rng.random(1000) < 0.965, rng.random(1000) < 0.4)
        _, low, high = accuracy_difference(now, before)
        hits += low <= 0.055 * 0.4 - 0.945 * 0.035 <= high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("now, before", [([True], [True, False]), ([], []), ([[True]], [[True]])])
def test_difference_needs_the_same_images(now, before):
    with pytest.raises(ValueError, match="an answer a model for each image"):
        accuracy_difference(now, before)
