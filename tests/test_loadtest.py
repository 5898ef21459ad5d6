"""The load generator keeps its schedule, counts from the intended time and keeps errors apart."""

import dataclasses
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pandas as pd
import pytest

from capkit import loadtest, telemetry
from capkit.loadtest import LoadTestResult, Schedule
from capkit.loadtest.generator import METHOD
from capkit.serving.client import Client
from capkit.simulation import ShortRunError, poisson_arrivals, simulate_fcfs

SERVICE_S = 0.01


class SleepingServer:
    """One slot that sleeps for `SERVICE_S` a request; refuses requests that say so."""

    def __init__(self):
        self.lock = threading.Lock()
        self.received = []
        self.server = grpc.server(ThreadPoolExecutor(200))
        service, _, method = METHOD[1:].partition("/")
        handlers = {method: grpc.unary_unary_rpc_method_handler(self.answer)}
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, handlers),)
        )
        self.target = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def answer(self, data, context):
        self.received.append(data)
        if data == b"refuse":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no")
        if data == b"for ever":
            time.sleep(0.5)
        arrived = time.perf_counter()
        with self.lock:
            started = time.perf_counter()
            time.sleep(SERVICE_S)
            ended = time.perf_counter()
        timing = f"{(started - arrived) * 1e6:.0f},{(ended - started) * 1e6:.0f},1"
        context.set_trailing_metadata((("capkit-timing", timing),))
        return b"answer"


@pytest.fixture(scope="module")
def server():
    running = SleepingServer()
    yield running
    running.server.stop(0)


def make_result(
    latency_ms, *, lateness_ms=0.0, codes=None, warmup_s=0.0, stopped="", schedule=None
):
    """A result with one request every 10 ms."""
    latency_s = np.asarray(latency_ms, dtype=float) / 1e3
    intended_s = np.arange(latency_s.size) * 0.01
    return LoadTestResult(
        intended_s=intended_s,
        sent_s=intended_s + lateness_ms / 1e3,
        done_s=intended_s + latency_s,
        code=np.zeros(latency_s.size, dtype=int) if codes is None else np.asarray(codes),
        wait_s=np.zeros_like(latency_s),
        service_s=latency_s,
        batch=np.ones_like(latency_s),
        began=0.0,
        warmup_s=warmup_s,
        duration_s=latency_s.size * 0.01,
        max_lateness_share=0.5,
        generator_cpu_s=0.0,
        stopped=stopped,
        schedule=schedule,
    )


# --- the result --------------------------------------------------------------------------------


def test_latency_counts_from_the_intended_time():
    result = make_result([5.0] * 100, lateness_ms=1.0)
    assert result.percentile(0.5) == pytest.approx(5.0)
    np.testing.assert_allclose(result.send_latency_ms, 4.0)
    np.testing.assert_allclose(result.lateness_ms, 1.0)
    assert result.throughput == pytest.approx(100.0)


def test_errors_are_counted_by_code_and_are_no_latency():
    codes = [0] * 80 + [8] * 15 + [14] * 5
    result = make_result([5.0] * 80 + [0.1] * 20, codes=codes)
    assert result.errors == {"RESOURCE_EXHAUSTED": 15, "UNAVAILABLE": 5}
    assert result.latency_ms.size == 80
    assert result.percentile(0.01) == pytest.approx(5.0)
    assert result.throughput == pytest.approx(80.0)


def test_warmup_is_left_out_of_every_figure():
    result = make_result([500.0] * 20 + [5.0] * 80, warmup_s=0.2)
    assert result.latency_ms.max() == pytest.approx(5.0)
    assert result.row()["requests"] == 80
    assert result.row()["offered_rps"] == pytest.approx(100.0)


def test_percentile_lies_in_its_interval_and_a_short_test_has_none():
    latency = np.random.default_rng(1).exponential(5.0, 2000)
    result = make_result(latency)
    for share in (0.5, 0.95, 0.99):
        low, high = result.interval(share)
        assert low <= result.percentile(share) <= high
    row = make_result(latency[:100]).row()
    assert np.isfinite(row["p50_low_ms"]) and np.isnan(row["p99_low_ms"])


@pytest.mark.parametrize(
    "options, doubt",
    [
        ({"lateness_ms": 3.0}, "the generator was late: p99 3.00 ms, more than 50%"),
        ({"stopped": "the server closed the connection"}, "the server closed"),
        (
            {"schedule": Schedule(np.arange(50.0), "poisson", 3.0, (2.0, 4.0), 1.0, 1e-9)},
            "do not follow the law",
        ),
        ({"codes": [14] * 50}, "no good answer"),
    ],
)
def test_gate_says_why_a_test_is_not_valid(options, doubt):
    result = make_result([5.0] * 50, **options)
    assert not result.valid
    assert doubt in result.doubt


def test_service_time_of_a_server_that_tells_none_is_the_gap_between_answers():
    result = make_result([5.0] * 50)
    np.testing.assert_allclose(result.service_sample(), 0.005)
    silent = dataclasses.replace(result, service_s=np.full(50, np.nan))
    np.testing.assert_allclose(silent.service_sample(), 0.01)
    assert silent.service_quantiles()["service_ms"].median() == pytest.approx(10.0)


def test_warm_up_is_found_in_the_latencies():
    rng = np.random.default_rng(1)
    latency = rng.normal(5.0, 0.5, 1000) + np.r_[np.linspace(50.0, 0.0, 100), np.zeros(900)]
    warm = make_result(latency).without_warmup()
    assert 0.6 <= warm.warmup_s <= 1.5
    assert warm.latency_ms.mean() == pytest.approx(5.0, abs=0.2)


def test_row_tells_drift_from_steady_state():
    rng = np.random.default_rng(1)
    assert make_result(rng.normal(5.0, 0.5, 1000)).row()["trend_pvalue"] > 0.01
    assert make_result(np.linspace(5.0, 50.0, 1000)).row()["trend_pvalue"] < 1e-6
    assert np.isnan(make_result([5.0] * 30).row()["trend_pvalue"])


def test_row_carries_the_test_of_the_arrivals():
    drawn = loadtest.draw_schedule("gamma", 100.0, 10.0, np.random.default_rng(1), cv2=4.0)
    row = make_result([5.0] * 50, schedule=drawn).row()
    assert (row["arrival_cv2"], row["law_pvalue"]) == (drawn.cv2, drawn.pvalue)


def test_no_answer_is_no_latency():
    with pytest.raises(ValueError, match=r"no latency.*UNAVAILABLE"):
        make_result([5.0] * 50, codes=[14] * 50).percentile(0.5)


# --- against a server --------------------------------------------------------------------------


def test_open_loop_measures_what_the_same_queue_does_in_simulation(server):
    arrivals = poisson_arrivals(70.0, 2.5, np.random.default_rng(1))
    result = loadtest.run(server.target, arrivals, [b"a", b"b"])
    assert not result.stopped and not result.errors
    np.testing.assert_allclose(result.intended_s, arrivals, atol=1e-6)
    waits = simulate_fcfs(arrivals, result.service_s, 1)
    predicted_ms = 1e3 * (waits + result.service_s).mean()
    assert predicted_ms < result.latency_ms.mean() < 2 * predicted_ms + 20


def test_requests_are_taken_in_turn(server):
    server.received.clear()
    loadtest.run(server.target, np.arange(4) * 0.02, [b"a", b"b"])
    assert server.received == [b"a", b"b", b"a", b"b"]


def test_overload_grows_without_bound_in_the_open_loop_and_hides_in_the_closed(server):
    rate = 2 / SERVICE_S
    opened = loadtest.run(server.target, np.arange(1, rate) / rate, [b"a"])
    closed = loadtest.run_closed(server.target, 4, 1.0, [b"a"])
    first, last = np.array_split(opened.latency_ms, 10)[0], opened.latency_ms[-10:]
    assert last.mean() - first.mean() > 500.0  # twice what the server can do, for a second
    assert closed.percentile(0.5) < last.mean() / 2
    assert closed.throughput == pytest.approx(4 / closed.send_latency_ms.mean() * 1e3, rel=0.2)


def test_refusals_and_deadlines_are_told_apart(server):
    arrivals = np.arange(9) * 0.02
    result = loadtest.run(server.target, arrivals, [b"a", b"refuse", b"for ever"], timeout_s=0.3)
    assert result.errors == {"DEADLINE_EXCEEDED": 3, "RESOURCE_EXHAUSTED": 3}
    assert result.latency_ms.size == 3


def test_sweep_is_one_row_a_level_saved_as_it_goes(server, tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "sweep.csv"
    table = loadtest.sweep(
        server.target, [20.0, 60.0], [b"a"], rng, duration_s=1.0, warmup_s=0.2, path=path
    )
    assert len(table) == 2
    assert table["utilization"].is_monotonic_increasing
    saved = pd.read_csv(path).drop(columns="doubt")
    pd.testing.assert_frame_equal(saved, table.drop(columns="doubt"), check_dtype=False)
    assert set(json.loads(path.with_suffix(".json").read_text())) == set(telemetry.machine())
    assert (table["law_pvalue"] > 1e-4).all()
    assert (table["sent_mib_s"] > 0).all() and table["cpu_percent"].isna().all()


def test_level_at_which_the_server_was_slowed_is_not_valid(server):
    rng = np.random.default_rng(1)
    options = {"duration_s": 0.3, "warmup_s": 0.0, "max_service_s": SERVICE_S / 2}
    row = loadtest.sweep(server.target, [50.0], [b"a"], rng, **options).iloc[0]
    assert not row["valid"] and "slowed" in row["doubt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no server answers")])
def test_interrupted_sweep_keeps_what_was_measured(server, monkeypatch, capsys, error):
    module = sys.modules["capkit.loadtest.sweep"]
    run, levels = module.run, []

    def interrupted(target, arrivals, *arguments, **options):
        levels.append(arrivals)
        if arrivals is not levels[0]:  # the second level, however often the first was measured
            raise error
        return run(target, arrivals, *arguments, **options)

    monkeypatch.setattr(module, "run", interrupted)
    rng = np.random.default_rng(1)
    table = loadtest.sweep(server.target, [50.0, 50.0], [b"a"], rng, duration_s=0.5, warmup_s=0.0)
    assert len(table) == 1
    assert "stopped after 1 of 2 levels" in capsys.readouterr().out


def test_stopped_generator_writes_what_it_has(server, tmp_path):
    plan = {"target": server.target, "clients": 0, "timeout_s": 5.0, "cores": []}
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    np.savez(tmp_path / "requests.npz", lengths=[1], joined=np.frombuffer(b"a", np.uint8))
    np.save(tmp_path / "arrivals.npy", np.arange(6000) * 0.01)
    command = [sys.executable, "-m", "capkit.loadtest.generator", str(tmp_path)]
    server.received.clear()
    with subprocess.Popen(command) as process:
        while not server.received:
            time.sleep(0.01)
        process.terminate()
    with np.load(tmp_path / "result.npz") as file:
        assert 1 <= len(file["rows"]) < 6000
        assert "interrupted" in str(file["stopped"])


def test_server_that_is_not_there_is_told(server):
    with pytest.raises(RuntimeError, match="no server answers at 127"):
        loadtest.run("127.0.0.1:9", [0.0], [b"a"], timeout_s=0.3)


@pytest.mark.parametrize(
    "arrivals, requests, options, message",
    [
        ([], [b"a"], {}, "one or more times"),
        ([1.0, 0.5], [b"a"], {}, "sorted"),
        ([-1.0, 0.5], [b"a"], {}, "from 0"),
        ([0.5], [b"a"], {"warmup_s": 1.0}, "fall into the warm-up"),
        ([0.5], [], {}, "serialised requests"),
    ],
)
def test_impossible_tests_are_refused(arrivals, requests, options, message):
    with pytest.raises(ValueError, match=message):
        loadtest.run("127.0.0.1:9", arrivals, requests, **options)


def test_generator_imports_little():
    code = (
        "import sys, capkit.loadtest.generator; "
        "assert not {'tensorflow', 'pandas', 'scipy', 'grpc'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_command_line_needs_one_kind_of_load(capsys):
    with pytest.raises(SystemExit):
        loadtest.main(["--rate", "5", "--clients", "2"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "load",
    [
        ["--rate", "40", "80", "--law", "gamma"],
        ["--clients", "3"],
        ["--trace", "chat", "--speed", "20"],
    ],
)
def test_command_line_reports_and_saves_each_kind_of_load(
    server, tmp_path, monkeypatch, capsys, load
):
    monkeypatch.setattr(Client, "sample_request", lambda self, examples: b"a")
    out = tmp_path / "levels.csv"
    times = ["--seconds", "0.6", "--warmup", "0.2", "--out", str(out)]
    assert loadtest.main(["--target", server.target, *load, *times]) == 0
    assert "throughput_rps" in capsys.readouterr().out
    assert len(pd.read_csv(out)) == (2 if "--rate" in load else 1)


def test_command_line_says_that_no_server_answers(capsys):
    with pytest.raises(SystemExit) as caught:
        loadtest.main(["--target", "127.0.0.1:9", "--clients", "1"])
    assert caught.value.code == 1
    assert "UNAVAILABLE" in capsys.readouterr().err


def test_split_cores_keeps_server_and_generator_apart():
    server_cores, generator_cores = loadtest.split_cores()
    if server_cores is not None:
        assert len(server_cores) == 1
        assert not set(server_cores) & set(generator_cores)


def test_what_a_notebook_adds_to_a_taken_table_is_not_kept():
    bench = loadtest.Bench(True, lambda name: pd.DataFrame())
    taken = bench.take(["loops"], lambda: {"loops": pd.DataFrame({"latency_ms": [2.0]})})["loops"]
    taken["predicted_ms"] = 1.0
    assert list(bench.tables["loops"]) == ["latency_ms"]


def test_long_measurement_is_taken_only_by_a_thorough_bench(capsys):
    own, shipped = pd.DataFrame({"ms": [2.0]}), pd.DataFrame({"ms": [1.0]})
    for thorough, expected in ((True, own), (False, shipped)):
        bench = loadtest.Bench(True, lambda name: shipped, thorough=thorough)
        assert bench.take_long(["settings"], lambda: {"settings": own})["settings"].equals(expected)
        assert bench.replaced == [], "it does not make the record that of the reference"
    assert capsys.readouterr().out == "settings: taken from the reference run\n"


def test_measurement_that_is_too_short_is_rejected(capsys):
    def short():
        raise ShortRunError("measure longer")

    bench = loadtest.Bench(True, lambda name: pd.DataFrame({"x": [1.0]}))
    assert bench.take(["a"], short)["a"]["x"].tolist() == [1.0]
    assert bench.replaced == ["a"] and "rejected twice" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("attempts", "said"),
    [
        (0, ""),
        (1, "rejected by its validity gate, "),
        (2, "rejected twice by its validity gate, "),
        (3, "rejected 3 times by its validity gate, "),
    ],
)
def test_rejection_says_how_often_it_was_tried(attempts, said, capsys):
    bad = {"sweep": pd.DataFrame({"valid": [True, False]})}
    tried = []
    bench = loadtest.Bench(True, lambda name: pd.DataFrame())
    bench.take(["sweep"], lambda: tried.append(1) or bad, attempts=attempts)
    assert len(tried) == attempts
    assert capsys.readouterr().out == f"sweep: {said}taken from the reference run\n"
