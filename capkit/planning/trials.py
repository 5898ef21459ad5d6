"""What a schedule must survive besides its demand: machines that start late, and a zone that fails."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from capkit.planning.replay import Replay
from capkit.planning.sizing import SLO, Counts, Floats
from capkit.tco import Fleet

STEADY = ("reserved_1y", "reserved_3y")  # there in every hour: nothing starts


def ready_servers(
    hourly: ArrayLike, startup_s: float, *, ahead_s: float = 0.0, period_s: float = 60.0
) -> Counts:
    """Servers that answer in each period of a schedule by the hour, while further ones still start.

    Parameters
    ----------
    hourly : array-like of shape (hours,)
        Servers that the schedule has in each hour.
    startup_s, ahead_s : float
        Seconds from an order to the first answer, and how long before its hour a server is ordered.
    period_s : float
        Length of a period; a period in which a server is still starting does not have it.

    Two more servers, ordered on the hour, miss its first two minutes:

    >>> ready_servers([2, 4], 90.0)[58:64].tolist()
    [2, 2, 2, 2, 4, 4]
    >>> ready_servers([2, 4], 90.0, ahead_s=90.0)[58:64].tolist()
    [2, 2, 4, 4, 4, 4]
    """
    if not (startup_s >= 0.0 and ahead_s >= 0.0):
        raise ValueError(
            f"startup_s and ahead_s must be seconds of at least 0, got {startup_s}, {ahead_s}"
        )
    count = np.asarray(hourly, dtype=np.int64)
    steps = round(3600.0 / period_s)
    late = min(math.ceil(max(startup_s - ahead_s, 0.0) / period_s), steps)
    ready = np.repeat(count, steps).reshape(-1, steps)
    ready[1:, :late] = np.minimum(count[1:], count[:-1])[:, None]
    return np.asarray(ready.ravel())


def rising_hours(hourly: ArrayLike) -> Counts:
    """Hours that have more servers than the one before: those in which a late start hurts."""
    return np.asarray(np.flatnonzero(np.diff(np.asarray(hourly)) > 0) + 1, dtype=np.int64)


def starts(fleet: Fleet) -> pd.DataFrame:
    """Machines that start during the schedule: ``name, purchase, starts`` and ``usd_h``, the price of one.

    Reserved machines run throughout; the others start whenever an hour has more of them than the last.
    """
    keys = ["name", "purchase", "zone"]
    schedule = fleet.schedule[~fleet.schedule["purchase"].isin(STEADY)]
    if schedule.empty:
        return pd.DataFrame({"name": [], "purchase": [], "starts": [], "usd_h": []})
    hours = range(len(fleet.periods))
    counts = schedule.pivot_table("count", "period", keys, "sum", fill_value=0)
    started = counts.reindex(hours, fill_value=0).diff().clip(lower=0).sum()
    paid = fleet.counts.groupby(["name", "purchase"])[["cost_usd", "instance_hours"]].sum()
    table = (
        started.groupby(level=["name", "purchase"]).sum().astype(int).rename("starts").to_frame()
    )
    table["usd_h"] = paid["cost_usd"] / paid["instance_hours"]
    return table.reset_index()


def start_cost_usd(fleet: Fleet, ahead_s: float) -> float:
    """USD for the time between the order of a machine and its hour, over the whole schedule."""
    table = starts(fleet)
    return float((table["starts"] * table["usd_h"]).sum() * ahead_s / 3600.0)


def servers_by_zone(fleet: Fleet, capacity: pd.Series) -> pd.DataFrame:
    """Servers of each zone (columns) in each hour (rows); ``capacity``: servers of a machine, by its name."""
    schedule = fleet.schedule
    servers = schedule.assign(servers=schedule["count"] * schedule["name"].map(capacity))
    table = servers.pivot_table("servers", "period", "zone", "sum", fill_value=0)
    return table.reindex(range(len(fleet.periods)), fill_value=0).astype(np.int64)


def zone_failures(
    by_zone: pd.DataFrame,
    planned_rps: Floats,
    try_hours: Callable[[Counts, Counts], Replay],
    slo: SLO,
    *,
    detection_s: float,
) -> pd.DataFrame:
    """Each zone fails once, in the middle of the hour that it leaves tightest.

    Until the balancer notices, the failed zone's share of the requests is lost; from then on the other
    zones answer all of them, in that hour and in the next.

    Parameters
    ----------
    by_zone : DataFrame
        Servers of each zone (columns) in each hour (rows), as `servers_by_zone` gives them.
    planned_rps : array of shape (hours,)
        Demand in 1/s.
    try_hours : callable
        Replays given hours (their numbers) against servers minute by minute.
    slo : SLO
        Judges the hours; lost requests count as late.
    detection_s : float
        Seconds until the balancer sends nothing more to the failed zone.

    Returns
    -------
    DataFrame
        ``zone, hour, servers, left, lost_percent`` (of the hour's requests), ``late_percent`` (those
        included), ``met``; empty for a fleet in one zone.
    """
    rows = []
    has = by_zone.sum(axis=1).to_numpy()
    for zone in by_zone if by_zone.shape[1] > 1 else []:
        left = has - by_zone[zone].to_numpy()
        hour = int((planned_rps / np.maximum(left, 1)).argmax())
        hours = np.unique([hour, min(hour + 1, len(has) - 1)])
        minutes = np.repeat(left[hours], 60)
        minutes[:30] = has[hour]
        outcome = try_hours(hours, minutes).hours
        lost = (1.0 - left[hour] / has[hour]) * detection_s / 3600.0
        late = outcome["late_share"].to_numpy()[hours == hour][0] + lost
        others = outcome["met"].to_numpy()[hours != hour].all()
        rows.append(
            {
                "zone": zone,
                "hour": hour,
                "servers": has[hour],
                "left": left[hour],
                "lost_percent": 100.0 * lost,
                "late_percent": 100.0 * late,
                "met": bool(late <= 1.0 - slo.percentile and others),
            }
        )
    columns = ["zone", "hour", "servers", "left", "lost_percent", "late_percent", "met"]
    return pd.DataFrame(rows, columns=columns)
