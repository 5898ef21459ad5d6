"""Formats, places, volume, roofline: by counting, and against files, servers and arrays that exist."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit import datasets, training, workload
from capkit.workload.locality import from_disk, over_http, serve_bytes

DIGITS = datasets.load_mnist()
FORMATS = [workload.IDX, workload.NPZ, workload.PNG]


def test_formats_give_the_same_digits_back_and_count_their_files(tmp_path):
    images, labels = DIGITS[2][:50], DIGITS[3][:50]
    table = workload.compare_formats(FORMATS, images, labels, tmp_path, repeats=1)
    assert table["files"].tolist() == [2, 1, 50]
    on_disk = sum(p.stat().st_size for p in (tmp_path / "PNG").iterdir())
    assert table.loc["PNG, a file each", "bytes_per_image"] == on_disk / 50
    # two headers of 16 and 8 bytes, a byte for each label
    assert table.loc["idx (raw)", "bytes_per_image"] == pytest.approx(784 + 1 + 24 / 50)
    assert table.loc["npz (deflate)", "bytes_per_image"] < 784 / 2
    assert (table["mb_per_s"] > 0).all()


def test_the_idx_files_are_those_that_everybody_reads(tmp_path):
    images, labels = DIGITS[2][:20], DIGITS[3][:20]
    workload.IDX.write(images, labels, tmp_path)
    for part in ("train", "t10k"):
        for name, end in (
            ("images.idx3", "images-idx3-ubyte"),
            ("labels.idx1", "labels-idx1-ubyte"),
        ):
            (tmp_path / f"{part}-{end}").write_bytes((tmp_path / name).read_bytes())
    loaded = datasets.load_mnist(str(tmp_path))
    assert np.array_equal(loaded[0], images)
    assert np.array_equal(loaded[3], labels)


def test_a_format_that_loses_something_is_refused(tmp_path):
    lossy = workload.Format(
        "dark", workload.IDX.write, lambda f: (workload.IDX.read(f)[0] // 2, DIGITS[3][:5]), float
    )
    with pytest.raises(ValueError, match="dark: the images came back changed"):
        workload.compare_formats([lossy], DIGITS[2][:5], DIGITS[3][:5], tmp_path)
    with pytest.raises(ValueError, match="uint8"):
        workload.compare_formats(FORMATS, DIGITS[2] / 255, DIGITS[3], tmp_path)


@settings(max_examples=20)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 299), st.integers(1, 300))
def test_every_place_gives_the_same_range(content, start, size):
    start %= len(content)
    expected = content[start : start + size]
    with serve_bytes(content) as port, over_http(port) as read:
        assert read(start, size) == expected


@pytest.mark.parametrize("cold", [False, True])
def test_the_file_gives_the_same_range(tmp_path, cold):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    with from_disk(path, cold=cold) as read:
        assert read(5, 3) == bytes((5, 6, 7))


def test_the_same_work_is_done_in_every_place(tmp_path):
    seen: list[bytes] = []
    table = workload.compare_places(b"abcdef", 2, tmp_path, seen.append)
    assert b"".join(seen) == 8 * b"abcdef"
    assert table["reads"].tolist() == 4 * [1, 3]
    assert (table["seconds"] > 0).all()
    with pytest.raises(ValueError, match="not whole records"):
        workload.compare_places(b"abc", 2, tmp_path, len)


# --- volume


@given(st.floats(0, 1e9), st.integers(1, 50), st.integers(1, 100), st.floats(-0.5, 2.0))
def test_the_store_is_the_sum_of_the_days_that_are_kept(daily, retention, days, growth):
    inflow = [daily * (1 + growth) ** (day / 365) for day in range(days)]
    by_hand = [sum(inflow[max(0, day - retention + 1) : day + 1]) for day in range(days)]
    stored = workload.stored_bytes(daily, retention, days, growth_per_year=growth)
    assert stored == pytest.approx(by_hand, rel=1e-6, abs=1e-6 * (1 + daily))


def test_an_impossible_store_is_refused():
    with pytest.raises(ValueError, match="growth above -1"):
        workload.stored_bytes(1.0, 1, 1, growth_per_year=-1.0)


# --- roofline


def test_layers_read_weights_once_and_activations_for_each_image():
    count = training.count_cnn()
    machine = workload.Roofline(1e11, 1e10)
    table = machine.layers(count, 32, input_bytes=4 * 784)
    assert table.index.tolist() == ["conv", "pool", "hidden", "digit"]
    assert table["mflop"].sum() == pytest.approx(32 * count["flops_per_image"].sum() / 1e6)
    conv = 4 * 320 + 32 * 4 * (784 + 26 * 26 * 32)
    hidden = 4 * 346_176 + 32 * 4 * (5408 + 64)
    assert table.loc["conv", "mb"] == pytest.approx(conv / 1e6)
    assert table.loc["hidden", "mb"] == pytest.approx(hidden / 1e6)
    assert table.loc["pool", "bound"] == "memory"
    assert machine.balance == 10.0
    for layer, row in table.iterrows():
        at_limit = row["mflop"] / 1e5 if row["bound"] == "compute" else row["mb"] / 1e4
        assert row["least_ms"] == pytest.approx(1e3 * at_limit), layer


def test_a_bigger_batch_turns_a_dense_layer_from_memory_to_compute():
    machine = workload.Roofline(1e11, 1e10)
    count = training.count_cnn()
    bounds = [
        machine.layers(count, batch, input_bytes=3136).loc["hidden", "bound"]
        for batch in (1, 4, 64)
    ]
    assert bounds == ["memory", "memory", "compute"]
    with pytest.raises(ValueError, match="at least one image"):
        machine.layers(count, 0, input_bytes=3136)
    with pytest.raises(ValueError, match="positive"):
        workload.Roofline(0.0, 1.0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc: Linux only")
def test_a_peak_that_is_gone_again_is_seen():
    def short_lived() -> float:
        return float(np.ones(8_000_000).sum())

    assert workload.peak_bytes(short_lived) == pytest.approx(64e6, rel=0.05)
    assert workload.peak_bytes(lambda: None) < 4e6


def test_tfrecords_give_the_same_digits_back(tmp_path: Path):
    tensorflow = training.import_tensorflow()
    kind = workload.tfrecord(tensorflow)
    table = workload.compare_formats([kind], DIGITS[2][:40], DIGITS[3][:40], tmp_path, repeats=1)
    # a record: 8 bytes of length, 4 and 4 of check sums, the label, the pixels
    assert table.loc["TFRecord", "bytes_per_image"] == 16 + 1 + 784
