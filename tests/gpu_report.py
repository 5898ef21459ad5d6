"""What a report of the device benchmark must hold, and the command that makes one."""

import json
import os
import subprocess
import sys

import pytest

from capkit import gpubench
from capkit.gpubench import command
from capkit.gpubench.measure import KINDS
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
PLACE = ("network", "precision", "kind", "batch_size")
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


def check_shipped(report):
    """A report that the course may quote: whole, on a whole GPU, with all that NVML reads, nothing failed."""
    json.dumps(report, allow_nan=False)
    check_report(report)
    assert report["gpu_seen"]
    assert not report["quick"]
    assert report["seconds"] < 480
    assert "MIG" not in report["device"].split()
    assert "driver" in (report["machine"]["gpu"] or "")
    precisions = ("float32", HALF[True])
    assert {(row["network"], row["precision"]) for row in report["correctness"]} == {
        (network, precision) for network in command.SIZES for precision in precisions
    }
    found = [place(row) for row in report["results"] + report["left_out"]]
    assert sorted(found) == sorted(
        (network, precision, kind, size)
        for network, sizes in command.SIZES.items()
        for precision in precisions
        for kind in KINDS
        for size in sizes
    )
    for row in report["left_out"]:
        assert row["reason"].startswith(("out of memory", "a call would take"))
    for row in report["results"] + report["ceilings"]:
        assert {"gpu_percent", "gpu_clock_mhz", "gpu_power_w"} <= set(row["usage"])
    for row in report["results"]:
        assert (row["energy_j_per_1000"] or 0) > 0
        assert (row["device_memory_mib"] or 0) > 0


def place(row):
    return tuple(row[key] for key in PLACE)


def run_command(out, **environment):
    line = [sys.executable, "-m", "capkit", "gpu-bench", "--quick", "--out", str(out)]
    env = {**os.environ, **environment}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=env)
