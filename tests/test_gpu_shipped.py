"""What a report must hold before the course may ship it."""

import json

import pytest
from gpu_report import PLACE, check_shipped

from capkit import gpubench
from capkit.datasets import data_dir
from capkit.gpubench import command, measure, networks


def test_shipped_reports_have_the_schema_and_are_full_runs_on_a_gpu():
    for path in sorted((data_dir() / "gpu").glob("*.json")):
        check_shipped(gpubench.read(path))


@pytest.fixture(scope="module")
def shippable(quick_run):
    """A report of a GPU that nobody has, from the one of this CPU: only for these tests."""
    report = json.loads(quick_run[1].read_text())
    seen = {"gpu_percent": 97.0, "gpu_clock_mhz": 1980.0, "gpu_power_w": 300.0}
    counts, limit = report["networks"], 1e9
    for row in report["ceilings"]:
        row |= {"rate_per_s": limit, "usage": seen}
        row["dtype"] = row["dtype"].replace("bfloat16", "float16")
    for row in report["correctness"]:
        row["precision"] = row["precision"].replace("bfloat16", "float16")
    rows = {
        (row["network"], row["precision"].replace("bfloat16", "float16"), row["kind"]): row
        for row in report["results"]
    }
    report["results"] = []
    for (network, precision, _), row in rows.items():
        for size in command.SIZES[network]:
            new = row | {"precision": precision, "batch_size": size, "usage": seen}
            new |= {"device_memory_mib": 50.0, "energy_j_per_1000": 3.0}
            new["examples_per_s"] = 1e3 * size / row["row_median_ms"]
            work = networks.Work(
                counts[network]["parameters"], counts[network]["flops_per_image"], 0
            )
            new = measure.add_floor(
                new, work, {"copy": limit, "float32": limit, "float16": limit}, precision
            )
            report["results"].append(new)
    whole = {"gpu_seen": True, "quick": False, "device": "A H100 80GB"}
    return report | whole | {"machine": report["machine"] | {"gpu": "A H100 80GB (driver 1)"}}


def test_whole_report_may_ship(shippable):
    check_shipped(shippable)
    report = json.loads(json.dumps(shippable))
    leave_out(report, "out of memory: RESOURCE_EXHAUSTED")
    check_shipped(report)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report.update(results=[]),
        lambda report: report.update(correctness=[]),
        lambda report: report["correctness"].pop(),
        lambda report: report["results"].pop(3),
        lambda report: report["results"].append(report["results"][0]),
        lambda report: report["machine"].update(gpu=None),
        lambda report: report.update(device="A H100 80GB MIG 1g.10gb"),
        lambda report: report.update(quick=True),
        lambda report: report.update(seconds=500.0),
        lambda report: report["results"][0].update(energy_j_per_1000=None),
        lambda report: report["results"][0]["usage"].pop("gpu_percent"),
        lambda report: report["ceilings"][3]["usage"].pop("gpu_power_w"),
        lambda report: report["results"][0]["usage"].update(cpu_percent=float("nan")),
        lambda report: report["results"][0].update(floor_ms=None, bound=None, floor_percent=None),
        lambda report: leave_out(report, "failed: RuntimeError: no kernel"),
        lambda report: leave_out(report, "the 400 s of the benchmark were used up"),
    ],
)
def test_report_that_tells_less_may_not_ship(shippable, spoil):
    report = json.loads(json.dumps(shippable))
    spoil(report)
    with pytest.raises((AssertionError, ValueError)):
        check_shipped(report)


def leave_out(report, reason):
    row = report["results"].pop()
    where = {key: row[key] for key in PLACE}
    report["left_out"].append({**where, "reason": reason})
