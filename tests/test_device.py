"""The emulated device that draws its service times from a file of recorded ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkit.serving.device import Device, RecordedTimes
from capkit.serving.executor import Executor
from capkit.serving.metrics import ServingError


def write(path, rows, header="images,service_ms"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """Sizes 4 and 16: 1 to 3 ms and 2 to 10 ms, each in equal steps, out of order."""
    rows = [f"4,{ms}" for ms in (3, 1, 2)] + [f"16,{ms}" for ms in (10, 2, 6, 4, 8)]
    return write(tmp_path_factory.mktemp("recorded") / "a,b h100.csv", rows)


def slept(monkeypatch, device, sizes):
    """Seconds that the executor of a device sleeps for batches of these sizes."""
    times = []
    monkeypatch.setattr("capkit.serving.executor.time.sleep", times.append)
    monkeypatch.setattr("capkit.serving.executor.time.perf_counter", lambda: 0.0)
    executor = Executor(device, 1)
    for size in sizes:
        executor.pad(0.0, size)
    return np.array(times)


def test_one_row_a_size_is_a_constant_and_linear_between_sizes(tmp_path, monkeypatch):
    path = write(tmp_path / "t.csv", ["1,2", "8,9", "32,21"])
    times = slept(monkeypatch, Device(profile=path), [1, 8, 20, 32, 2])
    assert times == pytest.approx([0.002, 0.009, 0.015, 0.021, 0.003])


def test_draws_have_the_recorded_quantiles(spread, monkeypatch):
    times = slept(monkeypatch, Device(profile=spread), [4] * 4000)
    shares = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
    assert np.quantile(times, shares) == pytest.approx((1 + 2 * shares) / 1e3, rel=0.05)
    assert (times.min() >= 0.001) and (times.max() <= 0.003)


@given(share=st.floats(0, 1), images=st.integers(4, 16))
def test_one_uniform_number_moves_both_neighbours(spread, share, images):
    weight = (images - 4) / 12
    expected = (1 - weight) * (1 + 2 * share) + weight * (2 + 8 * share)
    assert RecordedTimes(spread).seconds(images, share) == pytest.approx(expected / 1e3)


@pytest.mark.parametrize("images", [1, 3, 17])
def test_batch_outside_the_recorded_sizes_is_refused(spread, images):
    with pytest.raises(ServingError, match=f"4 to 16 images; got {images}"):
        RecordedTimes(spread).seconds(images, 0.5)


def test_text_form_reads_back_and_the_label_hides_the_folder(spread):
    device = Device.parse(f"slots=2,profile={spread}")
    assert (device.slots, device.profile) == (2, spread)
    assert Device.parse(str(device)) == device
    assert device.label == "slots=2,profile=a,b h100.csv"
    plain = Device(fixed_s=0.1)
    assert plain.label == str(plain)


@pytest.mark.parametrize("other", ["fixed_s=0.1", "per_example_s=0.1", "law=exponential"])
def test_profile_and_another_law_are_refused(spread, other):
    with pytest.raises(ValueError, match="give it and slots only"):
        Device.parse(f"{other},profile={spread}")


@pytest.mark.parametrize(
    "rows, header, message",
    [
        (["1,2"], "images,ms", "lacks the column.*service_ms"),
        ([], "images,service_ms", "no rows"),
        (["1,2", "8,0"], "images,service_ms", "row 2 .*'service_ms'.*above 0"),
        (["0,2"], "images,service_ms", "row 1 .*'images'.*above 0"),
        (["1.5,2"], "images,service_ms", "whole number"),
        (["1,fast"], "images,service_ms", "'fast'; a number is needed"),
        (["1,"], "images,service_ms", "a number is needed"),
    ],
)
def test_file_that_is_no_record_is_refused(tmp_path, rows, header, message):
    with pytest.raises(ValueError, match=message):
        Device(profile=write(tmp_path / "t.csv", rows, header))


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        Device.parse(f"profile={tmp_path / 'none.csv'}")
