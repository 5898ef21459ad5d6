"""One model under several thread settings: order of the blocks, the table."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from capkit import serving
from capkit.course import reference
from capkit.serving.configurations import (
    BLOCKS,
    Setup,
    available_cores,
    run_apart,
    summarize,
    time_calls,
)

MODEL = reference("04_training_benchmark").path("mnist_cnn")
COLUMNS = [
    *("configuration", "cores", "threads", "images", "service_ms", "low_ms", "high_ms"),
    *("images_per_s", "cpu_ms_per_image"),
]


@pytest.fixture(scope="module")
def table():
    return serving.measure_configurations(MODEL, [1, 4], seconds=0.2)


def test_each_configuration_has_a_row_a_size(table):
    assert list(table.columns) == COLUMNS
    cores = len(available_cores())
    assert (table.groupby("configuration")["images"].agg(tuple) == (1, 4)).all()
    settings = table.groupby("configuration", sort=False)[["cores", "threads"]].first()
    expected = {(1, 1), (cores, 1), (cores, cores), (cores, 0)}
    assert set(settings.fillna(0).itertuples(index=False, name=None)) >= expected
    assert settings.index[0] == "one core, one thread"


def test_figures_of_a_row_belong_together(table):
    assert (table[["low_ms", "cpu_ms_per_image"]] > 0).all(axis=None)
    assert (table["low_ms"] <= table["service_ms"]).all()
    assert (table["service_ms"] <= table["high_ms"]).all()
    rate = table["images_per_s"] * table["service_ms"] / table["images"]
    assert rate.to_numpy() == pytest.approx(1e3)


def fake(name, seconds, seen):
    def call(images):
        seen.append((name, len(images)))
        time.sleep(seconds)
        return images

    return Setup(name, [0], 1, (2,), call, ThreadPoolExecutor(1))


def test_setups_take_turns_in_blocks_and_the_first_call_is_not_counted():
    seen = []
    calls = time_calls([fake("a", 0.001, seen), fake("b", 0.002, seen)], [1, 3], 0.2, seed=1)
    turns = [one for one, before in zip(seen, [None, *seen], strict=False) if one != before]
    assert turns == [("a", 1), ("b", 1), ("a", 3), ("b", 3)] * BLOCKS
    assert len(seen) == len(calls) + len(turns)
    assert (calls.groupby(["name", "images"])["block"].nunique() == BLOCKS).all()


def test_summary_of_known_calls():
    calls = pd.DataFrame({"name": "a", "images": 4, "block": 0, "service_ms": [1.0, 2.0, 3.0]})
    row = summarize(calls.assign(cpu_ms=8.0)).iloc[0]
    assert row.tolist() == ["a", 4, 2.0, 1.5, 2.5, 2000.0, 2.0]


@pytest.mark.parametrize("sizes, seconds", [([], 1.0), ([0, 1], 1.0), ([1], 0.0), ([1], np.nan)])
def test_impossible_measurements_are_refused(sizes, seconds):
    with pytest.raises(ValueError, match="batch sizes of 1 or more"):
        serving.measure_configurations(MODEL, sizes, seconds=seconds)


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no version folder"):
        serving.measure_configurations(tmp_path)


def test_failure_of_the_process_is_told():
    with pytest.raises(RuntimeError, match="no attribute 'nothing'"):
        run_apart("json:nothing", {})
