"""The shipped tables are what the manifest, data/README.md and the sources say; bad files fail."""

import datetime
import gzip
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import struct
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


# ----- a reader's own request log


def write(path, *lines):
    path.write_text("\n".join((*lines, "")), encoding="utf-8")
    return path


@given(st.integers(0, 2**32 - 1))
def test_rebuilt_arrivals_keep_the_counts_of_every_second(seed):
    times = datasets.arrival_times("code", np.random.default_rng(seed))
    counts = datasets.load_arrivals("code")["requests"].to_numpy()
    assert (np.diff(times) >= 0).all()
    assert (np.bincount(times.astype(int), minlength=counts.size) == counts).all()


@pytest.mark.parametrize(
    "lines",
    [
        ["1700000012.5", "1700000010.0", "1700000011.25"],
        ["2023-11-14T22:13:32.5Z", "2023-11-14 22:13:30Z", "2023-11-14T22:13:31.250Z"],
        ["2023-11-14 23:13:32.5+01:00", "2023-11-14T22:13:30+00:00", "2023-11-14T22:13:31.25Z"],
    ],
)
def test_a_request_log_may_hold_epoch_seconds_or_iso_times_in_any_order(tmp_path, lines):
    path = write(tmp_path / "log.csv", "when,size", *(f"{line},1" for line in lines))
    times = datasets.arrival_times(str(path), np.random.default_rng(1), column="when")
    assert times.tolist() == [0.0, 1.25, 2.5]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["t", "1"], "lacks the column.* timestamp; it has t"),
        (["timestamp"], "no rows"),
        (["timestamp", "12"], r"1 request\(s\); at least 2"),
        (["timestamp", "1700000000000", "1700000000100"], "divide milliseconds by 1,000"),
        (["timestamp", "12", "13", "soon"], "row 3 below the header, .*'soon'; a number"),
        (["timestamp", "2023-01-01", "not a time"], "row 2 below the header.*'not a time'.*ISO"),
        (["timestamp,x", "1,1", ",1"], "row 2 below the header, column 'timestamp'"),
        ([""], "cannot be read as CSV"),
    ],
)
def test_a_request_log_that_cannot_be_read_is_refused(tmp_path, lines, message):
    path = write(tmp_path / "log.csv", *lines)
    with pytest.raises(ValueError, match=message):
        datasets.arrival_times(str(path), np.random.default_rng(1))


def test_a_request_log_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"there is no file nowhere\.csv"):
        datasets.arrival_times("nowhere.csv", np.random.default_rng(1))


# ----- a reader's own demand


def hourly(hours=24 * 28, start="2024-01-01"):
    times = pd.date_range(start, periods=hours, freq="h")
    return pd.DataFrame({"time": times.strftime("%Y-%m-%dT%H:%M"), "requests": range(hours)})


def test_missing_hours_of_a_file_come_from_the_weeks_beside_them(tmp_path):
    table = hourly().drop(index=[200, 5])
    path = tmp_path / "demand.csv"
    table.rename(columns={"time": "hour", "requests": "n"}).to_csv(path, index=False)
    demand = datasets.load_demand(str(path), time_column="hour", count_column="n")
    assert len(demand) == 24 * 28
    assert demand.iloc[200] == (200 - 168 + 200 + 168) / 2
    assert demand.iloc[5] == 5 + 168
    assert [hour.isoformat() for hour in demand.attrs["repaired"]] == [
        "2024-01-01T05:00:00",
        "2024-01-09T08:00:00",
    ]


def test_a_gap_that_no_week_can_fill_is_refused(tmp_path):
    path = tmp_path / "demand.csv"
    hourly().drop(index=[100, 268, 436, 604]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"2024-01-05 04:00:00 is missing, and so are the same"):
        datasets.load_demand(str(path))


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (3, "requests", -1, "row 4 below the header, column 'requests': .*at least 0"),
        (3, "requests", "many", "row 4 below the header, column 'requests': 'many'; a number"),
        (3, "requests", None, "row 4 below the header, column 'requests': nan"),
        (3, "requests", "inf", "row 4 below the header, column 'requests'"),
        (3, "time", "2024-01-01T02:00", "row 4 below the header, column 'time': .*each hour once"),
        (3, "time", "2023-12-31T02:00", "row 4 below the header, column 'time': .*in order"),
        (3, "time", "2024-01-01T03:30", "row 4 below the header, column 'time': .*full hours"),
        (3, "time", "3 o'clock", "row 4 below the header, column 'time': .*ISO 8601"),
    ],
)
def test_a_demand_file_with_a_wrong_cell_names_row_and_column(
    tmp_path, row, column, value, message
):
    table = hourly().astype(object)
    table.loc[row, column] = value
    table.to_csv(tmp_path / "demand.csv", index=False)
    with pytest.raises(ValueError, match=message):
        datasets.load_demand(str(tmp_path / "demand.csv"))


# ----- a reader's own prices


def own_prices(tmp_path, **changes):
    table = datasets.load_catalogue(provider="aws").head(3).astype(object)
    for column, value in changes.items():
        table.loc[1, column] = value
    path = tmp_path / "prices.csv"
    table.to_csv(path, index=False)
    return path


def test_the_shipped_catalogue_is_a_valid_price_file(tmp_path):
    path = tmp_path / "prices.csv"
    datasets.load_catalogue().sample(frac=1, axis=1, random_state=1).to_csv(path, index=False)
    again = datasets.load_catalogue(str(path), today=datetime.date(2026, 9, 6))
    pd.testing.assert_frame_equal(again, datasets.load_catalogue())


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("on_demand_usd_h", -0.1, "row 2 below the header, column 'on_demand_usd_h': -0.1; a"),
        ("on_demand_usd_h", "cheap", "column 'on_demand_usd_h': 'cheap'; a number is needed"),
        ("on_demand_usd_h", None, "row 2 below the header, column 'on_demand_usd_h'"),
        ("spot_usd_h", "n/k", "row 2 below the header, column 'spot_usd_h'"),
        ("vcpus", 0.5, "column 'vcpus': 0.5; a whole number"),
        ("as_of", "last week", "column 'as_of': 'last week'; an ISO 8601"),
        ("provider", None, "column 'provider': nan; a text"),
        ("name", "t3.micro", "column 'name': 't3.micro'; each type once"),
    ],
)
def test_a_price_file_with_a_wrong_cell_names_row_and_column(tmp_path, column, value, message):
    path = own_prices(tmp_path, **{column: value})
    with pytest.raises(ValueError, match=message):
        datasets.load_catalogue(str(path), today=datetime.date(2026, 9, 6))


def test_missing_columns_of_a_price_file_are_named(tmp_path):
    table = datasets.load_catalogue().drop(columns=["power_w", "as_of"])
    table.to_csv(tmp_path / "prices.csv", index=False)
    with pytest.raises(ValueError, match=r"lacks the column\(s\) power_w, as_of; it has name,"):
        datasets.load_catalogue(str(tmp_path / "prices.csv"))


def test_prices_older_than_a_year_give_a_warning_and_younger_ones_none(tmp_path):
    path = str(own_prices(tmp_path))
    with pytest.warns(UserWarning, match="2026-09-06, 366 days ago"):
        datasets.load_catalogue(path, today=datetime.date(2027, 9, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.load_catalogue(path, today=datetime.date(2027, 9, 6))
        datasets.load_catalogue(today=datetime.date(2037, 1, 1))


def test_a_provider_that_is_not_listed_is_refused():
    with pytest.raises(ValueError, match="aws, azure, gcp, oci; got 'mine'"):
        datasets.load_catalogue(provider="mine")


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


# ----- the originals


def place(folder, name, content, monkeypatch, **fields):
    """Put ``content`` where CAPKIT_DATA has the original, with other expected fields."""
    from dataclasses import replace

    original = datasets.ORIGINALS[name]
    path = folder / original.local
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    monkeypatch.setenv("CAPKIT_DATA", str(folder))
    monkeypatch.setitem(datasets.ORIGINALS, name, replace(original, **fields))
    return path


def test_an_original_is_read_from_the_folder_packed_anew_or_not(tmp_path, monkeypatch):
    text = b"TIMESTAMP\n"
    unpacked = hashlib.sha256(text).hexdigest()
    for content in (text, gzip.compress(text)):
        path = place(
            tmp_path, "azure_llm_2023_chat", content, monkeypatch, unpacked_sha256=unpacked
        )
        assert datasets.fetch("azure_llm_2023_chat") == path


def test_a_changed_or_damaged_original_in_the_folder_is_refused(tmp_path, monkeypatch):
    packed = gzip.compress(b"TIMESTAMP\n" * 99)
    for content, message in (
        (b"TIMESTAMP\n", "is not the original: its checksum differs"),
        (packed, "is not the original: its checksum differs"),
        (packed[:-9], "is damaged or cut off"),
    ):
        place(tmp_path, "azure_llm_2023_chat", content, monkeypatch)
        with pytest.raises(ValueError, match=message):
            datasets.fetch("azure_llm_2023_chat")


def test_all_originals_of_the_folder_are_the_ones_at_their_sources():
    folder = os.environ.get("CAPKIT_DATA")
    if not folder:
        pytest.skip("set CAPKIT_DATA to the folder of the originals that data/README.md lists")
    found = [
        datasets.fetch(name)
        for name, original in datasets.ORIGINALS.items()
        if (Path(folder) / original.local).is_file()
    ]
    assert len(found) >= 8


def test_keras_digits_come_from_its_file(tmp_path, monkeypatch):
    x_train, y_train, x_test, y_test = datasets.load_mnist()
    buffer = io.BytesIO()
    np.savez(buffer, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    place(tmp_path, "mnist_keras", buffer.getvalue(), monkeypatch, unpacked_sha256=digest)
    assert (datasets.load_mnist("keras")[3] == y_test).all()


def test_without_a_network_fetch_says_what_still_works(tmp_path, monkeypatch):
    monkeypatch.delenv("CAPKIT_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path)

    def refuse(*args, **kwargs):
        raise OSError("the network is blocked")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(ConnectionError, match=r"Every chapter works without it.*CAPKIT_DATA"):
        datasets.fetch("asg_cpu")


def test_a_download_is_checked_and_kept(tmp_path, monkeypatch):
    from dataclasses import replace
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    (source / "cpu.csv").write_bytes(b"timestamp,value\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(source)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        original = replace(
            datasets.ORIGINALS["asg_cpu"],
            url=f"http://127.0.0.1:{server.server_port}/cpu.csv",
            sha256=hashlib.sha256(b"timestamp,value\n").hexdigest(),
        )
        monkeypatch.delenv("CAPKIT_DATA", raising=False)
        monkeypatch.setattr("pooch.os_cache", lambda name: cache)
        monkeypatch.setitem(datasets.ORIGINALS, "asg_cpu", original)
        assert datasets.fetch("asg_cpu").read_bytes() == b"timestamp,value\n"
        monkeypatch.setitem(datasets.ORIGINALS, "asg_cpu", replace(original, sha256="0" * 64))
        with pytest.raises(ValueError, match="hash"):
            datasets.fetch("asg_cpu")
    finally:
        server.shutdown()
        server.server_close()
