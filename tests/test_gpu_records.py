"""Records of devices beside one's own figures, and what they cost."""

import json

import numpy as np
import pandas as pd
import pytest

from capkit import gpubench
from capkit.serving.device import Device


def synthetic(quick_report, folder, device, **changes):
    """A report of a device that nobody has, from the one of this CPU: only for these tests."""
    report = json.loads(quick_report.read_text()) | {"device": device, "gpu_seen": True, **changes}
    (folder / f"{device.replace(' ', '_')}.json").write_text(json.dumps(report))
    return report


def test_folder_of_reports_becomes_one_table(quick_run, tmp_path):
    assert gpubench.committed(tmp_path).empty
    assert "whole_ms" in gpubench.committed(tmp_path / "none")
    synthetic(quick_run[1], tmp_path, "A H100 80GB")
    synthetic(quick_run[1], tmp_path, "A H200")
    table = gpubench.committed(tmp_path)
    assert len(table) == 24
    assert set(table["kind"]) == {"inference", "training"}
    first = table.iloc[0]
    copies = first["copy_in_ms"] + first["copy_out_ms"]
    assert first["whole_ms"] == pytest.approx(first["median_ms"] + copies)


def test_recorded_device_stands_beside_the_own_figures(quick_run, tmp_path):
    report = synthetic(quick_run[1], tmp_path, "A H100 80GB")
    records = gpubench.committed(tmp_path)
    own = pd.Series({1: 10.0, 16: 90.0}, name="CPU")
    table = gpubench.beside(own, records, "examples_per_s", "training")
    rates = {
        row["batch_size"]: row["examples_per_s"]
        for row in report["results"]
        if (row["network"], row["precision"], row["kind"]) == ("course", "float32", "training")
    }
    assert table.index.tolist() == [1, 8, 16]
    assert table["CPU"].tolist() == [10.0, "not measured", 90.0]
    named = f"H100 ({report['backend']})"
    assert table[named].tolist() == [rates[1], rates[8], "not measured"]
    assert table["H200"].tolist() == ["not measured"] * 3


@pytest.mark.parametrize(
    ("device", "asked"), [("NVIDIA A100-SXM4-40GB", "A10"), ("NVIDIA GH200 480GB", "H200")]
)
def test_device_is_not_taken_for_another(quick_run, tmp_path, device, asked):
    synthetic(quick_run[1], tmp_path, device)
    records = gpubench.committed(tmp_path)
    assert gpubench.label(records, asked) == asked
    assert gpubench.of_device(records, asked, "inference").empty
    assert len(gpubench.limits(tmp_path, devices=[asked])) == 1
    assert len(gpubench.loads(records, "training", devices=[asked])) == 1


def test_two_reports_of_one_device_are_refused(quick_run, tmp_path):
    synthetic(quick_run[1], tmp_path, "NVIDIA H100 PCIe")
    (tmp_path / "NVIDIA_H100_PCIe.json").rename(tmp_path / "A.json")
    synthetic(quick_run[1], tmp_path, "NVIDIA H100 PCIe", backend="torch")
    with pytest.raises(
        ValueError, match=r"A\.json and NVIDIA_H100_PCIe\.json .*: keep one of them"
    ):
        gpubench.committed(tmp_path)


def test_name_of_two_devices_is_refused(quick_run, tmp_path):
    for device in ("NVIDIA H100 PCIe", "NVIDIA H100 NVL"):
        synthetic(quick_run[1], tmp_path, device)
    records = gpubench.committed(tmp_path)
    with pytest.raises(ValueError, match="H100 may be NVIDIA H100 NVL or NVIDIA H100 PCIe"):
        gpubench.label(records, "H100")
    assert len(gpubench.of_device(records, "H100 NVL", "inference")) == 2


def test_part_of_a_device_is_refused(quick_run, tmp_path):
    synthetic(quick_run[1], tmp_path, "NVIDIA H100 80GB HBM3 MIG 1g.10gb")
    with pytest.raises(ValueError, match="of a part of a device, NVIDIA H100 80GB HBM3 MIG 1g"):
        gpubench.limits(tmp_path)


def test_recorded_times_are_those_that_an_emulated_device_draws(quick_run, tmp_path):
    synthetic(quick_run[1], tmp_path, "A H100 80GB")
    rows = gpubench.of_device(gpubench.committed(tmp_path), "H100", "inference")
    path = tmp_path / "times.csv"
    gpubench.service_times(rows).to_csv(path, index=False)
    device = Device.parse(f"slots=1,profile={path}")
    assert 1e3 * device.recorded.seconds(8, 0.5) == pytest.approx(rows.at[8, "whole_ms"])
    assert gpubench.service_times(rows.head(0)).empty
    slowest = rows.at[1, "quantiles_ms"][-1] + rows.at[1, "whole_ms"] - rows.at[1, "median_ms"]
    assert 1e3 * device.recorded.seconds(1, 1.0) == pytest.approx(slowest)


def test_rate_within_a_limit():
    sizes, times = [1, 32, 256], [0.5, 1.0, 3.0]
    assert gpubench.rate_within(sizes, times, [0.5, 1.0, 30.0], 60.0) == pytest.approx(256e3 / 3)
    assert gpubench.rate_within(sizes, times, [0.5, 1.0, 30.1], 60.0) == 32_000.0
    assert np.isnan(gpubench.rate_within(sizes, times, times, 0.9))


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"schema": "gpu_bench@1"}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json must be a report with the schema gpu_bench@2"):
        gpubench.committed(tmp_path)


CATALOGUE = pd.DataFrame(
    {
        "name": ["one", "eight", "other"],
        "accelerator": ["H100", "H100", "T4"],
        "accelerators": [1, 8, 1],
        "on_demand_usd_h": [9.0, 64.0, 0.5],
    }
)
MLPERF = pd.DataFrame(
    {
        "accelerator": ["H100-SXM-80GB", "H100", "H1000", "T4"],
        "server_qps_per_accelerator": [60_000.0, 50_000.0, 1.0, 5_000.0],
    }
)


def test_prices_by_hand(quick_run, tmp_path):
    synthetic(quick_run[1], tmp_path, "A H100 80GB")
    records = gpubench.committed(tmp_path)
    table = gpubench.price_accelerators(records, CATALOGUE, MLPERF, ["T4", "H100"], 1e6)
    h100 = table.loc[gpubench.label(records, "H100")]
    assert (h100["instance"], h100["usd_h"]) == ("eight", 8.0)
    rows = gpubench.of_device(records, "H100", "inference")
    rate = (1e3 * rows.index / rows["whole_ms"]).max()
    assert h100["images_per_s"] == pytest.approx(rate)
    assert h100["usd_per_million"] == pytest.approx(8e6 / 3600 / rate)
    assert h100["gflop_per_s"] == pytest.approx(rate * 1_104_586 / 1e9)
    assert h100["resnet50_images_per_s"] == 55_000
    assert h100["resnet50_gflop_per_s"] == pytest.approx(418_000)
    t4 = table.loc["T4"]
    assert set(t4[["images_per_s", "usd_per_million", "gflop_per_s"]]) == {"not measured"}
    assert t4["resnet50_usd_per_million"] == pytest.approx(0.5 / 3600 / 5_000 * 1e6)


def test_limit_too_tight_is_said_and_an_unpriced_accelerator_refused(quick_run, tmp_path):
    synthetic(quick_run[1], tmp_path, "A H100 80GB")
    records = gpubench.committed(tmp_path)
    with pytest.raises(
        ValueError, match="no price of a B200; accelerators in the catalogue: H100, T4"
    ):
        gpubench.price_accelerators(records, CATALOGUE, MLPERF, ["B200"], 50.0)
    table = gpubench.price_accelerators(records, CATALOGUE, MLPERF, ["T4", "H100"], 1e-6)
    own = ["images_per_s", "usd_per_million", "gflop_per_s"]
    assert set(table.iloc[1][own]) == {"none within the limit"}
    assert set(table.iloc[0][own]) == {"not measured"}
    assert table.iloc[1]["resnet50_images_per_s"] == 55_000


def test_loads_of_recorded_devices(quick_run, tmp_path):
    report = synthetic(quick_run[1], tmp_path, "A H100 80GB")
    report["results"][0]["usage"] |= {"gpu_percent": 99.0, "gpu_power_w": 121.0}
    (tmp_path / "A_H100_80GB.json").write_text(json.dumps(report))
    table = gpubench.loads(gpubench.committed(tmp_path), "inference")
    first = table.loc[(f"H100 ({report['backend']})", "large", "float32", 1)]
    assert table.index.get_level_values("network").tolist()[:6] == ["course"] * 4 + ["large"] * 2
    assert first["gpu_percent"] == 99.0
    assert first["gpu_power_w"] == 121.0
    assert first["gpu_clock_mhz"] == "not measured"
    assert first["floor_percent"] == report["results"][0]["floor_percent"]
    assert (table.loc[("H200", "-", "-", "-")] == "not measured").all()
    assert len(table) == 7


def test_ceilings_of_recorded_devices(quick_run, tmp_path):
    report = synthetic(quick_run[1], tmp_path, "A H100 80GB")
    report["ceilings"][3]["usage"] |= {"gpu_percent": 100.0}
    (tmp_path / "A_H100_80GB.json").write_text(json.dumps(report))
    table = gpubench.limits(tmp_path)
    name, small = f"H100 ({report['backend']})", report["ceilings"][3]
    row = table.loc[(name, "small product", "float32", small["size"])]
    assert row["gpu_percent"] == 100.0
    assert row["g_per_s"] == pytest.approx(small["rate_per_s"] / 1e9)
    assert row["gpu_power_w"] == "not measured"
    assert row["relative_error"] == small["relative_error"]
    assert table.xs("copy", level="ceiling")["relative_error"].tolist() == ["-"]
    assert (table.loc[("H200", "-", "-", "-")] == "not measured").all()
    assert len(table) == 5
