"""Questions of chapter 01: what a plan is for, and its ten lines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number


@question(
    "01.1",
    "The fleet is as large as the highest hour asks for. How much of it does an average hour use?",
    "Mean over maximum of the hourly counts, times 100.",
)
def use_of_the_fleet(counts: ArrayLike) -> Number:
    """Average use of a fleet that is bought for the highest hour, in per cent."""
    hours = np.asarray(counts, dtype=float)
    ratio = float(hours.mean() / hours.max())
    return Number(
        100.0 * ratio,
        "%",
        slips={
            "That is the share that stands idle.": 100.0 * (1.0 - ratio),
            "That is the highest hour over the mean.": 1.0 / ratio,
            "That is with the median hour.": 100.0 * float(np.median(hours) / hours.max()),
        },
    )


@question(
    "01.2",
    "When one of the zones is gone, the others must hold all the servers that are needed.",
    "Servers a zone: needed over (zones - 1), rounded up. Then all zones.",
)
def servers_in_zones(needed: int, zones: int) -> Number:
    """Servers to buy so that ``needed`` are left when one of ``zones`` equal zones is lost."""
    if zones < 2:
        raise ValueError(f"of {zones} zone nothing is left when one is lost")
    each = math.ceil(needed / (zones - 1))
    return Number(
        float(zones * each),
        "servers",
        tolerance=0.0,
        slips={
            "That is one server more; but a whole zone is lost, not one server.": needed + 1.0,
            "That is what is left after the loss; what must be bought?": float(needed),
            "That is a second copy of everything; with more than two zones less will do.": 2.0
            * needed,
            "A zone cannot hold part of a server: round up in each zone.": zones
            * needed
            / (zones - 1),
        },
    )


@question(
    "01.3",
    "Nobody sells half a machine.",
    "Round the machines up before they are priced; a week has 168 hours.",
)
def week_of_machines() -> Function:
    """Cost of a week in USD of servers that come several to a machine."""
    return Function(
        lambda servers, servers_a_machine, usd_h: (
            math.ceil(servers / servers_a_machine) * usd_h * 168.0
        ),
        [(33, 8, 0.34), (16, 16, 0.68), (5, 2, 0.085)],
        "USD a week",
    )


@question(
    "01.4",
    "A reserved machine is paid for in all hours, used or not.",
    "It pays from the share of hours at which on-demand hours cost as much: what share of the on-demand price is the other?",
)
def break_even(on_demand_usd_h: float, reserved_usd_h: float) -> Number:
    """Share of the hours, in per cent, from which a reserved machine is cheaper."""
    share = reserved_usd_h / on_demand_usd_h
    return Number(
        100.0 * share,
        "% of the hours",
        slips={
            "That is the discount; a machine that runs less than that is far from paying.": 100.0
            * (1.0 - share),
            "That is the on-demand price over the reserved one.": 100.0 / share,
        },
    )


@question(
    "01.5",
    "A formula for the hour sees one rate. What does an hour consist of?",
    "Look at the figure of the busiest hour, minute by minute, and at the black line in it.",
)
def why_the_plan_missed() -> Choice:
    """Why a plan for the busiest hour misses within that hour."""
    return Choice(
        "minutes",
        {
            "formula": "In its own world, a steady rate, the simulation confirmed it.",
            "service": "The service times are the measured ones in every row of the table.",
            "chance": "The trials share their draws, and the row for the busiest minute passes with them.",
        },
    )
