"""The device benchmark: the whole command on the CPU with small sizes, and its choice of back end."""

import json
import subprocess
import sys

import pytest

from capkit import gpubench
from capkit.training import count_cnn

REPORT = {
    "schema": str,
    "backend": str,
    "versions": dict,
    "device": str,
    "gpu_seen": bool,
    "machine": dict,
    "quick": bool,
    "flops_per_image": int,
    "correctness": dict,
    "results": list,
}
RESULT = {
    "kind": str,
    "batch_size": int,
    "median_ms": float,
    "low_ms": float,
    "high_ms": float,
    "p99_ms": float,
    "calls": int,
    "examples_per_s": float,
    "mean_usage": dict,
}


def check_report(report):
    assert {name: type(value) for name, value in report.items()} == REPORT
    assert report["schema"] == gpubench.SCHEMA
    assert report["correctness"]["ok"] is True
    assert report["correctness"]["largest_difference"] <= report["correctness"]["tolerance"]
    assert report["flops_per_image"] == count_cnn()["flops_per_image"].sum()
    for result in report["results"]:
        assert {name: type(value) for name, value in result.items()} == RESULT
        assert 0 < result["low_ms"] <= result["median_ms"] <= result["high_ms"] <= result["p99_ms"]
        assert result["calls"] >= 5
        assert result["examples_per_s"] == pytest.approx(
            1e3 * result["batch_size"] / result["median_ms"], rel=1e-3
        )


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "cpu.json"
    command = [sys.executable, "-m", "capkit", "gpu-bench", "--quick", "--out", str(out)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run, out


def test_whole_command_runs_and_its_report_has_the_schema(quick_run):
    run, out = quick_run
    assert run.returncode == 0
    assert run.stderr == ""
    assert "right" in run.stdout.splitlines()[-1]
    report = json.loads(out.read_text())
    check_report(report)
    assert report["quick"] is True
    assert report["gpu_seen"] or "no GPU seen" in run.stdout
    found = {(result["kind"], result["batch_size"]) for result in report["results"]}
    assert found == {(k, b) for k in ("inference", "training") for b in (1, 8)}


def test_shipped_reports_have_the_schema_and_are_full_runs_on_a_gpu():
    for path in sorted((gpubench.data_dir() / "gpu").glob("*.json")):
        report = json.loads(path.read_text())
        check_report(report)
        assert report["gpu_seen"]
        assert not report["quick"]


def test_committed_reports_become_one_table(quick_run, tmp_path, monkeypatch):
    monkeypatch.setattr(gpubench, "data_dir", lambda: tmp_path)
    assert gpubench.committed().empty
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / "one.json").write_bytes(quick_run[1].read_bytes())
    table = gpubench.committed()
    assert len(table) == 4
    assert set(table["kind"]) == {"inference", "training"}


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
    monkeypatch.setattr(gpubench, "find_spec", lambda name: name in installed)
    monkeypatch.setattr(gpubench, "_gpu_of", gpus.get)
    assert gpubench.choose_backend() == expected


def test_back_end_named_by_the_environment_is_kept(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(gpubench, "find_spec", lambda name: name == "jax")
    monkeypatch.setattr(gpubench, "_gpu_of", lambda name: None)
    assert gpubench.choose_backend() == ("jax", None)
    monkeypatch.setattr(gpubench, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="none of jax is installed: python -m pip"):
        gpubench.choose_backend()


def test_wrong_outputs_are_said_and_fail(monkeypatch, tmp_path, capsys):
    report = {
        "gpu_seen": False,
        "device": "a CPU",
        "backend": "tensorflow",
        "results": [{"kind": "training", "mean_usage": {}}],
        "correctness": {"largest_difference": 0.5, "ok": False},
    }
    monkeypatch.setattr(gpubench, "benchmark", lambda quick: report)
    assert gpubench.main(["--out", str(tmp_path / "x.json")]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_missing_folder_is_refused_before_anything_runs(tmp_path, capsys):
    with pytest.raises(SystemExit):
        gpubench.main(["--out", str(tmp_path / "none" / "x.json")])
    assert "there is no folder" in capsys.readouterr().err
