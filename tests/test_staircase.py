"""The staircase of queueing models, and the rows of their ledger of errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from capkit.queueing import (
    Calibration,
    MMc,
    error_table,
    ledger_rows,
    predicted_figures,
    staircase,
)
from capkit.queueing.ledger import document_figures


def calibration(law, servers=4, overhead_s=0.002):
    return Calibration(servers, 64, np.asarray(law)[None], np.array([overhead_s]))


EXPONENTIAL = -np.log1p(-(np.arange(4000) + 0.5) / 4000) / 50.0


def test_staircase_where_every_assumption_of_mmc_holds():
    rng, known, exact = np.random.default_rng(11), calibration(EXPONENTIAL), MMc(150.0, 50.0, 4)
    models = staircase(150.0, known, 1.0, predicted_figures(exact, 0.002))
    for name in ("2 M/M/c", "3 M/M/c/K", "4 M/G/c", "5 G/G/c"):
        assert models[name].figures == pytest.approx(predicted_figures(exact, 0.002), rel=0.003)
    for name in ("2 M/M/c", "3 M/M/c/K", "4 M/G/c", "8 replay"):
        low, high = models[name].interval(150.0, 60.0, 0.002, rng, 60)
        assert np.all((low < models["2 M/M/c"].figures) & (models["2 M/M/c"].figures < high))
    alone = models["1 M/M/1"]
    low, high = alone.interval(150.0, 60.0, 0.002, rng, 60)
    assert np.all((low < alone.figures) & (alone.figures < high))
    assert alone.figures == pytest.approx(
        predicted_figures(MMc(37.5, 50.0, 1), 0.002) * [1, 1, 1, 1, 4], rel=0.002
    )


def test_a_process_that_is_not_there_is_outside():
    rng, known = np.random.default_rng(12), calibration([0.02], overhead_s=0.0)
    truth = predicted_figures(MMc(150.0, 50.0, 4))
    models = staircase(150.0, known, 1.0, truth)
    low, high = models["8 replay"].interval(150.0, 60.0, 0.0, rng, 60)
    assert not ((low <= truth) & (truth <= high))[:4].any()
    assert (low[4] < 150.0) and (high[4] > 150.0)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (2, 0.5), (4, 0.3), (8, 0.85)])
def test_figure_of_the_document_against_its_algebra(servers, load):
    rate = load * servers * 50.0
    known = calibration(np.array([0.02]), servers, 0.0)
    true_wait = MMc(rate, 50.0, servers).mean_wait
    ratio = math.factorial(servers - 1) * (1 - load) / (load * (servers * load) ** (servers - 2))
    mean_ms = document_figures(rate, known)[0]
    assert mean_ms == pytest.approx(1e3 * (ratio * true_wait + 0.02))


def test_rows_of_the_ledger_carry_signed_errors_intervals_verdict_and_noise():
    measured = np.array([10.0, 8.0, 20.0, 30.0, 100.0])
    bounds = np.column_stack([0.8 * measured, 1.25 * measured])
    predictions = {"2 M/M/c": 1.1 * measured, "8 replay": 0.9 * measured}
    expected = {
        "2 M/M/c": np.array([1.05 * measured, 1.2 * measured]),
        "8 replay": np.array([0.95 * measured, 1.05 * measured]),
    }
    rows = ledger_rows(predictions, expected, measured, bounds, 1.02 * measured)
    by_model = rows.groupby("model")
    assert by_model["error_percent"].mean().to_dict() == pytest.approx(
        {"2 M/M/c": 10.0, "8 replay": -10.0}
    )
    first = rows.iloc[0]
    assert first[["error_low_percent", "error_high_percent"]].tolist() == pytest.approx(
        [100 * (1.1 / 1.25 - 1), 100 * (1.1 / 0.8 - 1)]
    )
    assert by_model["inside"].all().to_dict() == {"2 M/M/c": False, "8 replay": True}
    assert rows["noise_percent"].to_numpy() == pytest.approx(2.0)
    table = error_table(rows.assign(load=0.85))
    assert table["quantity"].tolist() == ["mean", "p50", "p95", "p99", "throughput"]
    assert table["8 replay"].tolist() == [-10.0] * 5 and table["inside"].all()
    verdicts = error_table(rows.assign(load=0.85), values="inside")
    assert not verdicts["2 M/M/c"].any() and verdicts["8 replay"].all()
    silent = (rows["model"] == "2 M/M/c") & (rows["quantity"] != "mean")
    partly = rows.assign(load=0.85, predicted=rows["predicted"].mask(silent))
    verdicts = error_table(partly, values="inside")
    assert verdicts["2 M/M/c"].isna().tolist() == [False] + 4 * [True]
    assert verdicts["8 replay"].all()


def test_a_calibration_without_times_is_refused():
    with pytest.raises(ValueError, match="service_s"):
        Calibration(1, 64, np.array([]), np.array([0.0]))
    with pytest.raises(ValueError, match="overhead_s"):
        Calibration(1, 64, np.array([1.0]), np.array([-1.0]))
