"""Questions of chapter 07: what a forecast is worth, how to test it, and which quantile to buy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number, Properties
from capkit.forecasting import wape

SEASON_H = 168


@question(
    "07.1",
    "The errors of all hours, without their signs, against all that came.",
    "Sum of |came - forecast| over the sum of what came, times 100. `forecasting.wape` gives the share.",
)
def error_of_the_week(came: ArrayLike, forecast: ArrayLike) -> Number:
    """WAPE of a forecast in per cent."""
    actual, made = np.asarray(came, dtype=float), np.asarray(forecast, dtype=float)
    error = np.abs(actual - made)
    return Number(
        100.0 * wape(actual, made),
        "%",
        tolerance=0.005,
        slips={
            "That is the mean of each hour's percentage: nights count as much as peaks.": 100.0
            * float((error / actual).mean()),
            "The errors are over the forecast; they are set against what came.": 100.0
            * float(error.sum() / made.sum()),
            "With their signs the errors cancel.": 100.0
            * float((made.sum() - actual.sum()) / actual.sum()),
            "With their signs the errors cancel: too much in one hour pays for too little in another.": 100.0
            * float((actual.sum() - made.sum()) / actual.sum()),
            "That squares the errors: large ones count more than once.": 100.0
            * float(np.sqrt((error**2).mean()) / actual.mean()),
            "That is the mean error in requests/s.": float(error.mean()),
        },
    )


@question(
    "07.2",
    "Feed the forecast back: what happens to its distance from the level in every hour?",
    "The distance is multiplied by phi in every hour: after h hours phi to the power of h is left.",
    "The smallest whole h with phi ** h <= share: log(share) / log(phi), rounded up.",
)
def hours_of_memory(phi: float, share: float) -> Number:
    """Whole hours until an AR(1)'s forecast has come close to its level."""
    hours = math.log(share) / math.log(phi)
    return Number(
        float(math.ceil(hours)),
        "hours",
        tolerance=0.0,
        slips={
            "Whole hours: the first one in which so little is left.": hours,
            "In that hour a little more is left.": float(math.floor(hours)),
            "The distance shrinks by the same share in every hour, not by the same amount.": float(
                math.ceil((1.0 - share) / (1.0 - phi))
            ),
            "By then that share is gone; when is only that share left?": float(
                math.ceil(math.log(1.0 - share) / math.log(phi))
            ),
            "That is until half is left.": float(math.ceil(math.log(0.5) / math.log(phi))),
        },
    )


@question(
    "07.3",
    "Two costs give one quantile: what a missing unit costs, over both costs together.",
    "The upper end of an 80 % interval leaves 10 % above it; that of a 95 % interval 2.5 %.",
    "Both quantiles stand in the table of the forecast, in the row of the hour.",
)
def step_to_the_higher_quantile(hour: pd.Series) -> Number:
    """Requests/s more to plan for where a missing unit costs 39 times an idle one instead of 9 times."""
    columns = ["mean_rps", "upper_80_rps", "upper_95_rps"]
    mean, q90, q975 = (float(hour[column]) for column in columns)
    return Number(
        q975 - q90,
        "requests/s",
        slips={
            "That is from the mean to the higher quantile; the old plan was above the mean.": q975
            - mean,
            "That is the old plan's own step above the mean.": q90 - mean,
            "That is the new plan itself; the difference is asked for.": q975,
            "That is the old plan itself.": q90,
        },
    )


def _repeated(series: NDArray[np.float64], origin: int, hours: int) -> NDArray[np.float64]:
    return np.resize(series[origin - SEASON_H : origin], hours)


@question(
    "07.4",
    "At the origin, which of the values that the forecast reads have been measured?",
    "Two weeks ahead the hour one week before lies in the future too. What is the last week that is known?",
    "Repeat the week before the origin: `np.resize(series[origin - 168 : origin], hours)`.",
)
def honest_backtest() -> Function:
    """WAPE of repeating the last known week, from an origin that sees nothing behind it."""
    rng, hours = np.random.default_rng(7), np.arange(6 * SEASON_H)
    wave = 100.0 + 40.0 * np.sin(hours * 2 * np.pi / 24) + 20.0 * np.sin(hours * 2 * np.pi / 168)
    series = wave * (1.0 + 0.2 * (hours // SEASON_H)) * rng.uniform(0.95, 1.05, hours.size)

    def score(
        guess: Callable[[NDArray[np.float64], int, int], NDArray[np.float64]],
    ) -> Callable[..., float]:
        return lambda series, origin, hours: wape(
            series[origin : origin + hours], guess(series, origin, hours)
        )

    return Function(
        score(_repeated),
        [(series, 336, 168), (series, 336, 336), (series, 400, 500)],
        "share",
        slips={
            "Behind the first week it still reads values from after the origin.": score(
                lambda s, origin, h: s[origin - SEASON_H : origin - SEASON_H + h]
            ),
            "That repeats the last hour; the last week is to be repeated.": score(
                lambda s, origin, h: np.full(h, s[origin - 1])
            ),
            "That goes back two weeks for every hour: older than need be, and further ahead it looks ahead again.": score(
                lambda s, origin, h: s[origin - 2 * SEASON_H : origin - 2 * SEASON_H + h]
            ),
        },
    )


@question(
    "07.5",
    "In each hour either something idles or something is missing.",
    "For each plan: sum of idle x price of idle + sum of missing x price of missing; the prices are for 1,000 requests/s.",
    "The plan of the mean less the plan of the quantile. `(plan - came).clip(lower=0)` is what idles.",
)
def saved_by_the_quantile(
    came: ArrayLike,
    mean_plan: ArrayLike,
    quantile_plan: ArrayLike,
    usd_idle: float,
    usd_missing: float,
) -> Number:
    """USD that the hours that came cost less with the quantile's plan than with the mean's."""
    actual = np.asarray(came, dtype=float)

    def usd(plan: ArrayLike, idle_price: float, missing_price: float) -> float:
        more = np.asarray(plan, dtype=float) - actual
        idle, missing = np.maximum(more, 0.0).sum(), np.maximum(-more, 0.0).sum()
        return float(idle * idle_price + missing * missing_price) / 1000.0

    def saved(idle_price: float, missing_price: float) -> float:
        return usd(mean_plan, idle_price, missing_price) - usd(
            quantile_plan, idle_price, missing_price
        )

    value = saved(usd_idle, usd_missing)
    return Number(
        value,
        "USD",
        slips={
            "The two prices are exchanged.": saved(usd_missing, usd_idle),
            "What idles costs something too.": saved(0.0, usd_missing),
            "What is missing costs something too.": saved(usd_idle, 0.0),
            "The prices are for 1,000 requests/s.": 1000.0 * value,
            "That is what the hours cost with the quantile's plan.": usd(
                quantile_plan, usd_idle, usd_missing
            ),
            "That is what the hours cost with the mean's plan.": usd(
                mean_plan, usd_idle, usd_missing
            ),
        },
    )


@question(
    "07.6",
    "Every hour asks for a factor of its own: what came over what came one week before.",
    "One hour in ten may ask for more: which quantile of those factors is it?",
    "Begin below, and raise the factor by 0.01 until `(came > factor * week_before).mean()` is 0.1 at most.",
)
def factor_on_last_week(came: ArrayLike, week_before: ArrayLike, short_share: float) -> Properties:
    """The smallest factor on last week's hours that leaves few enough hours short."""
    actual, before = np.asarray(came, dtype=float), np.asarray(week_before, dtype=float)

    def short(factor: float) -> bool:
        return bool((actual > factor * before).mean() > short_share)

    return Properties(
        {
            "A factor is a positive number, in whole hundredths.": lambda f: (
                f > 0 and math.isclose(100 * f, round(100 * f), abs_tol=1e-6)
            ),
            "With this factor too many hours are short.": lambda f: not short(f),
            "A factor that is smaller by 0.01 would do as well.": lambda f: short(f - 0.01),
        }
    )


@question(
    "07.7",
    "If the hours were independent, how far from 80 % would the share of 168 of them scatter? About 6 points.",
    "A week that runs high: does it run high for one hour?",
)
def why_a_week_misses_its_level() -> Choice:
    """Why one week's coverage can be far from the level though the model is sound."""
    return Choice(
        "together",
        {
            "few": "Were they independent, so many hours would come within about 6 points of the level, nearly always.",
            "median": "The interval's ends are quantiles; whether its centre is a mean or a median does not move them.",
            "level": "In the backtest, over many weeks, the level is nearly kept.",
        },
    )
