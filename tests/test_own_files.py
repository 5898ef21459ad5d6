"""A reader's own request log, demand and prices: what is read, and what is refused with its row."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capkit import datasets

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
