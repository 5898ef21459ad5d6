"""A request log from a CSV file, one row a request: read whole, or in chunks that fit into memory.

What cannot be right is refused with the row that shows it, or repaired if the reader says so; every
repair is listed.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capkit.datasets.own import _read, _refuse
from capkit.datasets.tables import TRACES, load_arrivals

LATEST_EPOCH_S = 1e11
ZONE = r"[T ].*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$"
SUSPICIOUS_SHARE = 0.05  # of rows that are copies of another one
CHANCE = 10.0  # times as many copies as chance explains are suspicious


@dataclass(frozen=True, eq=False)
class RequestLog:
    """A request log, or a chunk of one.

    Attributes
    ----------
    times : array of shape (n,)
        Arrival times (s): from the first arrival in a whole log, from the first row in a chunk.
    columns : DataFrame
        The size columns (float) and the tenant column that were asked for, in the same order.
    repairs : tuple of str
        What was mended, one sentence a repair.
    """

    times: NDArray[np.float64]
    columns: pd.DataFrame
    repairs: tuple[str, ...] = ()


class _Reader:
    """What is remembered from chunk to chunk: the kind of the stamps and the first of them."""

    def __init__(
        self, path: Path, time: str, sizes: Sequence[str], tenant: str, zone: str, repair: bool
    ) -> None:
        self.path, self.time, self.sizes, self.tenant = path, time, list(sizes), tenant
        self.zone, self.repair = zone, repair
        self.used = [time, *sizes, *([tenant] if tenant else [])]
        self.is_number: bool | None = None
        self.is_aware: bool | None = None
        self.origin: float | pd.Timestamp | None = None

    def chunk(self, table: pd.DataFrame) -> RequestLog:
        repairs: list[str] = []
        raw = table[self.time]
        if self.is_number is None:
            start = pd.to_numeric(raw.head(1000), errors="coerce")
            self.is_number = bool(start.notna().mean() >= 0.5)
        stamps = self._numbers(raw) if self.is_number else self._instants(raw, repairs)
        rule = (
            "a number is needed"
            if self.is_number
            else "an ISO 8601 time that exists once is needed"
        )
        keep = self._checked(raw, stamps.isna(), rule, repairs)
        columns = table[self.used[1:]].copy()
        for name in self.sizes:
            sizes = pd.to_numeric(columns[name], errors="coerce").astype(float)
            wrong = ~(np.isfinite(sizes) & (sizes >= 0))
            keep &= self._checked(columns[name], wrong, "a size is a number of at least 0", repairs)
            columns[name] = sizes
        if self.tenant:
            none = columns[self.tenant].isna()
            keep &= self._checked(columns[self.tenant], none, "a tenant is needed", repairs)
        stamps, columns = stamps[keep], columns[keep]
        if self.origin is None and len(stamps):
            self.origin = stamps.iloc[0]
        since = stamps - self.origin
        seconds = since if self.is_number else since / pd.Timedelta(seconds=1)
        return RequestLog(seconds.to_numpy(dtype=np.float64), columns, tuple(repairs))

    def _checked(
        self, raw: pd.Series, wrong: pd.Series, rule: str, repairs: list[str]
    ) -> pd.Series:
        if not self.repair:
            _refuse(self.path, str(raw.name), wrong, raw, f"{rule} (repair=True drops such rows)")
        elif wrong.any():
            first = int(raw.index[np.flatnonzero(wrong)[0]]) + 1
            repairs.append(
                f"dropped {wrong.sum():,} row(s), the first is row {first}: column {raw.name!r}, {rule}"
            )
        return ~wrong

    def _numbers(self, raw: pd.Series) -> pd.Series:
        times = pd.to_numeric(raw, errors="coerce").astype(float)
        times = times.where(np.isfinite(times))
        if times.max() > LATEST_EPOCH_S:
            raise ValueError(
                f"{self.path}, column {self.time!r}: {times.max():.6g} is no time in seconds; "
                "divide milliseconds by 1,000"
            )
        return times

    def _instants(self, raw: pd.Series, repairs: list[str]) -> pd.Series:
        try:  # all with one zone, or all without: no need to look at each
            plain = pd.to_datetime(raw.astype(str).where(raw.notna()), format="ISO8601")
            aware = pd.Series(plain.dt.tz is not None, raw.index)
            times = plain.dt.tz_convert("UTC") if plain.dt.tz else plain.dt.tz_localize("UTC")
        except ValueError:
            text = raw.astype(str).str.strip()
            times = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
            aware = text.str.contains(ZONE)
        naive = ~aware & times.notna()
        if self.is_aware is None:
            self.is_aware = bool(aware.any())
        if not self.zone:
            odd = naive if self.is_aware else aware
            rule = "some rows have a time zone and some have none: say which it is (time_zone=...)"
            _refuse(self.path, self.time, odd, raw, rule)
        elif naive.any():
            local = times[naive].dt.tz_localize(None)
            local = local.dt.tz_localize(self.zone, ambiguous="NaT", nonexistent="NaT")
            times[naive] = local.dt.tz_convert("UTC")
            repairs.append(f"read {naive.sum():,} row(s) without a time zone as {self.zone}")
        return times


def stream_log(
    path: str | Path,
    *,
    time_column: str = "timestamp",
    size_columns: Sequence[str] = (),
    tenant_column: str = "",
    time_zone: str = "",
    repair: bool = False,
    rows: int = 1_000_000,
) -> Iterator[RequestLog]:
    """A request log in chunks of ``rows`` rows, in the file's order; parameters and errors as `read_log`.

    For `capkit.workload.characterize_stream`, which refuses a log that is not sorted. Copies of rows are
    not looked for: that needs the whole log.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.csv"
    >>> _ = path.write_text("timestamp\\n10\\n11.5\\n12\\n")
    >>> [log.times.tolist() for log in stream_log(path, rows=2)]
    [[0.0, 1.5], [2.0]]
    """
    path = Path(path)
    if time_zone and time_zone not in zoneinfo.available_timezones():
        raise ValueError(
            f"no time zone is called {time_zone!r}; write one like Europe/Berlin or UTC"
        )
    reader = _Reader(path, time_column, size_columns, tenant_column, time_zone, repair)
    _read(path, reader.used, rows=1)
    try:
        with pd.read_csv(path, usecols=reader.used, chunksize=rows) as tables:
            for table in tables:
                yield reader.chunk(table)
    except pd.errors.ParserError as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error


def read_log(
    path: str | Path,
    *,
    time_column: str = "timestamp",
    size_columns: Sequence[str] = (),
    tenant_column: str = "",
    time_zone: str = "",
    repair: bool = False,
    duplicates: str = "check",
) -> RequestLog:
    """A request log from a CSV file, one row a request, sorted by time.

    Parameters
    ----------
    path : str or Path
        The file, packed (.gz) or not.
    time_column : str
        Seconds as numbers (such as the epoch), or ISO 8601 times, with their time zone or all without.
        Times without any zone count as UTC: the clock changes of summer time would show as a gap.
    size_columns : sequence of str
        Columns with the sizes of a request, numbers of at least 0.
    tenant_column : str
        Column that says whose request it is; empty for none.
    time_zone : str
        Zone of the rows that name none, such as Europe/Berlin; a time that the clock shows twice or
        never is then a bad row.
    repair : bool
        Drop rows whose time or size is missing, not readable or negative, and list how many. False
        refuses the log and names the first of them. Rows out of order are sorted either way, and listed.
    duplicates : {"check", "keep", "drop"}
        Copies of another row in all columns that are read. "check" refuses a log in which more than 5 %
        are copies, ten times what chance explains: such a log was written twice.

    Raises
    ------
    ValueError
        No such file, column or time zone; a value that cannot be read (row and column are named); zones
        in some rows only; milliseconds; fewer than two requests; suspicious copies.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.csv"
    >>> _ = path.write_text("when,tokens\\n2024-05-01T12:00:01Z,7\\n2024-05-01T12:00:00Z,5\\n")
    >>> log = read_log(path, time_column="when", size_columns=["tokens"])
    >>> log.times.tolist(), log.columns["tokens"].tolist(), log.repairs
    ([0.0, 1.0], [5.0, 7.0], ('sorted 1 row(s) that came too early',))
    """
    if duplicates not in ("check", "keep", "drop"):
        raise ValueError(f"duplicates is check, keep or drop; got {duplicates!r}")
    chunks = list(
        stream_log(
            path,
            time_column=time_column,
            size_columns=size_columns,
            tenant_column=tenant_column,
            time_zone=time_zone,
            repair=repair,
        )
    )
    repairs = [line for chunk in chunks for line in chunk.repairs]
    times = np.concatenate([chunk.times for chunk in chunks])
    columns = pd.concat([chunk.columns for chunk in chunks], ignore_index=True)
    if times.size < 2:
        raise ValueError(f"{path} holds {times.size} request(s); at least 2 are needed")
    if early := int((np.diff(times) < 0).sum()):
        order = np.argsort(times, kind="stable")
        times, columns = times[order], columns.iloc[order].reset_index(drop=True)
        repairs.append(f"sorted {early:,} row(s) that came too early")
    if duplicates != "keep":
        copies = columns.assign(**{time_column: times}).duplicated().to_numpy()
        if duplicates == "drop" and copies.any():
            times, columns = times[~copies], columns[~copies].reset_index(drop=True)
            repairs.append(f"dropped {copies.sum():,} row(s) that were copies of another")
        elif copies.sum() > max(SUSPICIOUS_SHARE * times.size, CHANCE * _coincidences(times)):
            raise ValueError(
                f"{path}: {copies.sum():,} of {times.size:,} rows are copies of another in "
                f"{', '.join([*columns, time_column])}, far more than chance explains; if the log was "
                "written twice, read_log(..., duplicates='drop'), else duplicates='keep'"
            )
    return RequestLog(times - times[0], columns, tuple(repairs))


def _coincidences(times: NDArray[np.float64]) -> float:
    """Pairs of equal stamps that chance gives, were the stamps rounded to their smallest step."""
    gaps = np.diff(times)
    duration = float(times[-1] - times[0])
    return float(times.size**2 * gaps[gaps > 0].min() / duration) if duration else np.inf


def arrival_times(
    trace: str, rng: np.random.Generator, *, column: str = "timestamp"
) -> NDArray[np.float64]:
    """Arrival times in s from 0, sorted.

    Parameters
    ----------
    trace : str
        "chat" or "code": each request of a second gets a uniform position inside it, which
        keeps every count over whole seconds but not the gaps within a second (`load_gap_quantiles`
        has those). Otherwise a CSV file with one row a request, as `read_log` reads it.
    rng : numpy.random.Generator
        Draws the positions; not used for a file.
    column : str
        Column of the file: seconds as numbers, or ISO 8601 times. Rows may come in any order.

    Returns
    -------
    ndarray
        One time a request (s); a file's first request is at 0.

    Raises
    ------
    ValueError
        As `read_log`.

    Examples
    --------
    >>> times = arrival_times("chat", np.random.default_rng(1))
    >>> times.size, bool((np.diff(times) >= 0).all())
    (19366, True)
    """
    if trace in TRACES:
        counts = load_arrivals(trace)
        start = np.repeat(counts["second"].to_numpy(dtype=float), counts["requests"])
        return np.sort(start + rng.random(start.size))
    if not Path(trace).is_file():
        raise ValueError(f"a trace is {', '.join(TRACES)} or a CSV file; there is no file {trace}")
    return read_log(trace, time_column=column).times
