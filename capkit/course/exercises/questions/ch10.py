"""Questions of chapter 10: controllers, watching, and load that moves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from capkit.autoscaling import hpa_replicas, stabilized
from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number, Properties

Alarm = Callable[[np.ndarray], Any]
Earlier = Sequence[tuple[float, int]]


@question(
    "10.1",
    "Pods that are starting have been ordered already. What does the autoscaler take their use for while it scales up?",
    "All pods count; those that start are idle. Mean use over the target, times the pods, rounded up.",
    "`autoscaling.hpa_replicas([use] * ready, target, unready=starting)`",
)
def next_replicas(ready: int, starting: int, use: float, target: float) -> Number:
    """Replicas that the autoscaler wants while some are still starting."""
    pods, counted = ready + starting, ready * use / target
    return Number(
        float(hpa_replicas([use] * ready, target, unready=starting)),
        "replicas",
        tolerance=0.0,
        slips={
            "That counts the pods that are starting as busy as the others.": float(
                math.ceil(pods * use / target - 1e-9)
            ),
            "That orders the pods that are starting once more.": float(
                math.ceil(counted - 1e-9) + starting
            ),
            "The autoscaler rounds up.": float(math.floor(counted)),
            "There is no part of a pod.": counted,
        },
    )


def _wanted(current: int, use: float, target: float) -> int:
    return hpa_replicas([use] * current, target)


def _plain(current: int, use: float, target: float) -> int:
    return math.ceil(current * use / target - 1e-9)


@question(
    "10.2",
    "First the tolerance: while use over target is within 0.1 of 1, the count stays.",
    "Then the window, only on the way down: the highest of what was recommended in the last 300 s, now included.",
    "The window keeps servers; it never orders new ones. `autoscaling.stabilized(current, wanted, earlier)`",
)
def steady_replicas() -> Function:
    """The autoscaler's next count after tolerance and stabilisation window."""
    cases: list[tuple[int, float, float, Earlier]] = [
        (4, 0.90, 0.60, []),
        (10, 0.54, 0.50, []),
        (10, 0.30, 0.60, [(60.0, 9), (400.0, 12)]),
        (10, 0.20, 0.50, [(60.0, 12)]),
        (8, 0.15, 0.60, [(310.0, 8)]),
    ]

    def highest(current: int, use: float, target: float, earlier: Earlier) -> int:
        recent = [count for age, count in earlier if age <= 300.0]
        return max([_wanted(current, use, target), *recent])

    return Function(
        lambda current, use, target, earlier: float(
            stabilized(current, _wanted(current, use, target), earlier)
        ),
        cases,
        "replicas",
        tolerance=0.0,
        slips={
            "It has neither tolerance nor window yet.": lambda c, u, t, _: float(_plain(c, u, t)),
            "The tolerance is there, the window is not.": lambda c, u, t, _: float(
                _wanted(c, u, t)
            ),
            "The window is there, the tolerance is not.": lambda c, u, t, e: float(
                stabilized(c, _plain(c, u, t), e)
            ),
            "The window keeps servers; it must not order more than there are.": lambda c, u, t, e: (
                float(highest(c, u, t, e))
            ),
            "Recommendations older than 300 s no longer count.": lambda c, u, t, e: float(
                stabilized(c, _wanted(c, u, t), e, down_s=math.inf)
            ),
        },
    )


@question(
    "10.3",
    "A histogram knows how many requests were at most as slow as each limit, and nothing in between.",
    "Which of the limits is the last one that does not exceed the target? All above it may be late.",
    "100 x (1 - count up to that limit / all).",
)
def late_at_most(counts: pd.Series, slo_latency_ms: float) -> Number:
    """The largest share of late requests that a cumulative histogram leaves possible, in per cent."""
    limits, total = counts.index.to_numpy(dtype=float), float(counts.iloc[-1])
    below = float(counts[limits <= slo_latency_ms].max()) if limits[0] <= slo_latency_ms else 0.0
    above = float(counts[limits >= slo_latency_ms].min())
    finite = counts[np.isfinite(limits)]
    line = float(np.interp(slo_latency_ms, [0.0, *finite.index], [0.0, *finite]))
    return Number(
        100.0 * (1.0 - below / total),
        "%",
        slips={
            "That is the least share: those of the target's own bucket may be late too.": 100.0
            * (1.0 - above / total),
            "That is a straight line through the bucket: a guess, not a limit.": 100.0
            * (1.0 - line / total),
            "That is the share that is surely in time.": 100.0 * below / total,
            "That is the share inside the target's bucket.": 100.0 * (above - below) / total,
        },
    )


def _rounds(servers: int, enough: int, ratio: float, *, whole: bool = True) -> int:
    count, rounds = float(servers), 0
    while count < enough:
        count = math.ceil(count * ratio - 1e-9) if whole else count * ratio
        rounds += 1
    return rounds


@question(
    "10.4",
    "After the jump the CPU is full. What is the ratio that the autoscaler sees, and what does it order?",
    "It sees 1 / target, and orders the servers times that, rounded up. While they start, it orders no more.",
    "Count the rounds until there are enough: each takes one start-up.",
)
def minutes_until_enough(servers: int, target: float, enough: int, startup_s: float) -> Number:
    """Minutes until an autoscaler on CPU has enough servers after a jump, start-ups only."""
    minutes = startup_s / 60.0
    return Number(
        _rounds(servers, enough, 1.0 / target) * minutes,
        "minutes",
        tolerance=0.03,
        slips={
            "In one round only if the metric said how much is missing; CPU ends at 100 %.": minutes,
            "The policy lets it double, but the ratio does not ask for so much.": _rounds(
                servers, enough, 2.0
            )
            * minutes,
            "Each round orders whole servers, rounded up.": _rounds(
                servers, enough, 1.0 / target, whole=False
            )
            * minutes,
            "That is the number of rounds; each takes a start-up.": float(
                _rounds(servers, enough, 1.0 / target)
            ),
        },
    )


@question(
    "10.5",
    "Of n servers a quarter may be missing, rounded down. How many answer then?",
    "The smallest n for which n - n // 4 is enough: try them one by one.",
)
def before_a_rollout(needed: int) -> Number:
    """Servers that must be there so that enough answer while a quarter is missing."""
    before = next(n for n in range(needed, 2 * needed + 4) if n - n // 4 >= needed)
    return Number(
        float(before),
        "servers",
        tolerance=0.0,
        slips={
            "A quarter of what is there is missing, not a quarter of what is needed.": float(
                math.ceil(1.25 * needed)
            ),
            "That is enough, but one fewer is too: the missing quarter is rounded down.": float(
                math.ceil(needed / 0.75)
            ),
            "Nothing is left for the quarter that is missing.": float(needed),
            "That is another reserve of a zone; a rollout takes less.": 2.0 * needed,
        },
    )


@question(
    "10.6",
    "Two bills are added for each controller: its servers, and its missed hours at their price.",
    "Whom can nobody run? Leave the oracle out.",
    "`(table['cost_usd'] + price * table['hours_missed']).min()` over the others.",
)
def best_controller(controllers: pd.DataFrame, missed_hour_usd: float) -> Number:
    """Least cost of servers and missed hours together that a controller without foresight has, in USD."""
    total = controllers["cost_usd"] + missed_hour_usd * controllers["hours_missed"]
    real = controllers["controller"] != "oracle"
    best = total[real].idxmin()
    usd, missed = controllers["cost_usd"], controllers["hours_missed"]
    return Number(
        float(total[best]),
        "USD",
        tolerance=0.001,
        slips={
            "That is the oracle, which nobody can run.": float(total[~real].min()),
            "These are that controller's servers only; its missed hours cost too.": float(
                usd[best]
            ),
            "That controller misses fewest hours, but all in all another one costs less.": float(
                total[real][missed[real] == missed[real].min()].min()
            ),
            "That controller has the cheapest servers; what do its missed hours cost?": float(
                total[usd[real].idxmin()]
            ),
            "These are the cheapest servers alone; what do the missed hours cost?": float(
                usd[real].min()
            ),
        },
    )


@question(
    "10.7",
    "An hour of the week is compared with the same hour of the weeks before: `monitoring.robust_z(values, season=168, history=8)`.",
    "One hour is no shift. Add up what lasts: `monitoring.cusum(score, allowance=..., ceiling=..., upward=True)`, then `monitoring.alarms(sums, threshold)`.",
    "Too many false alarms: a larger allowance or threshold. Too late: a smaller one. A ceiling of twice the threshold lets an alarm end.",
)
def alarm_of_a_shift(
    came: ArrayLike, shift_hour: int, rise: float, delay_h: int, false_alarms: int
) -> Properties:
    """An alarm that rings soon after a shift of demand, seldom before it, and knows no future.

    A week earlier the same shift must ring too: an alarm by the calendar does not.
    """
    counts = np.asarray(came, dtype=float)
    earlier_shift = shift_hour - 168
    shifted_earlier = counts.copy()
    shifted_earlier[earlier_shift:shift_hour] *= rise

    def flags(alarm: Alarm, seen: np.ndarray) -> np.ndarray:
        return np.asarray(alarm(seen.copy()), dtype=float)

    def shaped(alarm: Alarm) -> Any:
        found = alarm(counts.copy())
        if found is ...:
            return found
        return np.shape(found) == counts.shape and np.isin(found, (0.0, 1.0)).all()

    def knows_no_future(alarm: Alarm) -> bool:
        found = flags(alarm, counts)
        futures = itertools.product((counts.size // 2, shift_hour), (0.0, 3.0))
        others = [(hour, np.append(counts[:hour], x * counts[hour:])) for hour, x in futures]
        return all((flags(alarm, seen)[:hour] == found[:hour]).all() for hour, seen in others)

    def rings(alarm: Alarm, seen: np.ndarray, hour: int) -> bool:
        return bool(flags(alarm, seen)[hour : hour + delay_h].any())

    def false_starts(alarm: Alarm) -> int:
        before = flags(alarm, counts)[:shift_hour]
        return int((np.diff(before, prepend=0.0) > 0.0).sum())

    return Properties(
        {
            f"A function is asked for that gives one True or False for each of {counts.size} hours.": shaped,
            "With another future it says something else of the hours before: it looks ahead.": knows_no_future,
            "It rings already when demand shifts: that is another alarm.": lambda alarm: (
                not flags(alarm, counts)[shift_hour - 1]
            ),
            f"It does not ring within {delay_h} hours of the shift.": lambda alarm: rings(
                alarm, counts, shift_hour
            ),
            f"It does not ring within {delay_h} hours of a shift that comes a week earlier.": lambda alarm: (
                rings(alarm, shifted_earlier, earlier_shift)
            ),
            f"Before the shift it gives more than {false_alarms} false alarms.": (
                lambda alarm: false_starts(alarm) <= false_alarms
            ),
        }
    )


@question(
    "10.8",
    "How many requests are in flight in a fleet that has enough servers, each of which works on one at a time?",
    "About one for each busy server, so fewer than one for each server. What does the metric then ask for?",
)
def trap_of_two_in_flight() -> Choice:
    """Why a target above one request in flight a server lets the fleet swing."""
    return Choice(
        "fewer",
        {
            "ceiling": "Requests in flight have no ceiling; it is a utilisation that has one.",
            "start": "The start-up is the same for the target of 0.8, whose fleet does not swing so.",
            "noise": "The controller of the chapter sees a mean without noise, and still swings.",
        },
    )
