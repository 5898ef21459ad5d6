"""What limits a training: memory, input, hot spot, the other workers, failures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from capkit import training
from capkit.datasets import load_mnist

SCALING = training.Scaling(0.002, 0.0001, 1_388_584, 0.0005, 1e9)


@pytest.fixture(scope="module")
def digits():
    x_train, y_train, _, _ = load_mnist()
    return x_train[:96], y_train[:96]


@pytest.fixture(scope="module")
def step():
    training.import_tensorflow()
    return training.train_step(training.build_cnn())


def test_largest_batch_is_the_largest():
    image_mib = training.image_bytes() / 2**20
    largest = training.largest_batch(2048, 650, image_mib)
    assert 650 + largest * image_mib <= 2048 < 650 + (largest + 1) * image_mib
    with pytest.raises(ValueError, match=r"600 MiB holds no image: 50 MiB more"):
        training.largest_batch(600, 650, image_mib)
    with pytest.raises(ValueError, match="must be positive"):
        training.largest_batch(600, float("nan"), image_mib)
    with pytest.raises(ValueError, match="at least 1, got"):
        training.step_memory_mib([0, 8])


@pytest.mark.more
def test_memory_is_predicted_within_a_fifth():
    small, large = training.measure_memory([1, 3000])["peak_mib"]
    first, last = training.step_memory_mib([1, 3000])
    assert small + last - first == pytest.approx(large, rel=0.2)


def test_a_process_that_dies_is_an_error(monkeypatch):
    with pytest.raises(ValueError, match="at least 1, got"):
        training.measure_memory([-1])
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(RuntimeError, match="batch size 8 ended"):
        training.measure_memory([8])
    with pytest.raises(RuntimeError, match="a worker ended with 1"):
        training.measure_workers(2, [8])


@pytest.mark.parametrize("options", training.PIPELINES.values(), ids=training.PIPELINES)
def test_every_pipeline_gives_the_same_batches(digits, options):
    images, labels = digits
    data = training.input_pipeline(training.encode_png(images), labels, 40, **options)
    for _ in range(2):
        parts = [(x.numpy(), y.numpy()) for x, y in data]
        assert [len(y) for _, y in parts] == [40, 40, 16]
        np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), labels)
        decoded = np.concatenate([x for x, _ in parts])
        np.testing.assert_array_equal(decoded, training.to_inputs(images))


def test_pipeline_times_have_their_parts(digits, step):
    images, labels = digits
    table = training.pipeline_times(step, training.encode_png(images), labels, 32, rounds=1)
    assert list(table["setting"]) == list(training.PIPELINES)
    np.testing.assert_allclose(table["sum_s"], table["input_s"] + table["compute_s"])
    assert (table["larger_s"] <= table["sum_s"]).all()
    assert table["waiting_share"].between(0, 1).all()
    with pytest.raises(ValueError, match="as many labels as images"):
        training.input_pipeline([b""], labels, 32)


def test_profiler_sees_every_layer_in_both_directions(digits, step):
    images, labels = digits
    table = training.hot_spots(step, training.to_inputs(images), labels, steps=3)
    assert table["share"].sum() == pytest.approx(1)
    assert table["ms_a_step"].is_monotonic_decreasing
    places = set(zip(table["layer"], table["direction"], strict=True))
    for layer in ("conv", "pool", "hidden", "digit"):
        assert {(layer, "forward"), (layer, "backward")} <= places
    assert ("all weights", "update") in places
    with pytest.raises(ValueError, match="at least 1, got 0"):
        training.hot_spots(step, images, labels, steps=0)


@given(workers=st.integers(1, 600), images=st.integers(600, 10_000))
def test_messages_only_slow_down(workers, images):
    amdahl = float(SCALING.amdahl_speedup(workers, images))
    assert float(SCALING.speedup(workers, images)) <= amdahl * (1 + 1e-12)
    assert amdahl <= min(workers, 1 + 0.0001 * images / 0.002) * (1 + 1e-12)
    assert 0 < float(SCALING.weak_efficiency(workers, 64)) <= 1
    assert float(SCALING.bytes_sent(workers)) < 2 * SCALING.gradient_bytes


def test_ring_by_its_own_simulation():
    """Chunks passed round n workers: 2 (n - 1) turns, each sends one chunk of 1 / n of the bytes."""
    for workers in (2, 3, 8):
        chunk = SCALING.gradient_bytes / workers
        seconds = sum(SCALING.latency_s + chunk / 1e9 for _ in range(2 * (workers - 1)))
        assert float(SCALING.communication_s(workers)) == pytest.approx(seconds)
        assert float(SCALING.bytes_sent(workers)) == pytest.approx(2 * (workers - 1) * chunk)


def test_workers_without_work_and_without_time_are_refused():
    with pytest.raises(ValueError, match="without one"):
        SCALING.step_s(8, 4)
    with pytest.raises(ValueError, match=r"at least 1, got 0\.0"):
        SCALING.speedup(0, 64)
    with pytest.raises(ValueError, match="latency_s"):
        training.Scaling(0.001, 0.001, 100, 0.0, 1e9)
    with pytest.raises(ValueError, match="measure again"):
        training.fit_all_reduce([1e3, 1e6], [0.002, 0.001])
    with pytest.raises(ValueError, match="at least 1"):
        training.measure_workers(0, [32])


@given(latency_s=st.floats(1e-5, 1e-2), rate=st.floats(1e7, 1e11))
def test_all_reduce_line_is_found_again(latency_s, rate):
    sizes = np.array([4e3, 1e5, 4e6, 1e9])
    found = training.fit_all_reduce(sizes, 2 * latency_s + sizes / rate)
    assert found == pytest.approx((latency_s, rate), rel=1e-4)


@pytest.mark.more
def test_two_workers_train_one_model_and_send_what_was_counted():
    steps, all_reduce, agree = training.measure_workers(2, [16])
    assert agree
    sent = steps["sent_bytes"].iloc[0]
    assert sent == pytest.approx(2 * training.gradient_bytes(), rel=0.05)
    assert (all_reduce["all_reduce_ms"] > 0).all()


def test_checkpoint_has_the_counted_bytes(tmp_path):
    size, seconds = training.save_checkpoint(built(), tmp_path / "checkpoint.keras")
    assert size == pytest.approx(training.checkpoint_bytes(), rel=0.02)
    assert seconds > 0


def built():
    model = training.build_cnn()
    model.optimizer.build(model.trainable_variables)
    return model


@given(checkpoint_s=st.floats(0.01, 300), mtbf_s=st.floats(3600, 1e6), restart_s=st.floats(0, 600))
def test_daly_is_near_the_optimum_and_young_not_better(checkpoint_s, mtbf_s, restart_s):
    def lost(interval_s):
        run_s = training.expected_run_s(1e5, interval_s, checkpoint_s, mtbf_s, restart_s=restart_s)
        return run_s / 1e5

    young, daly = (
        rule(checkpoint_s, mtbf_s) for rule in (training.young_interval_s, training.daly_interval_s)
    )
    best = minimize_scalar(
        lost, bounds=(daly / 3, 3 * daly), method="bounded", options={"xatol": 0.01}
    )
    assert lost(daly) <= best.fun * (1 + 1e-4)
    assert lost(daly) <= lost(young) * (1 + 1e-6)


def test_formula_agrees_with_drawn_failures():
    rng = np.random.default_rng(5)
    terms = (36_000.0, 900.0, 60.0, 5000.0)
    runs = [training.simulate_run_s(*terms, rng, restart_s=100.0) for _ in range(2000)]
    expected = training.expected_run_s(*terms, restart_s=100.0)
    half_width = 3.3 * np.std(runs) / np.sqrt(len(runs))
    assert abs(np.mean(runs) - expected) < half_width
    assert half_width < 0.02 * expected


def test_checkpoints_rarer_than_failures():
    assert training.daly_interval_s(300.0, 100.0) == 100.0
    with pytest.raises(ValueError, match="checkpoint_s"):
        training.young_interval_s(0.0, 100.0)
    with pytest.raises(ValueError, match="mtbf_s"):
        training.expected_run_s(100.0, 10.0, 1.0, float("nan"))
    with pytest.raises(ValueError, match="restart_s"):
        training.expected_run_s(100.0, 10.0, 1.0, 50.0, restart_s=-1.0)
