"""Calendar effects, calibrated intervals, and forecasts judged by the replicas that they order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capkit.forecasting import (
    Arima,
    Calibrated,
    SeasonalNaive,
    backtest,
    coverage,
    fit,
    plan_ahead,
    provision,
    provision_at,
    repair,
    rolling_forecasts,
    western_holidays,
)

WEEK = 168


def hours(weeks: int, seed: int = 1, spread: float = 0.05) -> pd.Series:
    """A weekly profile with independent noise on a logarithmic scale."""
    rng = np.random.default_rng(seed)
    clock = np.arange(WEEK * weeks)
    shape = 0.5 * np.sin(2 * np.pi * clock / 24) + 0.3 * np.sin(2 * np.pi * clock / WEEK)
    index = pd.date_range("2018-01-01", periods=clock.size, freq="h")
    return pd.Series(1000 * np.exp(shape + spread * rng.standard_normal(clock.size)), index)


# ---------------------------------------------------------------- the calendar


def test_easter_is_where_the_church_has_it() -> None:
    days = western_holidays(2016, 2020)
    sundays = days.index[days == "Easter Sunday"].strftime("%Y-%m-%d").tolist()
    assert sundays == ["2016-03-27", "2017-04-16", "2018-04-01", "2019-04-21", "2020-04-12"]
    assert (days[days == "Whit Monday"].index.day_of_week == 0).all()
    assert days["2019-12-25"] == "Christmas"


def test_effect_is_found_taken_out_and_put_back() -> None:
    plain, fairs = (
        hours(33, spread=0.0),
        pd.DatetimeIndex(["2018-03-13", "2018-05-17", "2018-07-31"]),
    )
    busy = plain.copy()
    busy[busy.index.normalize().isin(fairs)] *= 1.5
    holidays = pd.Series("fair", fairs)
    known = busy[:"2018-07-29"]
    fitted = fit(known, "seasonal_naive", holidays=holidays)
    assert np.exp(fitted.effects["fair"]) == pytest.approx(1.5, rel=0.02)
    week = fitted.forecast(WEEK).quantile(0.5)
    assert week.to_numpy() == pytest.approx(busy[week.index].to_numpy(), rel=0.02)
    blind = fit(known, "seasonal_naive").forecast(WEEK).quantile(0.5)
    assert abs(blind - busy[blind.index]).max() > 20 * abs(week - busy[week.index]).max()


def test_week_after_a_holiday_does_not_repeat_it() -> None:
    data, day = hours(20, spread=0.0), pd.Timestamp("2018-04-19")
    holidays = pd.Series("strike", pd.DatetimeIndex(["2018-02-15", day]))
    clean = data.copy()
    data[data.index.normalize().isin(holidays.index)] *= 0.5
    start = fit(data[:"2018-04-15"], "seasonal_naive", holidays=holidays)
    moved = start.extend(data["2018-04-16":"2018-04-22"]).forecast(WEEK).quantile(0.5)
    assert moved.to_numpy() == pytest.approx(clean[moved.index].to_numpy(), rel=0.02)


def test_holiday_that_was_never_seen_is_an_ordinary_day() -> None:
    data = hours(10)
    holidays = pd.Series("new", pd.DatetimeIndex(["2018-03-13"]))
    with_calendar = fit(data, "seasonal_naive", holidays=holidays).forecast(WEEK).table()
    pd.testing.assert_frame_equal(
        with_calendar, fit(data, "seasonal_naive").forecast(WEEK).table(), check_exact=True
    )


def test_calendar_does_not_look_ahead() -> None:
    data, holidays = hours(16), western_holidays(2018, 2018)
    origins = data.index[[WEEK * 13, WEEK * 14]]
    poisoned = data.copy()
    poisoned[origins[-1] :] = 1e9
    for one, other in zip(
        *(
            rolling_forecasts(s, "seasonal_naive", 24, origins=origins, holidays=holidays)
            for s in (data, poisoned)
        ),
        strict=True,
    ):
        pd.testing.assert_frame_equal(one.table(), other.table(), check_exact=True)


@pytest.mark.parametrize(
    ("holidays", "message"),
    [
        (pd.Series(["fair"], [0]), "names by date"),
        (pd.Series("fair", pd.DatetimeIndex(["2018-02-01 07:00"])), "is not midnight"),
        (pd.Series("fair", pd.DatetimeIndex(["2018-02-01"] * 2)), "is there twice"),
    ],
)
def test_wrong_calendar_is_refused(holidays: pd.Series, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(hours(4), "seasonal_naive", holidays=holidays)


# ---------------------------------------------------------------- calibrated intervals


def test_calibrated_intervals_hold_where_the_gaussian_ones_do_not() -> None:
    data = hours(80, spread=0.0)
    rng = np.random.default_rng(5)
    data = data * np.exp(0.1 * rng.standard_t(2, data.size))  # heavy tails
    model = Arima((0, 0, 0), difference=WEEK, name="weekly")
    table = backtest(data, [model, Calibrated(model, 30)], WEEK, origins=25).set_index("model")
    assert table.loc["weekly", "coverage_80"] > 0.86
    assert table.loc["weekly_calibrated", "coverage_80"] == pytest.approx(0.80, abs=0.03)
    assert table.loc["weekly_calibrated", "coverage_95"] == pytest.approx(0.95, abs=0.02)
    assert table.loc["weekly_calibrated", "wape"] == pytest.approx(table.loc["weekly", "wape"])


def test_calibration_is_that_of_the_forecasts_made() -> None:
    data = hours(20)
    fitted = fit(data, Calibrated(SeasonalNaive(), 10))
    forecast = fitted.forecast(WEEK)
    assert forecast.intervals == "empirical"
    log = np.log1p(data / (0.01 * data.mean())).to_numpy().reshape(20, WEEK)
    errors = log[10:] - log[9:-1]
    wide = np.pad(errors, ((0, 0), (2, 2)), mode="edge")
    pooled = np.concatenate([wide[:, k : k + WEEK] for k in range(5)])
    assert forecast.prediction.errors == pytest.approx(pooled)
    inside = coverage(data[-WEEK:], *(getattr(forecast, b)(0.95) for b in ("lower", "upper")))
    assert inside > 0.9


def test_calibrated_moves_on_and_does_not_look_ahead() -> None:
    data = hours(20)
    origins = data.index[[WEEK * 15, WEEK * 15 + 30, WEEK * 17]]
    poisoned = data.copy()
    poisoned[origins[-1] :] = 1e9
    model = Calibrated(SeasonalNaive(), 8)
    rolled = [list(rolling_forecasts(s, model, 48, origins=origins)) for s in (data, poisoned)]
    for one, other in zip(*rolled, strict=True):
        pd.testing.assert_frame_equal(one.table(), other.table(), check_exact=True)


def test_calibration_needs_weeks_and_reaches_one_season() -> None:
    with pytest.raises(ValueError, match="too few for 52 seasons of 168"):
        fit(hours(30), Calibrated(SeasonalNaive()))
    with pytest.raises(ValueError, match="reach one season, 168 steps; got 200"):
        fit(hours(20), Calibrated(SeasonalNaive(), 8)).forecast(200)


# ---------------------------------------------------------------- decisions


def test_plan_takes_each_stamp_from_a_forecast_old_enough() -> None:
    data = hours(10)
    origins = data.index[WEEK * 8 : WEEK * 9 : 24]
    forecasts = list(rolling_forecasts(data, "seasonal_naive", 36, origins=origins))
    plan = plan_ahead(forecasts, 0.9, lead=12, every=24)
    assert plan.index.equals(
        pd.date_range(origins[0] + pd.Timedelta(hours=12), periods=7 * 24, freq="h")
    )
    assert plan.iloc[30] == forecasts[1].quantile(0.9).iloc[12 + 6]
    with pytest.raises(ValueError, match="need forecasts of 44 steps, got 36"):
        plan_ahead(forecasts, 0.9, lead=20, every=24)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)), min_size=3, max_size=40),
    st.floats(1, 5e3),
    st.floats(0, 0.9),
)
def test_equal_violations_by_the_least_factor(
    pairs: list[tuple[float, float]], rate: float, share: float
) -> None:
    came, planned = np.array(pairs).T
    bought = provision_at(came, planned, rate, share)
    assert bought.short_share <= share + 1e-9
    less = provision(came, planned * bought.factor * (1 - 1e-6), rate)
    assert less.short_share > share or (less.replicas == 1).all() or bought.factor < 1e-6


def test_perfect_forecast_needs_the_least() -> None:
    came = hours(3).to_numpy()
    perfect = provision(came, came, 100.0)
    assert perfect.short_share == 0.0
    rng = np.random.default_rng(2)
    noisy = provision_at(came, came * np.exp(0.2 * rng.standard_normal(came.size)), 100.0, 0.0)
    assert noisy.replica_steps > perfect.replica_steps
    assert noisy.factor > 1.0


def test_provision_refuses_what_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="positive replica_rate"):
        provision([1.0], [1.0], 0.0)
    with pytest.raises(ValueError, match="equal, non-empty shapes"):
        provision([1.0, 2.0], [1.0], 1.0)
    with pytest.raises(ValueError, match="short_share < 1 and a positive plan"):
        provision_at([1.0], [1.0], 1.0, 1.0)


# ---------------------------------------------------------------- repair without the future


def test_causal_repair_does_not_look_ahead() -> None:
    data = hours(4)
    data.iloc[[5, WEEK * 2 + 7]] = np.nan
    fixed, log = repair(data, causal=True)
    assert fixed.iloc[5] == data.iloc[4]
    assert fixed.iloc[WEEK * 2 + 7] == data.iloc[WEEK + 7]
    assert log["repair"].tolist() == ["filled", "filled"]
    other = data.copy()
    other.iloc[WEEK * 2 + 8 :] = 1e9
    pd.testing.assert_series_equal(
        repair(other, causal=True)[0][: WEEK * 2 + 8], fixed[: WEEK * 2 + 8]
    )
