"""The ledger: locked before measured, unchanged after, and right about a device whose theory is known."""

import json

import grpc
import numpy as np
import pytest

from capkit import course, serving
from capkit.__main__ import main
from capkit.ledger import (
    Subject,
    calibrate,
    device_subject,
    entries,
    lock_path,
    lock_predictions,
    measure,
    measure_load,
    play_recorded,
    read_ledger,
    read_lock,
    read_parts,
    write_lock,
)
from capkit.ledger.lock import write_json
from capkit.ledger.predictions import calibration_of, draw, figures_of, replay
from capkit.queueing import Calibration, MDc, MMc

DEVICE = "slots=4,fixed_s=0.001,per_example_s=0.003"
MEAN_S = 0.01  # of 4, 10 and 16 ms


@pytest.fixture(scope="module")
def subject():
    model = course.reference("04_training_benchmark").path("mnist_cnn")
    with serving.serve(model, device=DEVICE) as server:
        yield device_subject(server, DEVICE)


@pytest.fixture(scope="module")
def measured(subject, tmp_path_factory):
    """A folder with a ledger of the emulated device: two loads, each twice."""
    folder = tmp_path_factory.mktemp("ledger")
    known = calibrate(subject, 1.0, np.random.default_rng(1))
    lock_predictions(lock_path(folder, subject.name), subject, known, (0.5, 0.8), 1.0, 1, runs=30)
    assert measure(subject, folder) == 2
    return folder


@pytest.fixture
def nobody():
    """A server that is not running."""
    server = serving.Server("127.0.0.1:1", "http://127.0.0.1:1", backend="none", model_name="x")
    return Subject("nobody", server, servers=4, sizes=(1, 3, 5))


@pytest.fixture
def known():
    times = np.tile([[0.004], [0.01], [0.016]], (1, 20))
    return Calibration(4, 64, times, np.full(5, 0.001))


# Lock --------------------------------------------------------------------------------------------


def test_a_lock_reads_back_and_is_written_once(tmp_path):
    lock = write_lock(tmp_path / "a.lock.json", {"b": [1.5, None], "a": "x"})
    assert read_lock(tmp_path / "a.lock.json") == lock
    assert len(lock["sha256"]) == 64 and lock["locked"].endswith("Z")
    with pytest.raises(ValueError, match="written once"):
        write_lock(tmp_path / "a.lock.json", {})


@pytest.mark.parametrize(
    "change", [{"b": [1.5, 0.0]}, {"locked": "2020"}, {"c": 1}, {"sha256": ""}]
)
def test_a_changed_lock_is_detected(tmp_path, change):
    path = tmp_path / "a.lock.json"
    write_json(path, write_lock(path, {"b": [1.5, None]}) | change)
    with pytest.raises(ValueError, match="changed after it was locked"):
        read_lock(path)


# Predictions -------------------------------------------------------------------------------------


def test_the_same_predictions_from_the_same_seed_before_anything_is_measured(
    nobody, known, tmp_path
):
    terms = (nobody, known, (0.3, 0.85), 5.0, 7)
    first, second = (
        lock_predictions(tmp_path / f"{i}.lock.json", *terms, runs=20) for i in range(2)
    )
    assert first["loads"] == second["loads"]
    assert first["loads"][1]["rate_rps"] == pytest.approx(0.85 * 4 / MEAN_S)
    models = ["0 document", "1 M/M/1", "2 M/M/c", "3 M/M/c/K", "4 M/G/c", "5 G/G/c", "8 replay"]
    assert sorted(first["loads"][0]["predictions"]) == models
    locked = figures_of(first["loads"][1], "figures")
    exact = 1e3 * (MMc(340.0, 100.0, 4).mean_response + 0.001)
    assert locked["2 M/M/c"][0] == pytest.approx(exact)
    assert np.isnan(locked["0 document"][1:]).all()
    again = replay(calibration_of(first), first["loads"][1], 5.0)
    assert again["figures"] == pytest.approx(locked["8 replay"])


def test_replay_of_constant_service_is_the_exact_law_of_m_d_c():
    known = Calibration(4, 64, np.full((1, 1), 0.01), np.zeros(1))
    found = replay(known, {"rate_rps": 320.0, "seed": (1, 0)}, 2000.0)
    exact = MDc(320.0, 100.0, 4)
    assert found["wait_ms"] == pytest.approx(1e3 * exact.mean_wait, rel=0.02)
    assert found["figures"][3] == pytest.approx(1e3 * exact.response_quantile(0.99), rel=0.02)


@pytest.mark.parametrize(
    ("loads", "seconds", "message"),
    [
        ((), 1.0, "shares"),
        ((0.5, 1.0), 1.0, "shares"),
        ((0.5, 0.5), 1.0, "different"),
        ((0.5,), 0.0, "seconds"),
    ],
)
def test_bad_terms_say_what_is_wrong(nobody, known, tmp_path, loads, seconds, message):
    with pytest.raises(ValueError, match=message):
        lock_predictions(tmp_path / "a.lock.json", nobody, known, loads, seconds, 1)


# Measurement and report --------------------------------------------------------------------------


def test_what_was_sent_is_what_was_locked(measured, subject):
    lock = read_lock(lock_path(measured, "emulated device"))
    for entry, load in zip(entries(measured), lock["loads"], strict=True):
        schedule, places, _ = draw(load["rate_rps"], lock["seconds"], 3, load["seed"])
        assert entry["requests"] == np.count_nonzero(schedule.times_s >= 0.3)
        assert entry["lock"] == lock["sha256"] and entry["measured"] >= lock["locked"]
        asked_ms = np.array([4.0, 10.0, 16.0])[places[schedule.times_s >= 0.3]].mean()
        assert entry["parts"]["service_ms_measured"] == pytest.approx(asked_ms, rel=0.25)


def test_ledger_has_every_model_signed_errors_and_verdicts(measured):
    table = read_ledger(measured)
    assert table["model"].nunique() == 8 and table["load"].unique().tolist() == [0.5, 0.8]
    assert set(table["quantity"]) == {"mean", "p50", "p95", "p99", "throughput"}
    said = table.dropna(subset=["predicted"])
    expected = 100 * (said["predicted"] / said["measured"] - 1)
    assert said["error_percent"].to_numpy() == pytest.approx(expected.to_numpy())
    within = table["measured"].between(table["expected_low"], table["expected_high"])
    assert (table["inside"] == within).all()
    noise = table.groupby(["load", "quantity"])["noise_percent"].nunique()
    assert (noise == 1).all()
    counted = table[table["quantity"] == "throughput"].set_index("model")["error_percent"]
    assert counted[["8 replay", "8 in place"]].abs().max() < 5


def test_measured_parts_add_up_to_the_mean_latency(measured):
    parts, table = read_parts(measured), read_ledger(measured)
    names = ["wait_ms_measured", "service_ms_measured", "overhead_ms_measured"]
    means = table[(table["quantity"] == "mean") & (table["model"] == "8 replay")]
    assert parts[names].sum(axis=1).to_numpy() == pytest.approx(means["measured"].to_numpy())


def test_entries_of_another_lock_or_from_before_it_are_refused(measured, tmp_path):
    lock = read_lock(lock_path(measured, "emulated device"))
    entry = next(entries(measured))
    for changed in ({"lock": "0" * 64}, {"measured": "2000-01-01T00:00:00.000Z"}):
        write_json(tmp_path / "emulated_device.lock.json", lock)
        write_json(tmp_path / "emulated_device_0.5.json", entry | changed)
        with pytest.raises(ValueError, match="no measurement of the predictions"):
            read_ledger(tmp_path)


def test_a_folder_without_a_ledger_says_so(tmp_path, measured):
    with pytest.raises(ValueError, match=r"no \*.lock.json"):
        read_ledger(tmp_path)
    (tmp_path / "a.lock.json").write_bytes(lock_path(measured, "emulated device").read_bytes())
    with pytest.raises(ValueError, match="nothing is measured"):
        read_ledger(tmp_path)


def test_an_interrupted_load_is_not_kept_and_the_others_are(
    measured, subject, tmp_path, monkeypatch
):
    lock = lock_path(measured, "emulated device")
    lock_path(tmp_path, "emulated device").write_bytes(lock.read_bytes())
    first = next(entries(measured))
    found = iter([first, None])
    monkeypatch.setattr("capkit.ledger.measurement.measure_load", lambda *_: next(found))
    assert measure(subject, tmp_path) == 1
    assert read_ledger(tmp_path)["load"].unique().tolist() == [0.5]


def test_a_server_that_is_gone_says_so(nobody, known, tmp_path):
    lock = lock_predictions(tmp_path / "a.lock.json", nobody, known, (0.5,), 1.0, 1, runs=5)
    with pytest.raises(grpc.RpcError):
        measure_load(nobody, lock, 0)


# The command -------------------------------------------------------------------------------------


def test_command_measures_a_server_of_yours(subject, tmp_path, capsys):
    out = tmp_path / "out"
    given = ["--target", subject.server.grpc_target, "--model-name", subject.server.model_name]
    main(["ledger", "--out", str(out), *given, "--loads", "0.4", "--seconds", "0.5"])
    said = capsys.readouterr().out
    lock = json.loads((out / "real_model.lock.json").read_text(encoding="utf-8"))
    assert lock["sha256"] in said and "8 replay" in said
    assert (out / "real_model_0.4.json").is_file()
    assert (out / "ledger.csv").is_file() and (out / "parts.csv").is_file()
    with pytest.raises(SystemExit):
        main(["ledger", "--out", str(out), *given])
    assert "holds a ledger already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--loads", "0.5", "1.5"], "shares between 0 and 1"),
        (["--seconds", "-1"], "seconds must be positive"),
        (["--target", "here"], "host:port"),
        (["--device", "slots=0"], "1 or more slots"),
        (["--target", "127.0.0.1:1", "--loads", "0.5"], "nothing listens at the target"),
        (["--model-dir", "nowhere"], "no version folder"),
    ],
)
def test_wrong_input_is_a_clear_error(tmp_path, capsys, given, message):
    with pytest.raises(SystemExit) as stopped:
        main(["ledger", "--out", str(tmp_path / "out"), *given])
    assert stopped.value.code != 0
    assert message in capsys.readouterr().err


def test_recorded_device_of_constant_times_follows_m_d_1():
    played = play_recorded([2.0, 2.0, 2.0], 0.5, 400.0, np.random.default_rng(1))
    assert played["service_ms"] == pytest.approx(2.0)
    assert played["service_cv2"] == pytest.approx(0.0, abs=1e-12)
    assert played["rate_rps"] == pytest.approx(250.0)
    assert played["mean_ms by formula"] == pytest.approx(3.0)
    assert played["mean_ms by replay"] == pytest.approx(3.0, rel=0.02)
    assert played["p99_ms by replay"] == pytest.approx(played["p99_ms by formula"], rel=0.05)
    assert "mean_ms emulated" not in played


def test_waits_scale_with_the_recorded_times():
    slow, fast = (
        play_recorded(scale * np.array([1.0, 2.0, 6.0]), 0.7, 20.0, np.random.default_rng(2))
        for scale in (1.0, 0.01)
    )
    for name in (
        "mean_ms by formula",
        "p99_ms by formula",
        "mean_ms by replay",
        "p99_ms by replay",
    ):
        assert fast[name] == pytest.approx(0.01 * slow[name], rel=1e-6)
    assert fast["service_cv2"] == pytest.approx(slow["service_cv2"])


def test_recorded_device_is_emulated_in_its_own_time():
    model = course.reference("04_training_benchmark").path("mnist_cnn")
    played = play_recorded([0.1, 0.1], 0.5, 0.7, np.random.default_rng(3), model_dir=model)
    assert played["mean_ms emulated"] >= 0.1
    assert played["p99_ms emulated"] >= played["mean_ms emulated"]


@pytest.mark.parametrize(
    ("times_ms", "load", "seconds", "message"),
    [
        ([], 0.5, 2.0, "one or more positive times"),
        ([0.0, 1.0], 0.5, 2.0, "one or more positive times"),
        ([1.0], 1.0, 2.0, "load must lie between 0 and 1, got 1.0"),
        ([1.0], 0.5, 0.0, "hold fewer than 2 requests"),
    ],
)
def test_impossible_recorded_devices_are_refused(times_ms, load, seconds, message):
    with pytest.raises(ValueError, match=message):
        play_recorded(times_ms, load, seconds, np.random.default_rng(1))
