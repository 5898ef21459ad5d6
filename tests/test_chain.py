"""The chapters run by papermill as a chain, with another company's scenario: the plan must follow."""

import json

import nbformat
import pandas as pd
import pytest
from test_prose import prose

from capkit import course, datasets
from capkit.course.run import run_chapters

CHAIN = [c for c in course.CHAPTERS if c[:2] == "01" or "03" <= c[:2] <= "10"]
DEARER = 1.5


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    """Bursty trace, 1.5 times the load, half the latency target, dearer prices; no fresh measurement."""
    folder = tmp_path_factory.mktemp("scenario")
    prices = datasets.load_catalogue()
    usd = [c for c in prices if c.endswith("usd_h")]
    prices[usd] *= DEARER
    prices.to_csv(folder / "prices.csv", index=False)
    parameters = {
        "trace": "code",
        "load_scale": 300.0,
        "slo_latency_ms": 25.0,
        "prices": str(folder / "prices.csv"),
        "measure": False,
    }
    seconds = run_chapters(CHAIN, parameters, folder / "run", progress=False)
    return folder / "run", parameters, seconds


def test_every_chapter_left_its_product_and_its_page(scenario):
    folder, parameters, seconds = scenario
    assert list(seconds) == CHAIN[1:] + CHAIN[:1]  # chapter 01 shows products of later ones
    for chapter in CHAIN:
        assert "<html" in (folder / f"{chapter}.html").read_text(encoding="utf-8")
        product = course.load(folder, chapter)
        assert product.folder.parent == folder
        known = product.parameters
        assert {k: v for k, v in parameters.items() if k in known}.items() <= known.items()


def test_every_page_shows_the_run_s_own_products(scenario):
    folder, _, _ = scenario
    for chapter in CHAIN:
        page = (folder / f"{chapter}.html").read_text(encoding="utf-8")
        assert [c for c in CHAIN if f"{c}: taken from the reference run" in page] == []


def test_measurements_are_the_reference_s(scenario):
    folder, _, _ = scenario
    for chapter in ("04_training_benchmark", "05_serving_benchmark"):
        assert course.load(folder, chapter).data == course.reference(chapter).data


def test_the_plan_changes_the_way_it_must(scenario):
    folder, _, _ = scenario
    plan, usual = (
        json.loads((root / "09_capacity_plan" / "product.json").read_text())["data"]
        for root in (folder, datasets.data_dir() / "reference")
    )
    # more load at a tighter target needs more servers, and each of them costs 1.5 times as much
    assert plan["servers_max"] > usual["servers_max"]
    assert plan["cost_usd_week"] > DEARER * usual["cost_usd_week"]
    for tried in (plan, usual):
        assert tried["late_percent"] <= 100 * (1 - tried["slo_percentile"])
        assert tried["zone_lost_percentile_ms"] <= tried["slo_latency_ms"]


def test_the_forecast_scales_with_the_load(scenario):
    folder, _, _ = scenario
    scaled = course.load(folder, "07_forecasting").table("forecast")
    usual = course.reference("07_forecasting").table("forecast")
    pd.testing.assert_series_equal(scaled["mean_rps"], 1.5 * usual["mean_rps"], rtol=1e-6)


@pytest.mark.parametrize("chapter", CHAIN)
def test_every_number_in_prose_holds_here_too(scenario, chapter):
    folder, _, _ = scenario
    executed = nbformat.read(folder / f"{chapter}.ipynb", as_version=4)
    bad = [f"{s.number} in ...{s.words}" for s in prose(executed, chapter).unsupported()]
    assert not bad, f"no longer true under other parameters: {bad}"


@pytest.mark.more
def test_the_same_parameters_give_the_same_bytes(scenario, tmp_path):
    folder, parameters, _ = scenario
    run_chapters(CHAIN, parameters, tmp_path / "run", progress=False)
    for chapter in CHAIN:
        first, again = (
            {
                path.relative_to(root / chapter): path.read_bytes()
                for path in sorted((root / chapter).rglob("*"))
                if path.is_file() and path.name != "manifest.json"
            }
            for root in (folder, tmp_path / "run")
        )
        assert first == again, chapter


def test_a_finished_run_has_nothing_to_go_on_with(scenario):
    folder, parameters, _ = scenario
    assert run_chapters(CHAIN, parameters, folder, progress=False, resume=True) == {}
