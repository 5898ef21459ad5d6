"""Model optimisation as options of a plan: smaller or less precise models, with their accuracy and cost."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from capkit.planning.problem import HOURS_A_WEEK, Problem


def judge_variants(
    problem: Problem, variants: pd.DataFrame, *, accuracy_lost: float
) -> pd.DataFrame:
    """What each variant of the model would cost, and whether its accuracy may be believed to be enough.

    Only the model's own call gets faster: the saving of one call is taken off the service time, and what
    the server does around it stays.

    Parameters
    ----------
    problem : Problem
        The plan's problem, measured with the first variant.
    variants : DataFrame
        One row a variant, the one in service first: ``variant``, ``accuracy``, ``change_low`` (lower end of
        the interval of the change of accuracy), ``service_1_ms`` (one call with one image), as chapter 05
        measures them.
    accuracy_lost : float
        Loss of accuracy that is accepted, such as 0.01; a variant whose interval goes below it is not.

    Returns
    -------
    DataFrame
        ``variant, accuracy, accepted, service_ms, servers_max, cost_usd_week``, cheapest first.
    """
    if not accuracy_lost >= 0.0:
        raise ValueError(f"accuracy_lost is a share of at least 0, got {accuracy_lost}")
    now_s, rows = problem.service.service_time_s, []
    base_ms = float(variants["service_1_ms"].iloc[0])
    for row in variants.itertuples():
        service_s = now_s - (base_ms - row.service_1_ms) / 1000.0
        if service_s <= 0.0:
            raise ValueError(
                f"{row.variant} saves more than the whole service time of {now_s:.3g} s"
            )
        service = replace(problem.service, service_time_s=service_s)
        other = replace(problem, service=service, law=problem.law * service_s / now_s)
        needed = other.needed()
        cost = other.fleet(needed).cost_usd_h * HOURS_A_WEEK
        accepted = row.change_low >= -accuracy_lost
        rows.append((row.variant, row.accuracy, accepted, 1000 * service_s, needed.max(), cost))
    columns = ["variant", "accuracy", "accepted", "service_ms", "servers_max", "cost_usd_week"]
    return pd.DataFrame(rows, columns=columns).sort_values("cost_usd_week", ignore_index=True)
