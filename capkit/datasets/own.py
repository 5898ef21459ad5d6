"""Inputs that a reader may replace by a CSV file: hourly demand, price table; `logs` has the request log."""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from capkit.datasets.files import data_dir

CATALOGUE_COLUMNS = (
    *("name", "provider", "region", "vcpus", "memory_gib"),
    *("accelerator", "accelerators", "accelerator_memory_gib", "power_w"),
    *("on_demand_usd_h", "reserved_1y_usd_h", "reserved_3y_usd_h", "spot_usd_h"),
    *("as_of", "source"),
)
TEXT = ("name", "provider", "region", "source")
WHOLE = ("vcpus", "accelerators")
MAY_BE_EMPTY = (
    *("accelerator_memory_gib", "power_w"),
    *("reserved_1y_usd_h", "reserved_3y_usd_h", "spot_usd_h"),
)
OLDEST_PRICE_DAYS = 365
WEEK = pd.Timedelta(days=7)


def load_demand(
    source: str = "", *, time_column: str = "time", count_column: str = "requests"
) -> pd.Series:
    """Hourly requests, complete: a missing hour gets the mean of the same hour a week off.

    Parameters
    ----------
    source : str
        Empty for the application server (2016-01-01 to 2020-04-03, local time), or a CSV file.
    time_column, count_column : str
        Columns of the file: ISO 8601 start of the hour (in order, each hour once; with a time
        zone it becomes UTC), requests in that hour.

    Returns
    -------
    Series
        Requests an hour, DatetimeIndex of frequency "h". ``attrs["repaired"]`` lists the hours
        that were missing; each is the mean of the measured hours one week before and after, or
        the one of them that exists.

    Raises
    ------
    ValueError
        No such file or column; a time or count that cannot be read, a negative count, a time off
        the hour, repeated or out of order (row and column are named); a missing hour with no
        measured hour a week before or after.

    Examples
    --------
    >>> demand = load_demand()
    >>> len(demand), len(demand.attrs["repaired"])
    (37316, 19)
    """
    path = Path(source) if source else data_dir() / "appserver_requests_hourly.csv.gz"
    table = _read(path, [time_column, count_column])
    time = _times(path, table[time_column])
    count = _numbers(path, table[count_column])
    _refuse(
        path, count_column, count < 0, table[count_column], "requests in that hour are at least 0"
    )
    _refuse(path, time_column, time != time.dt.floor("h"), table[time_column], "use full hours")
    late = time.diff() <= pd.Timedelta(0)
    _refuse(path, time_column, late, table[time_column], "each hour once, in order")
    measured = pd.Series(count.to_numpy(), index=pd.DatetimeIndex(time), name="requests")
    hours = pd.date_range(measured.index[0], measured.index[-1], freq="h", name="time")
    demand = measured.reindex(hours)
    missing = hours[demand.isna()]
    neighbours = pd.DataFrame(
        {side: measured.reindex(missing + side * WEEK).to_numpy() for side in (-1, 1)},
        index=missing,
    ).mean(axis=1)
    if neighbours.isna().any():
        raise ValueError(
            f"{path}, column {time_column!r}: {missing[neighbours.isna()][0]} is missing, and so "
            "are the same hours one week before and after; give a series with shorter gaps"
        )
    demand[missing] = neighbours
    demand.attrs["repaired"] = list(missing)
    return demand


def load_catalogue(
    prices: str = "", *, provider: str | None = None, today: datetime.date | None = None
) -> pd.DataFrame:
    """Instance types with their prices, one row a type; a price that is not known is NaN.

    Parameters
    ----------
    prices : str
        Empty for the table that ships, or a CSV file with the same columns (`CATALOGUE_COLUMNS`,
        in any order). Text, vcpus, memory_gib, accelerators and on_demand_usd_h must be filled;
        the other cells may be empty.
    provider : str, optional
        Keep this provider's rows only.
    today : date, optional
        Day against which a file's ``as_of`` is judged: prices more than a year old give a
        warning. Default: the present day.

    Returns
    -------
    DataFrame
        ``CATALOGUE_COLUMNS``: memory in GiB, power in W at full load, prices in USD/h for the
        whole instance.

    Raises
    ------
    ValueError
        No such file; missing columns; a cell that is empty, no number, negative or no date (row
        and column are named); a type listed twice; a provider that is not in the table.

    Examples
    --------
    >>> catalogue = load_catalogue(provider="aws").set_index("name")
    >>> float(catalogue.loc["c5.large", "on_demand_usd_h"])
    0.085
    """
    path = Path(prices) if prices else data_dir() / "catalogue.csv"
    table = _read(path, list(CATALOGUE_COLUMNS)).copy()
    for column in TEXT:
        _refuse(path, column, table[column].isna(), table[column], "a text is needed")
    for column in (*WHOLE, "memory_gib", "on_demand_usd_h", *MAY_BE_EMPTY):
        raw = table[column]
        table[column] = _numbers(path, raw, optional=column in MAY_BE_EMPTY)
        _refuse(path, column, table[column] < 0, raw, f"a number of at least 0{_unit(column)}")
    for column in WHOLE:
        _refuse(path, column, table[column] % 1 != 0, table[column], "a whole number")
        table[column] = table[column].astype(int)
    dates = _times(path, table["as_of"])
    same = ["provider", "region", "name"]
    _refuse(path, "name", table.duplicated(same), table["name"], "each type once in a region")
    age_days = (pd.Timestamp(today or datetime.date.today()) - dates.min()).days
    if prices and age_days > OLDEST_PRICE_DAYS:
        warnings.warn(
            f"{path}: the oldest price is of {dates.min():%Y-%m-%d}, {age_days} days ago; "
            "check it before you plan with it",
            stacklevel=2,
        )
    table["accelerator"] = table["accelerator"].astype(object).fillna("").astype(str)
    if provider is not None:
        known = sorted(table["provider"].unique())
        if provider not in known:
            raise ValueError(f"{path} has the providers {', '.join(known)}; got {provider!r}")
        table = table[table["provider"] == provider]
    return table[list(CATALOGUE_COLUMNS)].reset_index(drop=True)


def _read(path: Path, columns: list[str], rows: int | None = None) -> pd.DataFrame:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        table = pd.read_csv(path, nrows=rows)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(
            f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(table.columns)}"
        )
    if table.empty:
        raise ValueError(f"{path} has a header but no rows")
    return table


def _refuse(path: Path, column: str, wrong: pd.Series, raw: pd.Series, rule: str) -> None:
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        row, given = int(raw.index[first]), raw.astype(object).iloc[first]
        raise ValueError(
            f"{path}, row {row + 1} below the header, column {column!r}: {given!r}; {rule}"
        )


def _numbers(path: Path, raw: pd.Series, *, optional: bool = False) -> pd.Series:
    numbers = pd.to_numeric(raw, errors="coerce").astype(float)
    wrong = ~np.isfinite(numbers) & ~(raw.isna() & optional)
    _refuse(path, str(raw.name), wrong, raw, f"a number is needed{_unit(str(raw.name))}")
    return numbers


def _unit(column: str) -> str:
    """The unit that the end of a column's name stands for, to be said in an error."""
    units = {"_usd_h": "USD/h", "_gib": "GiB", "_ms": "ms", "_w": "W", "timestamp": "s"}
    known = (unit for ending, unit in units.items() if column.endswith(ending))
    return "".join(f" ({unit})" for unit in known)


def _times(path: Path, raw: pd.Series) -> pd.Series:
    times = pd.to_datetime(raw.astype(str), format="ISO8601", errors="coerce", utc=True)
    _refuse(path, str(raw.name), times.isna(), raw, "an ISO 8601 time is needed")
    return times.dt.tz_localize(None)
