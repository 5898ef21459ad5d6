"""Forecasting: known answers, properties of the intervals, no look-ahead, and input that is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from series_case import hours

from capkit.datasets import load_classic
from capkit.forecasting import (
    MODELS,
    Arima,
    NotConvergedError,
    Prediction,
    SeasonalNaive,
    backtest,
    check_series,
    fit,
    newsvendor_ratio,
    repair,
    seasons_of,
)


@pytest.fixture(scope="module")
def air() -> pd.Series:
    return load_classic("air_passengers")


# ---------------------------------------------------------------- known answers


def test_airline_model_by_maximum_likelihood(air: pd.Series) -> None:
    # R: arima(log(AirPassengers), c(0,1,1), c(0,1,1)); differences taken first, as R's digits want
    log = np.log(air.to_numpy())
    differences = np.diff(log[12:] - log[:-12])
    state = Arima((0, 0, 1), (0, 0, 1, 12), log=False).fit(differences, (12,))
    assert state.result.params == pytest.approx([-0.4018, -0.5569, 0.0013477], abs=5e-5)
    assert state.result.llf == pytest.approx(244.696, abs=5e-4)
    inside = fit(np.log(air), Arima((0, 1, 1), (0, 1, 1, 12), log=False)).state
    assert inside.result.params == pytest.approx([-0.4018, -0.5569, 0.0013477], abs=3e-4)
    assert inside.result.llf == pytest.approx(244.696, abs=1e-3)


def test_airline_hold_out_of_1960(air: pd.Series) -> None:
    known, truth = np.log(air[:"1959"]), air["1960"]
    median = np.exp(fit(known, Arima((0, 1, 1), (0, 1, 1, 12), log=False)).forecast(12).mean)
    assert float((median / truth - 1).abs().mean()) == pytest.approx(0.0290, abs=5e-5)
    last_year = fit(air[:"1959"], "seasonal_naive").forecast(12).quantile(0.5)
    assert float((last_year / truth - 1).abs().mean()) == pytest.approx(0.0999, abs=1.5e-4)


def test_server_users_by_maximum_likelihood() -> None:
    state = fit(load_classic("www_usage"), Arima((3, 1, 0), log=False), season_lengths=()).state
    assert state.result.params == pytest.approx([1.1513, -0.6612, 0.3407, 9.363], abs=5e-4)
    assert state.result.llf == pytest.approx(-252.0, abs=0.05)


def test_newsvendor_quantile() -> None:
    ratio = newsvendor_ratio(0.50, 0.15)
    assert ratio == pytest.approx(0.7692, abs=5e-5)
    demand = Prediction(np.array([11.73]), sd=np.array([4.74]))
    assert demand.quantiles(np.array([ratio]))[0, 0] == pytest.approx(15.22, abs=0.005)


def test_newsvendor_quantile_makes_the_cost_least() -> None:
    draws = np.random.default_rng(1).normal(11.73, 4.74, 200_000)
    cost = {
        q: 0.50 * np.maximum(draws - q, 0).mean() + 0.15 * np.maximum(q - draws, 0).mean()
        for q in np.arange(14.0, 16.5, 0.1).round(1)
    }
    assert min(cost, key=cost.__getitem__) == pytest.approx(15.2, abs=0.11)


# ---------------------------------------------------------------- models against other ways


@pytest.mark.parametrize(
    "model",
    [
        Arima((2, 0, 1), trend="c", log=False),
        Arima((0, 1, 1), (0, 1, 1, 12), log=False),
        Arima((1, 1, 0), log=False),
    ],
)
def test_mean_and_intervals_equal_statsmodels(air: pd.Series, model: Arima) -> None:
    fitted = fit(np.log(air), model)
    theirs = fitted.state.result.get_forecast(24)
    forecast = fitted.forecast(24)
    assert forecast.mean.to_numpy() == pytest.approx(theirs.predicted_mean, rel=1e-9)
    bounds = np.column_stack([forecast.lower(0.95), forecast.upper(0.95)])
    assert bounds == pytest.approx(theirs.conf_int(alpha=0.05), rel=2e-3)


def test_difference_taken_beforehand_is_the_seasonal_difference() -> None:
    data = np.log(hours(900))
    inside = fit(data, Arima((1, 0, 0), (0, 1, 0, 24), log=False)).forecast(60)
    before = fit(data, Arima((1, 0, 0), difference=24, log=False)).forecast(60)
    assert before.mean.to_numpy() == pytest.approx(inside.mean.to_numpy(), rel=1e-3)
    assert before.upper(0.9).to_numpy() == pytest.approx(inside.upper(0.9).to_numpy(), rel=2e-2)


def test_ets_recursion_equals_statsmodels() -> None:
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    data = np.log(hours(400))[-288:]
    kind = {"seasonal": "add", "seasonal_periods": 24, "initialization_method": "heuristic"}
    theirs = ETSModel(data, **kind).fit(disp=False)
    state = MODELS["ets"](()).fit(data.to_numpy(), (24,))
    ours = state.predict(48)
    assert ours.location == pytest.approx(theirs.forecast(48).to_numpy(), rel=1e-6)
    variance = theirs.get_prediction(start=288, end=335).forecast_variance
    assert ours.sd == pytest.approx(np.sqrt(variance), rel=1e-3)
    # from another week on, with the same factors: the start is computed from the first ten days
    shorter = ETSModel(data[:-30], **kind).smooth(theirs.params)
    start = replace(
        state, level=shorter.level.iloc[-1], season=shorter.season.to_numpy()[-24:].astype(float)
    )
    moved = start.extend(data.to_numpy()[-30:])
    assert moved.predict(24).location == pytest.approx(ours.location[:24], rel=1e-9)


@pytest.mark.parametrize("name", ["arma", "sarima", "ets", "harmonic_arima", "direct"])
def test_moving_on_in_one_step_or_two(name: str) -> None:
    data = hours(168 * (60 if name == "direct" else 5))
    start = fit(data[:-168], name)
    once = start.extend(data[-168:]).forecast(24)
    twice = start.extend(data[-168:-60]).extend(data[-60:]).forecast(24)
    assert once.index.equals(twice.index)
    assert once.table().to_numpy() == pytest.approx(twice.table().to_numpy(), rel=1e-9)


def test_moving_on_keeps_parameters_and_updates_the_state() -> None:
    data = hours(700)
    model = Arima((1, 0, 0), log=False)
    moved = model.fit(data.to_numpy()[:600], ()).extend(data.to_numpy()[600:])
    phi = moved.result.params[0]
    expected = data.iloc[-1] * phi ** np.arange(1, 11)
    assert moved.predict(10).location == pytest.approx(expected, rel=1e-9)


def test_naive_forecasts_repeat() -> None:
    data = hours(500)
    assert fit(data, "naive").forecast(30).quantile(0.5).to_numpy() == pytest.approx(data.iloc[-1])
    weekly = fit(data, "seasonal_naive").forecast(200).quantile(0.5).to_numpy()
    assert weekly == pytest.approx(np.concatenate([data[-168:], data[-168:-136]]))
    daily = fit(data, SeasonalNaive(24)).forecast(24).quantile(0.5).to_numpy()
    assert daily == pytest.approx(data[-24:].to_numpy())


def test_waves_are_found_exactly() -> None:
    clock = np.arange(168 * 6)
    waves = 10 + np.sin(2 * np.pi * clock / 24) + 0.5 * np.cos(2 * np.pi * clock / 168)
    model = MODELS["harmonic_arima"]((24, 168))
    ahead = model.waves_of(waves[:-168], (24, 168), 168)[-168:]  # type: ignore[attr-defined]
    assert ahead == pytest.approx(waves[-168:], abs=1e-6)


def test_direct_does_not_expect_a_spike_again() -> None:
    data = hours(168 * 62)
    quiet = fit(data, "direct").forecast(168).quantile(0.5)
    data.iloc[-100] *= 3
    spiked = fit(data, "direct").forecast(168).quantile(0.5)
    assert spiked.to_numpy() == pytest.approx(quiet.to_numpy(), rel=0.03)
    copied = fit(data, "seasonal_naive").forecast(168).quantile(0.5)
    assert copied.iloc[68] > 2 * quiet.iloc[68]


def test_direct_goes_on_beyond_one_season() -> None:
    fitted = fit(hours(168 * 62), "direct")
    short, long = fitted.forecast(168), fitted.forecast(400)
    assert long.quantile(0.5)[:168].to_numpy() == pytest.approx(short.quantile(0.5).to_numpy())
    assert long.index[-1] == short.index[0] + pd.Timedelta(hours=399)
    assert (long.upper(0.95) > long.lower(0.95)).all()


# ---------------------------------------------------------------- the forecast


@pytest.mark.parametrize("name", ["naive", "seasonal_naive", "arima", "sarima", "ets", "direct"])
def test_forecast_is_ordered_on_a_proper_index_and_never_negative(name: str) -> None:
    data = (hours(168 * (60 if name == "direct" else 6)) - 600).clip(lower=0.0).round()
    forecast = fit(data, name).forecast(48, levels=(0.5, 0.99))
    table = forecast.table()
    assert list(table) == ["mean", "lower_50", "upper_50", "lower_99", "upper_99"]
    assert table.index.equals(pd.date_range(data.index[-1], periods=49, freq="h")[1:])
    assert np.isfinite(table.to_numpy()).all() and (table.to_numpy() >= 0).all()
    assert (table["lower_99"] <= table["lower_50"]).all()
    assert (table["upper_50"] <= table["upper_99"]).all()
    assert forecast.intervals == (
        "gaussian" if name[0] == "a" or name in ("sarima", "ets") else "empirical"
    )


@settings(max_examples=25)
@given(st.floats(0.01, 0.98), st.floats(0.005, 0.5), st.floats(1e-3, 1e6))
def test_quantiles_rise_and_follow_the_unit(p: float, step: float, unit: float) -> None:
    data = hours(400)
    forecast = fit(data, "seasonal_naive").forecast(5)
    higher = min(p + step, 0.99)
    assert (forecast.quantile(p) <= forecast.quantile(higher)).all()
    other = fit(data * unit, "seasonal_naive").forecast(5).quantile(p)
    assert other.to_numpy() == pytest.approx(unit * forecast.quantile(p).to_numpy(), rel=1e-6)


def test_intervals_hold_what_they_say_on_a_process_that_is_known() -> None:
    data = hours(168 * 100, seed=3)
    origins = data.index[168 * 60 :: 180][:35]
    table = backtest(data, ["sarima", "direct", "seasonal_naive"], 48, origins=origins)
    assert table["coverage_80"].to_numpy() == pytest.approx(0.80, abs=0.06)  # 35 weeks of 48 h
    assert table["coverage_95"].to_numpy() == pytest.approx(0.95, abs=0.04)


# ---------------------------------------------------------------- input that is refused or mended


def broken(kind: str) -> pd.Series:
    data = hours(400)
    if kind == "missing":
        return data.drop(data.index[[100, 101]])
    if kind == "duplicated":
        return pd.concat([data[:50], data[49:]])
    if kind == "unsorted":
        return data.iloc[[1, 0, *range(2, 400)]]
    if kind == "off grid":
        return data.set_axis(data.index[:-1].append(data.index[-1:] + pd.Timedelta(minutes=7)))
    if kind == "number index":
        return data.reset_index(drop=True)
    values = {"NaN": np.nan, "infinite": np.inf, "negative": -1.0}
    if kind in values:
        data.iloc[7] = values[kind]
    return data * 0 + 5 if kind == "constant" else data


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"2 missing stamps, first 2018-01-05 04:00:00: .*repair"),
        ("duplicated", r"1 duplicated stamps, first at 2018-01-03 01:00:00: .*repair"),
        ("unsorted", r"1 unsorted stamps"),
        ("off grid", r"wrong frequency: 1 stamps"),
        ("number index", r"need a Series with a DatetimeIndex"),
        ("NaN", r"1 NaN or infinite values, first at 2018-01-01 07:00:00: .*repair"),
        ("infinite", r"1 NaN or infinite values"),
        ("negative", r"1 negative values, first at 2018-01-01 07:00:00: demand is at least zero"),
        ("constant", r"the series is constant \(5\)"),
    ],
)
def test_bad_input_is_refused_by_fit_and_backtest(kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(broken(kind), "naive")
    with pytest.raises(ValueError, match=message):
        backtest(broken(kind), "naive", 24, origins=2)


@pytest.mark.parametrize("kind", ["missing", "duplicated", "unsorted", "NaN"])
def test_repair_mends_and_lists(kind: str) -> None:
    fixed, log = repair(broken(kind))
    assert len(check_series(fixed)) == 400
    expected = {"missing": ["filled"] * 2, "duplicated": ["averaged"], "NaN": ["filled"]}
    assert log["repair"].tolist() == expected.get(kind, [])
    whole = hours(400)
    untouched = ~whole.index.isin(log["time"])
    assert fixed[untouched].to_numpy() == pytest.approx(whole[untouched].to_numpy())


def test_repair_mends_the_clock_changes_of_local_time() -> None:
    utc = pd.date_range("2019-03-01", "2019-11-30", freq="h", tz="UTC")
    local = (
        pd.Series(np.arange(utc.size, dtype=float), utc)
        .tz_convert("Europe/Athens")
        .tz_localize(None)
    )
    fixed, log = repair(local)
    assert log["repair"].tolist() == ["filled", "averaged"]
    assert log["time"].astype(str).tolist() == ["2019-03-31 03:00:00", "2019-10-27 03:00:00"]
    week = pd.Timedelta(days=7)
    gap = log["time"][0]
    assert fixed[gap] == pytest.approx((fixed[gap - week] + fixed[gap + week]) / 2)


def test_repair_refuses_another_grid() -> None:
    with pytest.raises(ValueError, match="wrong frequency"):
        repair(broken("off grid"))


@pytest.mark.parametrize("name", ["seasonal_naive", "sarima", "ets", "direct", "harmonic_arima"])
def test_too_short_for_its_season(name: str) -> None:
    with pytest.raises(ValueError, match=r"too (few|short)|need"):
        fit(hours(200), name)


def test_season_given_and_not_held_twice() -> None:
    with pytest.raises(ValueError, match=r"30 values are too short a series: need 48, two seasons"):
        fit(hours(30), "naive", season_lengths=(24,))


def test_model_and_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"no model 'prophet'; the models are naive, "):
        fit(hours(100), "prophet")
    fitted = fit(hours(400), "naive")
    with pytest.raises(ValueError, match=r"steps >= 1 and levels"):
        fitted.forecast(0)
    with pytest.raises(ValueError, match=r"steps >= 1 and levels"):
        fitted.forecast(3, levels=(80,))
    with pytest.raises(ValueError, match="must follow"):
        fitted.extend(hours(10))
    with pytest.raises(ValueError, match="between 0 and 1"):
        fitted.forecast(3).quantile(1.0)


def test_no_convergence_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    estimate = SARIMAX.fit

    def stopped(self: SARIMAX, *args: object, **options: object) -> object:
        return estimate(self, *args, **{**options, "maxiter": 1})

    monkeypatch.setattr(SARIMAX, "fit", stopped)
    with pytest.raises(NotConvergedError, match=r"ARIMA\(2, 0, 1\).* did not converge on 400"):
        fit(hours(400), "arma")


def test_seasons_by_frequency() -> None:
    expected = {"h": (24, 168), "10min": (144, 1008), "D": (7,), "MS": (12,), "QS": (4,), "W": ()}
    for freq, seasons in expected.items():
        assert seasons_of(pd.date_range("2019-01-01", periods=30, freq=freq)) == seasons
