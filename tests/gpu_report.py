"""What a report of the device benchmark must hold, and the command that makes one."""

import os
import subprocess
import sys

import pytest

from capkit import gpubench
from capkit.training import count_cnn

OPTIONAL = (int, float, type(None))
REPORT = {
    "schema": str,
    "measured_on": str,
    "backend": str,
    "execution": str,
    "versions": dict,
    "device": str,
    "gpu_seen": bool,
    "machine": dict,
    "quick": bool,
    "seconds": float,
    "networks": dict,
    "correctness": list,
    "ceilings": list,
    "results": list,
    "left_out": list,
}
TIMES = {f"{name}_ms": float for name in ("median", "low", "high")}
CEILING = {
    **{"name": str, "dtype": str, "size": int, **TIMES, "rate_per_s": float},
    **{"usage": dict, "relative_error": OPTIONAL},
}
CORRECTNESS = {
    **{"network": str, "precision": str, "against": str, "images": int, "relative_error": float},
    **{"loss_relative_error": float, "tolerance": float, "ok": bool},
}
RESULT = {
    **{"network": str, "precision": str, "kind": str, "batch_size": int, "calls": int, **TIMES},
    **{"p99_ms": float, **{f"row_{name}": kind for name, kind in TIMES.items()}},
    **{"examples_per_s": float, "copy_in_ms": float, "copy_out_ms": OPTIONAL},
    **{"device_memory_mib": OPTIONAL, "energy_j_per_1000": OPTIONAL, "usage": dict},
    **{"floor_ms": float, "bound": str, "floor_percent": float},
}
LEFT_OUT = {"network": str, "precision": str, "kind": str, "batch_size": int, "reason": str}
HALF = {True: "mixed_float16", False: "mixed_bfloat16"}


def assert_fields(found, wanted):
    assert set(found) == set(wanted)
    for name, kind in wanted.items():
        assert isinstance(found[name], kind), name


def check_report(report):
    assert_fields(report, REPORT)
    assert report["schema"] == gpubench.SCHEMA
    assert {"keras", "numpy", report["backend"]} <= set(report["versions"])
    assert report["networks"]["course"]["flops_per_image"] == count_cnn()["flops_per_image"].sum()
    for row in report["correctness"]:
        assert_fields(row, CORRECTNESS)
        assert row["ok"]
        assert max(row["relative_error"], row["loss_relative_error"]) <= row["tolerance"]
    for row in report["ceilings"]:
        assert_fields(row, CEILING)
        assert row["rate_per_s"] > 0
    half = HALF[report["gpu_seen"]].removeprefix("mixed_")
    assert [(row["name"], row["dtype"]) for row in report["ceilings"]] == [
        *(("copy", "float32"), ("product", "float32"), ("product", half)),
        ("small product", "float32"),
    ]
    for row in report["left_out"]:
        assert_fields(row, LEFT_OUT)
    limits = {
        row["dtype"]: row["rate_per_s"] for row in report["ceilings"] if row["name"] == "product"
    }
    for row in report["results"]:
        check_result(row, limits, report["ceilings"][0]["rate_per_s"], report["networks"])


def check_result(row, limits, copy, counts):
    inference = row["kind"] == "inference"
    assert_fields(row, {**RESULT, **({"quantiles_ms": list} if inference else {})})
    assert 0 < row["low_ms"] <= row["median_ms"] <= row["high_ms"] <= row["p99_ms"]
    assert 0 < row["row_low_ms"] <= row["row_median_ms"] <= row["row_high_ms"]
    assert row["calls"] >= 5
    assert (row["copy_out_ms"] is not None) == inference
    size, work = row["batch_size"], counts[row["network"]]
    rate = 1e3 * size / row["row_median_ms"]
    assert row["examples_per_s"] == pytest.approx(rate, rel=1e-3)
    assert row["floor_percent"] == pytest.approx(
        100 * row["floor_ms"] / row["row_median_ms"], rel=1e-3
    )
    if inference:
        quantiles = row["quantiles_ms"]
        assert len(quantiles) == 101
        assert quantiles == sorted(quantiles)
        assert quantiles[50] == row["median_ms"]
        compute = size * work["flops_per_image"] / limits[row["precision"].removeprefix("mixed_")]
        memory = (4 * work["parameters"] + size * (3136 + 40)) / copy
        assert row["floor_ms"] == pytest.approx(1e3 * max(compute, memory), rel=1e-3)
        assert row["bound"] == ("compute" if compute > memory else "memory")


def run_command(out, **environment):
    line = [sys.executable, "-m", "capkit", "gpu-bench", "--quick", "--out", str(out)]
    env = {**os.environ, **environment}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=env)
