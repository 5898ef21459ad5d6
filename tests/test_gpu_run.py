"""The order, the end and the files of the device benchmark, with figures played by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from capkit import gpubench
from capkit.gpubench import backends, ceilings, choice, command, measure, timing


@pytest.fixture
def played_run(monkeypatch):
    """The command without a device; a test may put an exception in the place of a figure."""
    fails = {}

    def played(name, row):
        def give(*given, **options):
            if name in fails:
                raise fails[name]
            return dict(row)

        return give

    times = {"median_ms": 1.0, "row_median_ms": 1.0, "examples_per_s": 1.0, "usage": {}}
    limit = {"size": 1, "rate_per_s": 1e9, "usage": {}}
    right = {"relative_error": np.nan, "loss_relative_error": 0.0, "tolerance": 1.0, "ok": True}
    monkeypatch.setattr(choice, "choose_backend", lambda say: ("tensorflow", None))
    monkeypatch.setattr(backends, "start", lambda name: SimpleNamespace(execution="played"))
    place = {"network": "course", "precision": "float32"}
    monkeypatch.setattr(command, "check", played("check", {**place, **right}))
    copy = {"name": "copy", "dtype": "float32", **limit}
    monkeypatch.setattr(ceilings, "measure_copy", played("copy", copy))
    monkeypatch.setattr(
        ceilings,
        "measure_product",
        lambda backend, name, dtype, *given, **options: {"name": name, "dtype": dtype, **limit},
    )

    def measure_row(backend, model, kind, size, rng, block_s):
        if (kind, size) in fails:
            raise fails[kind, size]
        return {"kind": kind, "batch_size": size, **times}

    monkeypatch.setattr(measure, "measure_row", measure_row)
    return fails


def test_budget_that_runs_out_costs_both_networks(played_run, tmp_path):
    assert gpubench.main(["--quick", "--out", str(tmp_path / "x.json")]) == 0
    report = json.loads((tmp_path / "x.json").read_text())
    order = dict.fromkeys((row["precision"], row["network"]) for row in report["results"])
    assert list(order) == [
        (precision, network)
        for precision in ("float32", "mixed_bfloat16")
        for network in ("large", "course")
    ]
    assert report["correctness"][0]["relative_error"] is None


def test_failed_checks_and_ceilings_do_not_end_the_run(played_run, tmp_path, capsys):
    played_run["check"] = RuntimeError("no cuDNN")
    played_run["copy"] = RuntimeError("Out of memory")
    assert gpubench.main(["--quick", "--out", str(tmp_path / "x.json")]) == 1
    said = capsys.readouterr().out
    assert "check        64  left out: failed: RuntimeError: no cuDNN" in said
    assert "0 checks wrong, 5 measurements failed" in said
    report = json.loads((tmp_path / "x.json").read_text())
    assert report["correctness"] == []
    assert [row["name"] for row in report["ceilings"]] == ["product", "product", "small product"]
    assert report["left_out"][-1]["reason"] == "out of memory: Out of memory"
    assert len(report["results"]) == 12
    assert {row["floor_percent"] for row in report["results"]} == {None}


def test_stopped_run_leaves_what_it_measured_and_an_older_report(played_run, tmp_path):
    (tmp_path / "x.json").write_text("an older report")
    played_run["training", 1] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        gpubench.main(["--quick", "--out", str(tmp_path / "x.json")])
    assert (tmp_path / "x.json").read_text() == "an older report"
    (tmp_path / "x.json.part").rename(tmp_path / "part.json")
    part = gpubench.read(tmp_path / "part.json")
    assert len(part["correctness"]) == len(part["ceilings"]) == 4
    assert [row["kind"] for row in part["results"]] == ["inference"]


def test_full_run_fits_its_budget():
    """With 2.5 s to compile each program; the last row and the imports fit the eight minutes too."""
    effort = command.ON_GPU
    block_s, compile_s = effort.block_s, 2.5
    timed_s = block_s * (1 + 2 + 2 / timing.REPEATS + 1 / 4) + timing.WARM_UP_S
    rows_s = 2 * 2 * sum(map(len, effort.sizes.values())) * (timed_s + compile_s + 0.3)
    ceilings_s = 4 * (2 * block_s * (1 + 1 / timing.REPEATS) + timing.WARM_UP_S + compile_s)
    checks_s = 4 * 2 * compile_s
    assert checks_s + ceilings_s + rows_s < 0.9 * effort.budget_s
    assert effort.budget_s <= 400
    for sizes in effort.sizes.values():
        assert (sizes[0], sizes[-1]) == (1, 4096)


@pytest.mark.parametrize(
    ("ok", "reason", "status", "said"),
    [
        (True, "a call would take some 9.0 s, more than 2", 0, "0 rows in 1 s"),
        (False, "too long", 1, "1 checks wrong, 0 measurements failed"),
        (True, "failed: RuntimeError: no kernel", 1, "0 checks wrong, 1 measurements failed"),
    ],
)
def test_status_says_whether_all_was_right(monkeypatch, tmp_path, capsys, ok, reason, status, said):
    report = {
        "correctness": [{"ok": ok}],
        "left_out": [{"kind": "training", "reason": reason}],
        "results": [],
        "seconds": 1.0,
    }
    monkeypatch.setattr(command, "benchmark", lambda quick, say, save: report)
    assert gpubench.main(["--out", str(tmp_path / "x.json")]) == status
    assert said in capsys.readouterr().out
    assert json.loads((tmp_path / "x.json").read_text()) == report
