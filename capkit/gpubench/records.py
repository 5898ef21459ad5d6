"""The reports that ship in ``data/gpu``, as tables to set beside the learner's own figures."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capkit.datasets import data_dir
from capkit.gpubench.command import SCHEMA

NOT_MEASURED = "not measured"
ACCELERATORS = ("H100", "H200")
READINGS = ["gpu_percent", "gpu_clock_mhz", "gpu_power_w"]
COLUMNS = [
    *("device", "backend", "execution", "network", "precision", "kind", "batch_size", "calls"),
    *("median_ms", "low_ms", "high_ms", "p99_ms", "row_median_ms", "row_low_ms", "row_high_ms"),
    *("examples_per_s", "copy_in_ms", "copy_out_ms", "whole_ms", "device_memory_mib"),
    *("energy_j_per_1000", "floor_ms", "bound", "floor_percent", "usage", "quantiles_ms"),
]


def read(path: str | Path) -> dict[str, Any]:
    """A report of `python -m capkit gpu-bench`.

    Raises
    ------
    ValueError
        The file is no such report, or one of another version.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        report = json.loads(text)
        schema = report["schema"]
    except (ValueError, TypeError, KeyError):
        schema = "none"
    if schema != SCHEMA:
        raise ValueError(
            f"{Path(path).name} must be a report with the schema {SCHEMA}, it has {schema}: take it again "
            "with python -m capkit gpu-bench"
        )
    found: dict[str, Any] = report
    return found


def _reports(folder: str | Path | None) -> list[dict[str, Any]]:
    place = Path(folder) if folder else data_dir() / "gpu"
    found: dict[str, dict[str, Any]] = {}
    files: dict[str, str] = {}
    for path in sorted(place.glob("*.json")):
        report = read(path)
        device = report["device"]
        if re.search(_word("MIG"), device):
            raise ValueError(f"{path.name} is of a part of a device, {device}: take the whole one")
        if device in found:
            raise ValueError(
                f"{files[device]} and {path.name} are both of one device, {device}: keep one of them"
            )
        found[device], files[device] = report, path.name
    return list(found.values())


def _word(name: str) -> str:
    """Pattern of a device's name as a whole word.

    >>> [bool(re.search(_word("A10"), device)) for device in ("NVIDIA A10", "NVIDIA A100-SXM4-40GB")]
    [True, False]
    """
    return rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"


def _rows_of(records: pd.DataFrame, device: str) -> pd.DataFrame:
    rows = records[records["device"].str.contains(_word(device))]
    named = rows["device"].unique()
    if len(named) > 1:
        raise ValueError(f"{device} may be {' or '.join(named)}: give more of the name")
    return rows


def committed(folder: str | Path | None = None) -> pd.DataFrame:
    """The reports of a folder, one row a result; no rows where none was measured.

    Parameters
    ----------
    folder : str or Path, optional
        Without it ``data/gpu``, what ships.

    Returns
    -------
    DataFrame
        ``device``, ``backend``, ``execution`` and what `capkit.gpubench.measure.measure_row` describes;
        ``whole_ms`` is the median of a call with its batch copied to the device and the answer copied back,
        ``whole_p99_ms`` the same of its 99th percentile.

    Raises
    ------
    ValueError
        A file that is no report, one of a part of a device (MIG), or two of one device.
    """
    rows = [{**report, **result} for report in _reports(folder) for result in report["results"]]
    table = pd.DataFrame(rows, columns=COLUMNS)
    copies = table[["copy_in_ms", "copy_out_ms"]].astype(float).fillna(0.0).sum(axis=1)
    for whole, part in (("whole_ms", "median_ms"), ("whole_p99_ms", "p99_ms")):
        table[whole] = table[part].astype(float) + copies
    return table


def of_device(
    records: pd.DataFrame,
    device: str,
    kind: str,
    *,
    network: str = "course",
    precision: str = "float32",
) -> pd.DataFrame:
    """The rows of one kind of work on one device (a word of its name), by ``batch_size``."""
    rows = _rows_of(records, device)
    chosen = (
        (rows["kind"] == kind) & (rows["network"] == network) & (rows["precision"] == precision)
    )
    return rows[chosen].set_index("batch_size").sort_index()


def limits(
    folder: str | Path | None = None, *, devices: Sequence[str] = ACCELERATORS
) -> pd.DataFrame:
    """The measured ceilings of recorded devices, and what looked busy while they were measured.

    Parameters
    ----------
    folder : str or Path, optional
        Without it ``data/gpu``, what ships.
    devices : sequence of str
        A word of each device's name; one without a report is "not measured".

    Returns
    -------
    DataFrame
        Index ``device``, ``ceiling``, ``dtype``, ``size``; ``g_per_s`` (copy: GB/s; products: GFLOP/s),
        ``relative_error`` of a product, against float64: near 3e-4 or above, "float32" was computed in TF32;
        ``gpu_percent``, ``gpu_clock_mhz``, ``gpu_power_w``.
    """
    keys = ["device", "ceiling", "dtype", "size"]
    rows: list[dict[str, Any]] = []
    reports = _reports(folder)
    for name in devices:
        found = [report for report in reports if re.search(_word(name), report["device"])]
        rows += [
            {
                "device": f"{name} ({report['backend']})",
                "ceiling": row["name"],
                **row,
                **row["usage"],
                "relative_error": "-" if row["name"] == "copy" else row["relative_error"],
            }
            for report in found
            for row in report["ceilings"]
        ] or [{"device": name}]
    figures = ["relative_error", *READINGS]
    table = pd.DataFrame(rows).reindex(columns=[*keys, "rate_per_s", *figures])
    table["g_per_s"] = table.pop("rate_per_s").astype(float) / 1e9
    return _filled(table[[*keys, "g_per_s", *figures]], keys)


def _filled(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    table = table.astype(object)
    table[keys] = table[keys].where(table[keys].notna(), "-")
    return table.where(table.notna(), NOT_MEASURED).set_index(keys)


def label(records: pd.DataFrame, device: str) -> str:
    """A device's name with the back end of its record in brackets; without a record the name alone.

    >>> label(committed(), "T4")
    'T4'
    """
    found = _rows_of(records, device)["backend"]
    return f"{device} ({found.iloc[0]})" if len(found) else device


def beside(
    own: pd.Series,
    records: pd.DataFrame,
    column: str,
    kind: str,
    *,
    devices: Sequence[str] = ACCELERATORS,
) -> pd.DataFrame:
    """Own figures and those of recorded devices, one column each (`label`); what nobody measured says so.

    Parameters
    ----------
    own : Series
        Index the batch sizes; its name heads its column.
    records : DataFrame
        From `committed`.
    column, kind : str
        Which figure of which work (inference or training) of the course's CNN in float32.
    devices : sequence of str
        A word of each device's name.

    Returns
    -------
    DataFrame
        Index all batch sizes, own and recorded.

    Examples
    --------
    >>> own = pd.Series({1: 0.2}, name="CPU")
    >>> beside(own, committed(), "whole_ms", "inference", devices=["T4"]).to_dict("list")
    {'CPU': [0.2], 'T4': ['not measured']}
    """
    found = {label(records, name): of_device(records, name, kind)[column] for name in devices}
    table = pd.DataFrame({own.name: own, **found}, dtype=float).rename_axis("batch_size")
    return table.astype(object).where(table.notna(), NOT_MEASURED)


def loads(
    records: pd.DataFrame, kind: str, *, devices: Sequence[str] = ACCELERATORS
) -> pd.DataFrame:
    """How busy recorded devices looked, and how much of what they can do they did.

    Parameters
    ----------
    records : DataFrame
        From `committed`; a device without a row in it has one that says "not measured".
    kind : str
        inference or training.
    devices : sequence of str
        A word of each device's name.

    Returns
    -------
    DataFrame
        Index ``device``, ``network``, ``precision``, ``batch_size``; ``examples_per_s``, ``gpu_percent``,
        ``gpu_clock_mhz``, ``gpu_power_w`` while calls ran in a row, ``device_memory_mib``,
        ``energy_j_per_1000`` images, ``floor_percent``.
    """
    keys = ["device", "network", "precision", "batch_size"]
    figures = ["examples_per_s", *READINGS]
    figures += ["device_memory_mib", "energy_j_per_1000", "floor_percent"]
    parts = []
    for name in devices:
        found = _rows_of(records, name)
        rows = found[found["kind"] == kind].assign(device=label(records, name))
        rows = rows.sort_values(keys[1:])
        for reading in READINGS:
            rows[reading] = [usage.get(reading, np.nan) for usage in rows["usage"]]
        parts.append(rows if len(rows) else pd.DataFrame({"device": [name]}))
    return _filled(pd.concat(parts, ignore_index=True).reindex(columns=keys + figures), keys)


def service_times(rows: pd.DataFrame) -> pd.DataFrame:
    """Recorded service times, as an emulated device takes them (`capkit.serving.Device`, ``profile``).

    Parameters
    ----------
    rows : DataFrame
        Inference of one device, from `of_device`.

    Returns
    -------
    DataFrame
        ``images`` and ``service_ms``: quantiles at equal steps, the copies of batch and answer added; empty
        if ``rows`` is.
    """
    times = rows[["quantiles_ms"]].explode("quantiles_ms")["quantiles_ms"].astype(float)
    service_ms = times + (rows["copy_in_ms"] + rows["copy_out_ms"]).reindex(times.index)
    return pd.DataFrame({"images": times.index, "service_ms": service_ms.to_numpy(dtype=float)})
