"""Which ways to buy a machine a cheapest fleet may need at all."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from capkit.tco.inputs import COMMITTED, PURCHASES, Terms

Pair = tuple[int, str]  # a row of options, and a purchase


def sold(options: pd.DataFrame, terms: Terms) -> list[Pair]:
    """All pairs that have a price and are not barred."""
    return [
        (option, purchase)
        for purchase in terms.purchases
        for option, price in enumerate(options[PURCHASES[purchase]])
        if not (math.isnan(price) or (options["name"].iloc[option], purchase) in terms.without)
    ]


def replacement(
    options: pd.DataFrame, resources: list[str], one: Pair, other: Pair
) -> tuple[int, float] | None:
    """How many machines of ``one`` replace a machine of ``other``, and what they cost in USD/h, if any do.

    They must have at least as much of every resource and be bought no less firmly. Spot machines count
    against a share, so one stands for others only where the amounts are equal.
    """
    committed = [pair[1] in COMMITTED for pair in (one, other)]
    spot = [pair[1] == "spot" for pair in (one, other)]
    if committed[0] != committed[1] or spot[0] > spot[1]:
        return None
    has, wanted = (options[resources].to_numpy()[pair[0]] for pair in (one, other))
    asked = wanted > 0.0
    if (has[asked] == 0.0).any():
        return None
    copies = math.ceil((wanted[asked] / has[asked]).max(initial=0.0) - 1e-9)
    away = options["spot_interruption"]
    if spot[0] and not (
        np.allclose(copies * has, wanted, rtol=1e-12, atol=0.0) and away[one[0]] <= away[other[0]]
    ):
        return None
    return copies, copies * float(options[PURCHASES[one[1]]].iloc[one[0]])


def undominated(options: pd.DataFrame, resources: list[str], terms: Terms) -> list[Pair]:
    """The pairs without those that others replace at no higher cost.

    Exact as long as nothing counts, limits or starts single machines; where something does, all pairs.
    """
    pairs = sold(options, terms)
    counted = terms.minimum_each or terms.caps or terms.budgets or terms.carried
    if counted or terms.zone_share < 1.0 or terms.minimum_run > 1 or options["startup_usd"].any():
        return pairs
    unlimited = np.isinf(options["limit"].to_numpy())

    def replaces(one: Pair, other: Pair) -> bool:
        found = replacement(options, resources, one, other) if unlimited[one[0]] else None
        price = float(options[PURCHASES[other[1]]].iloc[other[0]])
        return found is not None and found[1] <= price * (1.0 + 1e-12)

    return [
        pair
        for place, pair in enumerate(pairs)
        if not any(
            replaces(other, pair) and (rank < place or not replaces(pair, other))
            for rank, other in enumerate(pairs)
            if rank != place
        )
    ]
