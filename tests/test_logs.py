"""Request logs of all kinds: read, repaired with a list, or refused with the row that shows it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capkit import datasets, workload

HEADER = "timestamp,tokens,tenant"


@pytest.fixture
def log_file(tmp_path):
    def write(*lines: str):
        path = tmp_path / "log.csv"
        path.write_text("\n".join((HEADER, *lines, "")), encoding="utf-8")
        return path

    return write


def read(path, **options):
    return datasets.read_log(path, size_columns=["tokens"], tenant_column="tenant", **options)


def test_sizes_and_tenants_stay_with_their_request_when_rows_are_sorted(log_file):
    log = read(log_file("12,30,c", "10,10,a", "11,20,b"))
    assert log.times.tolist() == [0.0, 1.0, 2.0]
    assert log.columns["tokens"].tolist() == [10.0, 20.0, 30.0]
    assert log.columns["tenant"].tolist() == ["a", "b", "c"]
    assert log.repairs == ("sorted 1 row(s) that came too early",)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (",5,a", r"row 2 below the header, column 'timestamp': nan; .*repair=True drops"),
        ("inf,5,a", r"row 2 below the header, column 'timestamp'"),
        ("3,-5,a", r"row 2 below the header, column 'tokens': -5; a size is"),
        ("3,,a", r"row 2 below the header, column 'tokens': nan"),
        ("3,many,a", r"row 2 below the header, column 'tokens': 'many'"),
        ("3,5,", r"row 2 below the header, column 'tenant': nan; a tenant"),
    ],
)
def test_a_bad_row_is_refused_or_dropped_and_listed(log_file, bad, message):
    path = log_file("1,5,a", bad, "2,6,a", "4,7,b")
    with pytest.raises(ValueError, match=message):
        read(path)
    log = read(path, repair=True)
    assert log.times.tolist() == [0.0, 1.0, 3.0]
    assert len(log.repairs) == 1
    assert log.repairs[0].startswith("dropped 1 row(s), the first is row 2: column ")


def test_rows_with_and_without_a_time_zone_are_refused_until_the_zone_is_named(log_file):
    path = log_file("2024-07-01T12:00:00Z,1,a", "2024-07-01 14:00:05,1,a")
    with pytest.raises(ValueError, match=r"row 2 .*'2024-07-01 14:00:05'; some rows have a time"):
        read(path)
    log = read(path, time_zone="Europe/Berlin")
    assert log.times.tolist() == [0.0, 5.0]
    assert log.repairs == ("read 1 row(s) without a time zone as Europe/Berlin",)
    with pytest.raises(ValueError, match="no time zone is called 'Berlin'"):
        read(path, time_zone="Berlin")


def test_zones_that_differ_between_chunks_are_refused_too(log_file):
    path = log_file("2024-07-01T12:00:00Z,1,a", "2024-07-01T14:00:05,1,a")
    with pytest.raises(ValueError, match=r"row 2 below the header.*time zone"):
        list(datasets.stream_log(path, rows=1))


def test_an_hour_that_the_clock_shows_twice_is_no_instant(log_file):
    path = log_file("2024-10-27T01:59:00,1,a", "2024-10-27T02:30:00,1,a", "2024-10-27T03:00:00,1,a")
    with pytest.raises(ValueError, match=r"row 2 .*time that exists once"):
        read(path, time_zone="Europe/Berlin")
    assert read(path).times.tolist() == [0.0, 1860.0, 3660.0]
    # 01:59 summer time to 03:00 winter time: the clock was put back by an hour in between
    assert read(path, time_zone="Europe/Berlin", repair=True).times.tolist() == [0.0, 7260.0]


def test_a_log_that_was_written_twice_is_refused(log_file):
    rng = np.random.default_rng(1)
    rows = [f"{t:.6f},7,a" for t in np.cumsum(rng.exponential(1.0, 200))]
    path = log_file(*rows, *rows)
    with pytest.raises(ValueError, match="200 of 400 rows are copies"):
        read(path)
    dropped = read(path, duplicates="drop")
    assert dropped.times.size == 200
    assert "dropped 200 row(s) that were copies" in dropped.repairs[-1]
    assert read(path, duplicates="keep").times.size == 400
    with pytest.raises(ValueError, match="check, keep or drop"):
        read(path, duplicates="maybe")


def test_equal_stamps_that_come_from_rounding_are_kept(tmp_path):
    seconds = np.sort(np.random.default_rng(2).integers(0, 60, 300))
    path = tmp_path / "log.csv"
    pd.DataFrame({"timestamp": seconds}).to_csv(path, index=False)
    assert datasets.read_log(path).times.size == 300


@pytest.mark.parametrize("iso", [False, True])
def test_a_stream_gives_the_same_workload_as_the_whole(tmp_path, iso):
    times = 1.7e9 + np.cumsum(np.random.default_rng(3).gamma(0.5, 0.4, 5000))
    stamps = pd.to_datetime(times, unit="s").strftime("%Y-%m-%dT%H:%M:%S.%fZ") if iso else times
    path = tmp_path / "log.csv.gz"
    pd.DataFrame({"timestamp": stamps}).to_csv(path, index=False, float_format="%.6f")
    chunks = (log.times for log in datasets.stream_log(path, rows=700))
    streamed = workload.characterize_stream(chunks)
    whole = workload.characterize(datasets.read_log(path).times)
    assert streamed.requests == whole.requests == 5000
    assert streamed.rate == pytest.approx(whole.rate)
    assert streamed.interarrival_cv2 == pytest.approx(whole.interarrival_cv2)
    assert streamed.peak_rate == pytest.approx(whole.peak_rate)
    for window_s in (0.1, 1.0, 10.0):
        assert streamed.dispersion(window_s) == pytest.approx(whole.dispersion(window_s))


def test_a_file_that_breaks_off_in_the_middle_is_refused(log_file):
    path = log_file("1,5,a", "2,6,a", '3,"7')
    with pytest.raises(ValueError, match="cannot be read as CSV"):
        read(path)


def test_the_fine_counts_add_up_to_the_seconds():
    for trace, idc in (("chat", 1.06), ("code", 2.54)):
        fine = datasets.load_fine_counts(trace)
        seconds = datasets.load_arrivals(trace)["requests"].to_numpy()
        assert (fine.reshape(-1, 10).sum(axis=1) == seconds).all()
        assert workload.from_counts(fine, 0.1).dispersion(0.1) == pytest.approx(idc, abs=0.005)
