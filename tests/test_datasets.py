"""The shipped tables are what the manifest, data/README.md and the sources say; bad files fail."""

import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capkit import datasets

DATA = datasets.data_dir()
MANIFEST = json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))
README = (DATA / "README.md").read_text(encoding="utf-8")
TABLE_BYTES = 2_500_000
DATA_BYTES = 5_000_000


# ----- what ships


def test_the_manifest_records_every_shipped_file():
    shipped = {path.name for path in DATA.iterdir() if path.is_file()}
    assert shipped == set(MANIFEST) | {"README.md", "build.py", "manifest.json"}
    for name, entry in MANIFEST.items():
        content = (DATA / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert datasets.verify() == []


def test_the_data_folder_stays_small():
    assert sum(entry["bytes"] for entry in MANIFEST.values()) < TABLE_BYTES
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < DATA_BYTES


def test_verify_names_a_changed_and_a_missing_file(tmp_path, monkeypatch):
    for name in (*MANIFEST, "manifest.json"):
        shutil.copy(DATA / name, tmp_path / name)
    with (tmp_path / "catalogue.csv").open("a", encoding="utf-8") as file:
        file.write("one more line\n")
    (tmp_path / "mnist_5000.npz").unlink()
    monkeypatch.setattr("capkit.datasets.files.data_dir", lambda: tmp_path)
    assert datasets.verify() == [
        "data/catalogue.csv differs from its recorded checksum",
        "data/mnist_5000.npz is missing",
    ]


@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_the_readme_documents_every_column_in_order(name):
    section = README.split(f"\n## `{name}`\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    if name.endswith(".npz"):
        with np.load(DATA / name) as file:
            assert documented == list(file)
    else:
        assert documented == list(pd.read_csv(DATA / name, nrows=1))
    for fact in ("Source", "icence", "Derived"):
        assert fact in section


def test_the_tables_are_rebuilt_byte_for_byte(tmp_path):
    originals = os.environ.get("CAPKIT_DATA")
    if not originals:
        pytest.skip("set CAPKIT_DATA to the folder of the originals that data/README.md lists")
    spec = importlib.util.spec_from_file_location("build", DATA / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    build.build(Path(originals), tmp_path)
    for name in (*MANIFEST, "manifest.json"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes(), name


# ----- known facts of the sources


@pytest.mark.parametrize(
    ("trace", "requests", "seconds", "rate", "dispersion", "cv2"),
    [
        ("chat", 19_366, 3_502, 5.53, {1: 1.39, 10: 3.87, 60: 16.4}, 1.20),
        ("code", 8_819, 3_436, 2.57, {1: 13.2, 10: 71.9, 60: 166.9}, 173),
    ],
)
def test_the_traces_keep_the_figures_of_the_originals(
    trace, requests, seconds, rate, dispersion, cv2
):
    table = datasets.load_arrivals(trace)
    counts = table["requests"].to_numpy()
    assert (counts.sum(), len(table)) == (requests, seconds)
    assert table["second"].tolist() == list(range(seconds))
    assert counts.sum() / seconds == pytest.approx(rate, abs=0.005)
    for window_s, expected in dispersion.items():
        windows = counts[: seconds // window_s * window_s].reshape(-1, window_s).sum(axis=1)
        assert windows.var(ddof=1) / windows.mean() == pytest.approx(expected, rel=0.005)
    quantiles = datasets.load_gap_quantiles(trace)
    mean_s, measured = datasets.gap_moments(quantiles)
    assert mean_s == pytest.approx(1 / rate, rel=0.005)
    assert measured == pytest.approx(cv2, rel=0.005)
    assert quantiles[["probability", "gap_s"]].diff().dropna().ge(0).all().all()


@pytest.mark.parametrize("trace", ["chat", "code"])
def test_the_token_histogram_holds_every_request_and_brackets_the_token_sums(trace):
    histogram = datasets.load_token_histogram(trace)
    seconds = datasets.load_arrivals(trace)
    for kind, bins in histogram.groupby("kind"):
        assert bins["requests"].sum() == seconds["requests"].sum()
        assert (bins["low_tokens"].iloc[1:].to_numpy() == bins["high_tokens"].iloc[:-1]).all()
        low = (bins["low_tokens"] * bins["requests"]).sum()
        high = ((bins["high_tokens"] - 1) * bins["requests"]).sum()
        assert low <= seconds[f"{kind}_tokens"].sum() <= high


def test_a_trace_that_does_not_ship_is_refused():
    with pytest.raises(ValueError, match="chat, code; got 'video'"):
        datasets.load_arrivals("video")


def test_the_application_server_has_the_known_level_and_repairs():
    demand = datasets.load_demand()
    assert demand.index[0] == pd.Timestamp("2016-01-01 00:00")
    assert demand.index[-1] == pd.Timestamp("2020-04-03 19:00")
    assert demand.index.freqstr == "h"
    assert demand.notna().all()
    assert demand.mean() == pytest.approx(178_500, rel=0.002)
    by_year = demand.groupby(demand.index.year).mean()
    assert by_year[2016] == pytest.approx(201_000, rel=0.005)
    assert by_year[2019] == pytest.approx(166_000, rel=0.005)
    repaired = demand.attrs["repaired"]
    assert len(repaired) == 19
    week = pd.Timedelta(days=7)
    hour = pd.Timestamp("2019-05-22 18:00")
    assert hour in repaired
    assert demand[hour] == (demand[hour - week] + demand[hour + week]) / 2
    history = demand["2018-01-01":"2019-12-31"]
    naive_error = (history - history.shift(168)).abs().mean() / history.mean()
    assert naive_error < (history - history.shift(24)).abs().mean() / history.mean()


def test_servegen_has_the_known_mean_rates_and_gaps():
    table = datasets.load_servegen()
    assert len(table) == 6_336
    mean = table.groupby("service")["rate_rps"].mean()
    known = {"m-small": 1174, "m-mid": 1790, "m-large": 196, "mm-image": 9.5, "deepseek-r1": 16.0}
    for service, rate in known.items():
        assert mean[service] == pytest.approx(rate, rel=0.005)
    gaps = table[table["rate_rps"] == 0].groupby("service").size()
    assert gaps[["m-mid", "m-small"]].tolist() == [84, 37]


def test_the_cpu_series_ends_in_its_labelled_anomaly():
    table = datasets.load_asg_cpu()
    assert len(table) == 18_050
    assert table["time"].diff().dropna().eq(pd.Timedelta(minutes=5)).all()
    labelled = table.loc[table["anomaly"], "time"]
    assert (labelled.min(), labelled.max()) == (
        pd.Timestamp("2014-07-10 12:29"),
        pd.Timestamp("2014-07-15 17:19"),
    )
    assert table["anomaly"].dtype == bool


def test_the_catalogue_orders_its_prices_and_its_power():
    table = datasets.load_catalogue()
    assert len(table) == 78
    assert (table["reserved_1y_usd_h"] < table["on_demand_usd_h"]).all()
    three_years = table["reserved_3y_usd_h"].dropna()
    assert (three_years < table["reserved_1y_usd_h"][three_years.index]).all()
    assert set(table.loc[three_years.index, "provider"]) == {"aws"}
    assert pd.to_datetime(table["as_of"]).notna().all()
    assert ((table["accelerator"] == "") == (table["accelerators"] == 0)).all()
    aws = table[table["provider"] == "aws"].set_index("name")
    assert aws.loc["c5.xlarge", "reserved_1y_usd_h"] == pytest.approx(0.170 * 0.68)
    assert aws.loc["g4dn.xlarge", "power_w"] == 4 * 3.5 + 70
    assert table.loc[table["provider"] == "oci", "power_w"].isna().all()


def test_mlperf_rows_keep_their_limit_and_divide_by_all_accelerators():
    table = datasets.load_mlperf_resnet50()
    assert len(table) == 210
    assert (table["p99_ms"] <= table["latency_limit_ms"]).all()
    derived = table["server_qps"] / table["accelerators"]
    assert np.allclose(derived, table["server_qps_per_accelerator"], atol=0.05)
    median = table.groupby("accelerator")["server_qps_per_accelerator"].median()
    assert median["T4"] < median["L40S"] < median["H100-SXM-80GB"]


def test_llm_latency_holds_the_published_example():
    table = datasets.load_llm_latency()
    assert len(table) == 2_140
    assert table.notna().all().all()
    row = table[
        (table["model"] == "meta-llama/Llama-3.1-70B")
        & (table["system"] == "h100_sxm")
        & (table["backend"] == "vllm")
        & (table["precision"] == "fp8")
        & (table[["isl", "osl"]] == 1024).all(axis=1)
        & (table["tp"] == 4)
    ].sort_values("concurrency")
    assert row["concurrency"].tolist() == [4, 8, 16, 32, 64]
    assert row["tpot_ms"].round(1).tolist() == [11.8, 12.1, 13.2, 16.5, 19.5]


# ----- digits


def test_the_bundled_digits_are_balanced_and_apart():
    x_train, y_train, x_test, y_test = datasets.load_mnist()
    assert np.bincount(y_train).tolist() == [400] * 10
    assert np.bincount(y_test).tolist() == [100] * 10
    assert {array.dtype for array in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}
    assert x_test.shape == (1000, 28, 28)
    assert not {x.tobytes() for x in x_train} & {x.tobytes() for x in x_test}
    assert np.bincount(y_train[:100], minlength=10).min() > 0


def idx(array):
    return (
        bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


@pytest.fixture
def idx_folder(tmp_path):
    x_train, y_train, x_test, y_test = datasets.load_mnist()
    arrays = (x_train[:50], y_train[:50], x_test[:20], y_test[:20])
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    for part, array in zip(parts, arrays, strict=True):
        (tmp_path / f"{part}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    return tmp_path


def test_a_folder_is_read_packed_or_not(idx_folder):
    packed = idx_folder / "train-images-idx3-ubyte.gz"
    plain = packed.with_suffix("")
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    for read, stored in zip(
        datasets.load_mnist(str(idx_folder)), datasets.load_mnist(), strict=True
    ):
        assert (read == stored[: len(read)]).all()


def cut_gzip(content):
    return content[: len(content) // 2]


def flip_gzip(content):
    return content[:-8] + bytes(4) + content[-4:]


def inside(change):
    return lambda content: gzip.compress(change(gzip.decompress(content)))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("train-images-idx3", cut_gzip, "train-images.* is damaged or cut off"),
        ("train-images-idx3", flip_gzip, "train-images.* is damaged or cut off"),
        ("train-images-idx3", inside(lambda c: b"PNG!" + c[4:]), "begins with 50 4e 47 21"),
        ("train-images-idx3", inside(lambda c: c[:10]), "ends inside its header after 10 bytes"),
        ("train-images-idx3", inside(lambda c: b""), "begins with nothing"),
        ("t10k-images-idx3", inside(lambda c: c[:-1]), r"announces 20 items \(15680 bytes\)"),
        ("t10k-images-idx3", inside(lambda c: c + b"0"), "holds 15681 bytes"),
        (
            "t10k-labels-idx1",
            inside(lambda c: c[:4] + struct.pack(">I", 19) + c[8:27]),
            "20 t10k images but 19 labels",
        ),
        ("t10k-labels-idx1", inside(lambda c: c[:-1] + b"\x0a"), "a t10k label is 10"),
        ("t10k-images-idx3", lambda c: gzip.compress(idx(np.zeros((20, 8, 8), "u1"))), "8 x 8"),
        ("train-labels-idx1", lambda c: gzip.compress(idx(np.zeros((2, 2), "u1"))), "1 dimension"),
    ],
)
def test_a_damaged_short_or_mismatched_file_is_refused(idx_folder, file, damage, message):
    path = idx_folder / f"{file}-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        datasets.load_mnist(str(idx_folder))


def test_missing_files_and_folders_are_named(idx_folder):
    (idx_folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ValueError, match=r"lacks t10k-labels-idx1-ubyte \(each may end in \.gz\)"):
        datasets.load_mnist(str(idx_folder))
    with pytest.raises(ValueError, match="there is no folder nowhere"):
        datasets.load_mnist("nowhere")
