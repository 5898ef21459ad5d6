"""A service profile from a CSV file of latencies."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit.planning import on_one_vcpu
from capkit.serving import ServiceProfile


def write(folder, **columns):
    path = folder / "latencies.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def of_sizes(folder, times_ms, rows=40):
    """Profile of a file with ``rows`` equal times for each batch size."""
    sizes = np.repeat(list(times_ms), rows)
    path = write(folder, ms=np.repeat(list(times_ms.values()), rows), batch=sizes)
    return ServiceProfile.from_csv(path, latency_column="ms", images_column="batch")


@given(fixed=st.floats(0.1, 10), each=st.floats(0.01, 1))
@settings(max_examples=20)
def test_line_is_found_again(tmp_path_factory, fixed, each):
    folder = tmp_path_factory.mktemp("line")
    profile = of_sizes(folder, {size: fixed + each * size for size in (1, 2, 8, 32)})
    assert profile.fixed_s == pytest.approx(fixed / 1e3, rel=1e-3)
    assert profile.per_image_s == pytest.approx(each / 1e3, rel=1e-3)
    assert profile.service_time_s == pytest.approx((fixed + each) / 1e3)
    assert profile.max_batch_linear == 32


def test_single_requests_give_mean_variance_and_one_busy_slot(tmp_path):
    rng = np.random.default_rng(1)
    path = write(tmp_path, latency_ms=rng.gamma(2.0, 4.0, 20_000))
    profile = ServiceProfile.from_csv(path)
    assert profile.service_time_s == pytest.approx(0.008, rel=0.02)
    assert profile.service_cv2 == pytest.approx(0.5, rel=0.05)
    assert profile.throughput_rps == profile.service_rate
    assert (profile.fixed_s, profile.overhead_s, profile.max_batch_linear) == (0.0, 0.0, 1)
    assert profile.per_image_s == profile.service_time_s
    assert (profile.request_bytes, profile.memory_mib) == (0, None)
    assert str(tmp_path) not in profile.backend
    assert on_one_vcpu(profile) == profile
    assert ServiceProfile.from_dict(profile.to_dict()).to_dict() == profile.to_dict()


@pytest.mark.parametrize(
    "times_ms, each_ms, linear_to",
    [
        ({1: 3.0, 32: 12.0}, 3.0, 1),
        ({4: 8.0, 8: 16.0}, 2.0, 8),
        ({1: 3.0, 2: 12.0, 4: 40.0}, 3.0, 1),
        ({1: 3.0, 2: 2.9, 4: 2.8}, 3.0, 1),
    ],
)
def test_without_a_line_a_batch_gains_nothing(tmp_path, times_ms, each_ms, linear_to):
    profile = of_sizes(tmp_path, times_ms)
    assert profile.fixed_s == 0.0
    assert profile.per_image_s == pytest.approx(each_ms / 1e3)
    assert profile.service_time_s == pytest.approx(each_ms / 1e3)
    assert profile.max_batch_linear == linear_to


def test_line_holds_up_to_the_size_that_leaves_it(tmp_path):
    times_ms = {size: 2.0 + 0.1 * size for size in (1, 2, 4, 8, 16, 32)} | {64: 14.0}
    assert of_sizes(tmp_path, times_ms).max_batch_linear == 32


def test_variance_is_that_of_the_most_frequent_size(tmp_path):
    rng = np.random.default_rng(2)
    times = np.r_[rng.gamma(4.0, 2.0, 5000), np.full(50, 1.0)]
    path = write(tmp_path, latency_ms=times, images=np.r_[np.full(5000, 8), np.full(50, 1)])
    profile = ServiceProfile.from_csv(path, images_column="images")
    assert profile.service_cv2 == pytest.approx(0.25, rel=0.08)
    assert profile.service_time_s == pytest.approx(0.001)


GOOD = np.full(40, 2.0)


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"latency": GOOD}, "lacks the column.*latency_ms; it has latency"),
        ({"latency_ms": GOOD[:29]}, "29 row.*needs 30.*not a summary"),
        ({"latency_ms": np.r_[GOOD, np.nan]}, "row 41 .*a number is needed"),
        ({"latency_ms": np.r_[GOOD, 0.0]}, "row 41 .*above 0"),
        ({"latency_ms": np.r_[GOOD, -3.0]}, "row 41 .*-3.0.*above 0"),
        ({"latency_ms": np.r_[GOOD, np.inf]}, "row 41 .*a number is needed"),
        ({"latency_ms": 1e5 * GOOD}, "200,000 ms, is above a minute.*microseconds"),
        ({"latency_ms": []}, "no rows"),
    ],
)
def test_file_that_is_no_record_is_refused(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        ServiceProfile.from_csv(write(tmp_path, **columns))


def test_wrong_images_and_missing_files_are_refused(tmp_path):
    path = write(tmp_path, latency_ms=GOOD, n=np.full(40, 1.5))
    with pytest.raises(ValueError, match=r"'n': 1\.5; a whole number"):
        ServiceProfile.from_csv(path, images_column="n")
    with pytest.raises(ValueError, match=r"lacks the column.*batch"):
        ServiceProfile.from_csv(path, images_column="batch")
    with pytest.raises(ValueError, match="there is no file"):
        ServiceProfile.from_csv(tmp_path / "none.csv")
