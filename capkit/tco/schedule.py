"""A solution read back: the machines of every period, and what they carry."""

from __future__ import annotations

from itertools import combinations, groupby

import numpy as np
import pandas as pd

from capkit.tco.formulation import TABLED, Formulation
from capkit.tco.program import EVERY, Floats


def read_schedule(formulation: Formulation, values: Floats) -> pd.DataFrame:
    """Machines in use: one row a period, option, purchase, zone and pool."""
    names, tenants = formulation.options["name"], list(formulation.demand)
    pools = [
        " + ".join(
            tenant
            for t, tenant in enumerate(tenants)
            if (t, p) in formulation.assigned and values[formulation.assigned[t, p]] > 0.5
        )
        for p in range(len(tenants))
    ]
    rows = [
        (period, pools[use.pool], use.option, names[use.option], use.purchase, zone + 1, count, use.usd_h)
        for use, count in zip(formulation.columns, values, strict=False)
        if count > 1e-9
        for zone in range(use.zone, use.zone + formulation.zone_copies)
        for period in np.flatnonzero((use.group == EVERY) | (formulation.group == use.group))
    ]  # fmt: skip
    columns = ["period", "pool", "option", "name", "purchase", "zone", "count", "usd_h"]
    table = pd.DataFrame(rows, columns=columns)
    whole = {} if formulation.program.relaxed else {"count": int}
    order = ["period", "pool", "option", "purchase", "zone"]
    return table.astype(whole).sort_values(order, ignore_index=True)


def read_periods(formulation: Formulation, schedule: pd.DataFrame) -> pd.DataFrame:
    """What each period has, costs and needs."""
    demand = sum(formulation.demand.values())
    spent = schedule.assign(
        cost_usd_h=schedule["count"] * schedule["usd_h"], machines=schedule["count"]
    )
    table = spent.groupby("period")[["cost_usd_h", "machines"]].sum()
    table = table.reindex(demand.index, fill_value=0).rename_axis("period").reset_index()
    here = np.where(
        schedule["purchase"] == "spot",
        1.0 - formulation.options["spot_interruption"].to_numpy()[schedule["option"]],
        1.0,
    )
    present = schedule.assign(count=schedule["count"] * here)
    for resource in demand:
        table[f"{resource}_demand"] = demand[resource]
        table[resource], table[f"{resource}_after_loss"] = _carried(formulation, present, resource)
    return table


def _carried(
    formulation: Formulation, schedule: pd.DataFrame, resource: str
) -> tuple[Floats, Floats]:
    """What the machines of each period have of a resource: all of them, and those left at the worst."""
    terms, options = formulation.terms, formulation.options
    tables = terms.carried_options(options) if resource == TABLED else {}
    each = options[resource].to_numpy()
    everything, left = np.zeros((2, formulation.group.size))
    keys = ["period", "pool", "zone", "option"]
    counts = schedule.groupby(keys)["count"].sum().items()
    for (period, _), machines in groupby(counts, key=lambda item: item[0][:2]):
        by_zone = np.zeros(terms.zones)
        sizes: list[list[float]] = [[] for _ in range(terms.zones)]
        for (_, _, zone, option), count in machines:
            if option in tables:
                by_zone[zone - 1] += np.append(0.0, tables[option])[
                    min(int(count + 1e-9), tables[option].size)
                ]
            else:
                by_zone[zone - 1] += count * each[option]
                sizes[zone - 1] += [each[option]] * min(int(np.ceil(count)), terms.spare_machines)
        everything[period] += by_zone.sum()
        left[period] += min(
            sum(by_zone[list(kept)])
            - sum(sorted((s for z in kept for s in sizes[z]), reverse=True)[: terms.spare_machines])
            for kept in combinations(range(terms.zones), terms.zones - terms.lost_zones)
        )
    return everything, left
