"""The backtest: no look-ahead, its scores, its origins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from series_case import hours

from capkit.datasets import load_demand
from capkit.forecasting import (
    MODELS,
    Best,
    DirectRegression,
    SeasonalNaive,
    backtest,
    coverage,
    fit,
    mase,
    newsvendor_ratio,
    pinball,
    rolling_forecasts,
    wape,
)


@pytest.fixture(scope="module")
def demand() -> pd.Series:
    return load_demand()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_poisoned_future_changes_nothing(name: str) -> None:
    data = hours(168 * (64 if name in ("direct", "best") else 8))
    origins = data.index[[-168 * 3, -168 * 2 - 5, -168]]
    poisoned = data.copy()
    poisoned[origins[2] :] = 1e9
    clean = list(rolling_forecasts(data, name, 24, origins=origins))
    other = list(rolling_forecasts(poisoned, name, 24, origins=origins))
    for a, b in zip(clean, other, strict=True):
        pd.testing.assert_frame_equal(a.table(), b.table(), check_exact=True)
    known = fit(data[data.index < origins[0]], name).forecast(24)
    pd.testing.assert_frame_equal(known.table(), clean[0].table(), check_exact=True)


def test_backtest_scores_are_those_of_its_forecasts() -> None:
    data = hours(168 * 12)
    table = backtest(data, "seasonal_naive", [24, 168], origins=4)
    assert list(table) == [
        "model", "horizon", "wape", "mase", "pinball", "coverage_80", "coverage_95",
    ]  # fmt: skip
    assert table["horizon"].tolist() == [24, 168]
    actual = data.to_numpy()[-168 * 4 :].reshape(4, 168)
    before = data.to_numpy()[-168 * 5 : -168].reshape(4, 168)
    history = data[: -168 * 4].to_numpy()
    yardstick = np.abs(history[168:] - history[:-168]).mean()
    for row, steps in zip(table.itertuples(), (24, 168), strict=True):
        error = np.abs(actual - before)[:, :steps]
        assert row.wape == pytest.approx(error.sum() / actual[:, :steps].sum())
        assert row.mase == pytest.approx(error.mean() / yardstick)


def test_refitting_at_every_origin_equals_fitting_by_hand() -> None:
    data = hours(168 * 4)
    rolled = list(rolling_forecasts(data, "ar", 24, origins=3, refit_every=1))
    for forecast in rolled:
        alone = fit(data[data.index < forecast.index[0]], "ar").forecast(24)
        pd.testing.assert_frame_equal(forecast.table(), alone.table(), check_exact=True)


def test_an_object_is_a_model_too() -> None:
    table = backtest(hours(600), [SeasonalNaive(24), "naive"], 24, origins=3)
    assert table["model"].tolist() == ["seasonal_naive", "naive"]


def test_strong_model_beats_seasonal_naive_on_the_application_server(demand: pd.Series) -> None:
    # 52 Mondays from 2019-01-07: holidays, August 2019 and all
    origins = pd.date_range("2019-01-07", periods=52, freq="7D")
    table = backtest(demand, ["seasonal_naive", "direct"], [24, 168], origins=origins)
    wapes = table.pivot(index="horizon", columns="model", values="wape")
    ratio = wapes["direct"] / wapes["seasonal_naive"]
    assert ratio[24] < 0.75
    assert ratio[168] < 0.95


def test_best_takes_the_candidate_that_was_best_of_late() -> None:
    data = hours(168 * 64)
    chosen = fit(data, Best(("naive", "direct"))).forecast(24)
    direct = fit(data, DirectRegression()).forecast(24)
    assert chosen.quantile(0.5).to_numpy() == pytest.approx(direct.quantile(0.5).to_numpy())
    short = fit(data[-168 * 12 :], Best(("seasonal_naive", "direct"))).forecast(24)
    naive = fit(data[-168 * 12 :], "seasonal_naive").forecast(24)
    assert short.quantile(0.5).to_numpy() == pytest.approx(naive.quantile(0.5).to_numpy())


@pytest.mark.parametrize(
    "origins",
    [[], ["2018-01-01"], ["2018-01-30 01:00"], ["2018-01-20", "2018-01-15"], ["2017-01-01"], 50, 0],
)
def test_origins_out_of_range_are_refused(origins: object) -> None:
    with pytest.raises(ValueError, match=r"origins \(the first stamp forecast\)"):
        backtest(hours(24 * 30), "naive", 24, origins=origins)  # type: ignore[arg-type]


@settings(max_examples=50)
@given(st.lists(st.floats(0.1, 1e4), min_size=2, max_size=30), st.floats(0.02, 0.98))
def test_scores_of_a_perfect_forecast(values: list[float], p: float) -> None:
    assert wape(values, values) == 0.0
    assert pinball(values, values, p) == 0.0
    assert coverage(values, values, values) == 1.0


def test_pinball_is_least_at_the_quantile() -> None:
    draws = np.random.default_rng(2).gamma(3.0, 1.0, 50_000)
    grid = np.linspace(0.5, 9.0, 171)
    losses = [pinball(draws, np.full(draws.size, q), 0.9) for q in grid]
    assert grid[int(np.argmin(losses))] == pytest.approx(np.quantile(draws, 0.9), abs=0.05)


def test_scores_refuse_what_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="equal, non-empty shapes"):
        wape([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="positive sum"):
        wape([0.0], [1.0])
    with pytest.raises(ValueError, match="history that changes"):
        mase([1.0], [2.0], [3.0, 3.0, 3.0], 1)
    with pytest.raises(ValueError, match="must be positive"):
        newsvendor_ratio(0.0, 1.0)
