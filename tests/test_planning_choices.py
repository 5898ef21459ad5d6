"""Wrong plans, what is not known, variants of the model, an LLM replica, the reader's files, the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planning_case import GOAL, LOG, OPTIONS, SERVICE, forecast, make_plan

from capkit import datasets, planning
from capkit.planning import SLO, CapacityPlan, Unknown


@pytest.fixture(scope="module")
def plan() -> CapacityPlan:
    return make_plan()


@pytest.fixture(scope="module")
def prospects(plan: CapacityPlan) -> planning.Outlook:
    return planning.outlook(plan, np.random.default_rng(3), draws=400)


# --- wrong plans ------------------------------------------------------------------------------------


def test_each_mistake_alone_misses_where_the_plan_holds(plan: CapacityPlan) -> None:
    tight = replace(plan.problem, slo=SLO(0.99, 0.01))
    right = planning.Candidate.from_fleet("right", tight.fleet(tight.needed()), 24)
    table = planning.judge_candidates(
        [*planning.wrong_plans(tight, arrival_cv2=1.2), right],
        tight.planned_rps,
        tight.law,
        tight.slo,
        minute_factors=tight.factors,
        seed=1,
        **tight.replayed,
    ).set_index("plan")
    assert table.loc["right", "hours_missed_zone_lost"] == 0
    assert (table["hours_missed_zone_lost"].drop("right") > 0).all()
    assert (table["cost_usd_week"].drop("right") < table.loc["right", "cost_usd_week"]).all()
    assert len(table) == 6
    with pytest.raises(ValueError, match="one place"):
        planning.wrong_needs(replace(tight, places=2), arrival_cv2=1.0)


# --- what is not known ------------------------------------------------------------------------------


def test_common_random_numbers_make_a_larger_plan_never_miss_more(
    prospects: planning.Outlook,
) -> None:
    assert (np.diff(prospects.hours_missed, axis=0) <= 0).all()
    table = prospects.table()
    assert table["cost_usd_week"].is_monotonic_increasing
    assert (table["regret_usd"] >= 0).all()
    assert table["regret_usd"].idxmin() == table["total_usd_week"].idxmin() == prospects.best


def test_the_share_of_hours_met_is_the_quantile_that_was_planned(plan: CapacityPlan) -> None:
    sure = {"price": Unknown(np.ones(2000), "nothing")}
    level = [planning.Candidate.from_plan("0.95", plan)]
    rng = np.random.default_rng(5)
    result = planning.judge_uncertainty(plan.problem, level, sure, rng, missed_hour_usd=1.0)
    expected = plan.hours["probability_met_zone_lost"].mean()
    share = 1.0 - result.hours_missed.mean() / result.hours
    assert share == pytest.approx(expected, abs=0.01)


def test_knowing_what_decides_nothing_is_worth_nothing(plan: CapacityPlan) -> None:
    rng = np.random.default_rng(1)
    prices = {"price": Unknown(planning.lognormal_factors(0.5, 1.0, 2.0, 500, rng), "ask")}
    one = [planning.Candidate.from_plan("only", plan)]
    result = planning.judge_uncertainty(plan.problem, one, prices, rng, missed_hour_usd=0.0)
    assert result.worth()["worth_usd_week"].max() == pytest.approx(0.0, abs=1e-9)
    assert "nothing" in result.next_measurement() and result.tornado().iloc[0]["unknown"] == "price"


def test_the_outlook_names_what_to_measure(prospects: planning.Outlook) -> None:
    worth = prospects.worth()
    assert set(worth["unknown"]) == {"demand", "service time", "busiest minute", "price"}
    assert worth.iloc[0]["unknown"] in prospects.next_measurement()
    swing = prospects.tornado()["swing_usd"]
    assert swing.is_monotonic_decreasing


def test_a_common_error_spreads_the_weeks_further(plan: CapacityPlan) -> None:
    none = {"price": Unknown(np.ones(1000), "x")}
    spread = []
    for shared in (0.0, 1.0):
        rng = np.random.default_rng(2)
        result = planning.judge_uncertainty(
            plan.problem,
            [planning.Candidate.from_plan("p", plan)],
            none,
            rng,
            missed_hour_usd=1.0,
            shared=shared,
        )
        spread.append(result.hours_missed.std())
    assert spread[1] > 2 * spread[0]


def test_bad_uncertainty_is_refused(plan: CapacityPlan) -> None:
    rng = np.random.default_rng(1)
    one = [planning.Candidate.from_plan("p", plan)]
    with pytest.raises(ValueError, match="unknowns may name"):
        planning.judge_uncertainty(
            plan.problem, one, {"weather": Unknown(np.ones(3), "")}, rng, missed_hour_usd=1.0
        )
    with pytest.raises(ValueError, match="shared is between"):
        planning.judge_uncertainty(
            plan.problem,
            one,
            {"price": Unknown(np.ones(3), "")},
            rng,
            missed_hour_usd=1.0,
            shared=2,
        )
    with pytest.raises(ValueError, match="in order"):
        planning.lognormal_factors(2.0, 1.0, 0.5, 10, rng)


def test_what_would_change_says_which_way(plan: CapacityPlan) -> None:
    table = plan.changes.set_index("change")["difference_percent"]
    assert table["20 % more demand in every hour"] > 10
    assert table["no loss of a zone covered"] == pytest.approx(-50, abs=5)
    assert table["dispatch: central instead of random"] <= 0
    impossible = planning.what_would_change(replace(plan.problem, slo=SLO(0.99, 0.004)))
    assert impossible["cost_usd_week"].isna().any()
    assert impossible["change"].str.contains("no fleet meets this").any()


# --- variants, LLM ----------------------------------------------------------------------------------


def test_a_variant_is_cheaper_by_its_speed_and_refused_by_its_accuracy(plan: CapacityPlan) -> None:
    variants = pd.DataFrame(
        {
            "variant": ["as it is", "small", "smaller"],
            "accuracy": [0.95, 0.948, 0.90],
            "change_low": [0.0, -0.008, -0.06],
            "service_1_ms": [0.5, 0.3, 0.1],
        }
    )
    table = planning.judge_variants(plan.problem, variants, accuracy_lost=0.01)
    assert table["variant"].tolist() == ["smaller", "small", "as it is"]
    assert table["accepted"].tolist() == [False, True, True]
    assert table["service_ms"].tolist() == pytest.approx([0.6, 0.8, 1.0])
    with pytest.raises(ValueError, match="more than the whole service time"):
        planning.judge_variants(
            plan.problem, variants.assign(service_1_ms=[5.0, 0.3, 0.1]), accuracy_lost=0.0
        )
    with pytest.raises(ValueError, match="accuracy_lost"):
        planning.judge_variants(plan.problem, variants, accuracy_lost=-1.0)


def llm_rows() -> pd.DataFrame:
    table = datasets.load_llm_latency()
    return table.query(
        "model == 'meta-llama/Llama-3.1-70B' and system == 'h100_sxm' and tp == 4 "
        "and isl == 1024 and osl == 1024"
    )


def test_an_llm_replica_holds_its_place_for_its_tokens() -> None:
    tokens = datasets.load_token_histogram("chat")
    context, generated = (tokens[tokens["kind"] == kind] for kind in ("context", "generated"))
    rows = llm_rows()
    server = planning.llm_server(rows, context, generated, first_token_ms=400.0, token_ms=17.0)
    assert (server.places, server.accelerators) == (32, 4)
    by_hand_s = (
        174.8 + 210.2 * 16.492
    ) / 1000.0  # 211.2 generated tokens a request, the first included
    assert server.profile.service_time_s == pytest.approx(by_hand_s, rel=0.01)
    assert 0.3 < server.profile.service_cv2 < 1.0
    with pytest.raises(ValueError, match=r"the best are 80\.5 and 11\.776 ms"):
        planning.llm_server(rows, context, generated, first_token_ms=100.0, token_ms=5.0)
    with pytest.raises(ValueError, match="one replica"):
        planning.llm_server(
            datasets.load_llm_latency(), context, generated, first_token_ms=400.0, token_ms=17.0
        )


@pytest.mark.more
def test_an_llm_plan_meets_its_first_token() -> None:
    tokens = datasets.load_token_histogram("chat")
    histograms = [tokens[tokens["kind"] == kind] for kind in ("context", "generated")]
    server = planning.llm_server(llm_rows(), *histograms, first_token_ms=1000.0, token_ms=50.0)
    options = planning.accelerator_options(
        datasets.load_catalogue(provider="aws"), "H100", each=server.accelerators
    )
    goal = SLO(0.95, 1.0, until="first_token")
    result = planning.plan(
        LOG,
        server.profile,
        forecast(mean=100.0),
        options,
        goal,
        rng=np.random.default_rng(1),
        service_times=server.service_times,
        places=server.places,
    )
    assert result.zone_loss.met and result.failures["met"].all()
    assert result.beside.iloc[0]["hours_missed"] > 12
    assert "given their first token" in result.to_markdown()


def test_an_accelerator_that_is_not_sold_is_refused() -> None:
    catalogue = datasets.load_catalogue(provider="aws")
    with pytest.raises(ValueError, match="accelerators there: A100, A10G, H100"):
        planning.accelerator_options(catalogue, "TPU")
    with pytest.raises(ValueError, match="16 x 'H100'"):
        planning.accelerator_options(catalogue, "H100", each=16)
    with pytest.raises(ValueError, match="at least 1"):
        planning.accelerator_options(catalogue, "H100", each=0)


# --- the reader's files -----------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    rng = np.random.default_rng(1)
    hours = pd.date_range("2026-01-05", periods=24 * 7 * 6, freq="h")
    wave = (
        3.6e6
        * (1.0 + 0.5 * np.sin(2 * np.pi * hours.hour / 24))
        * rng.lognormal(0, 0.1, hours.size)
    )
    tables = {
        "demand": pd.DataFrame({"time": hours, "requests": wave.round()}),
        "log": pd.DataFrame({"timestamp": np.cumsum(rng.exponential(0.1, 18_000))}),
        "latencies": pd.DataFrame({"latency_ms": rng.gamma(4.0, 0.5, 200)}),
    }
    for name, table in tables.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    return {name: str(tmp_path / f"{name}.csv") for name in tables}


def test_own_files_give_a_plan(files: dict[str, str]) -> None:
    result = planning.plan_from_files(GOAL, **files, provider="aws", horizon_h=24)
    assert result.zone_loss.met and len(result.hours) == 24
    assert result.hours["mean_rps"].mean() == pytest.approx(1000.0, rel=0.1)


def test_a_profile_on_an_accelerator_gives_a_plan(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "gpu.json"
    profile.write_text(json.dumps(SERVICE.to_dict()))
    page = tmp_path / "plan.json"
    own = ["--demand", files["demand"], "--log", files["log"], "--profile", str(profile)]
    assert planning.main([*own, "--accelerator", "T4", "--out", str(page)]) == 0
    content = json.loads(page.read_text())
    assert content["purchases"][0]["machine"] == "g4dn.xlarge"
    assert set(content["inputs"]) == {files["demand"], files["log"], str(profile)}
    printed = capsys.readouterr().out
    assert content["decision"] in printed
    assert printed.rstrip().endswith(content["next"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("demand", "time,requests\n2026-01-05,x\n", "row 1 below .*'requests'.*number"),
        ("latencies", "latency_ms\nfast\n", r"'latency_ms': 'fast'; a number is needed \(ms\)"),
        ("log", "time\n1\n", r"lacks the column\(s\) timestamp"),
        ("log", "timestamp\n1700000000000\n1700000000001\n", "divide milliseconds by 1,000"),
        ("latencies", "latency_ms\n-1\n", r"row 1 below .*'latency_ms'.*above 0 is needed \(ms\)"),
    ],
)
def test_a_wrong_file_says_which_column_row_and_unit(
    files: dict[str, str], name: str, text: str, message: str
) -> None:
    Path(files[name]).write_text(text)
    with pytest.raises(ValueError, match=message):
        planning.plan_from_files(GOAL, **files)


def test_a_wrong_profile_is_named(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either latencies"):
        planning.plan_from_files(GOAL, **files, profile="x.json")
    with pytest.raises(ValueError, match="there is no profile"):
        planning.read_profile(tmp_path / "none.json")
    for text, message in (
        ("{", "as JSON"),
        ("[]", "an object"),
        ("{}", "a service profile needs service_time_s"),
        (
            json.dumps({**SERVICE.to_dict(), "throughput_rps": -1}),
            "throughput_rps must be positive",
        ),
    ):
        (tmp_path / "profile.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            planning.read_profile(tmp_path / "profile.json")


# --- the page ---------------------------------------------------------------------------------------


def test_the_page_ends_with_what_to_measure_and_names_its_evidence(
    plan: CapacityPlan, prospects: planning.Outlook
) -> None:
    sources = {"05_serving_benchmark": "a" * 64}
    markdown = planning.to_markdown(plan, sources, prospects)
    page = planning.to_html(plan, sources, prospects)
    content = json.loads(planning.to_json(plan, sources, prospects))
    order = ["# Capacity plan", "## Why", "## What would change it", "## Evidence", "a" * 16]
    places = [markdown.index(part) for part in order]
    assert places == sorted(places)
    assert markdown.rstrip().endswith(prospects.next_measurement())
    assert content["next"] == prospects.next_measurement() and content["inputs"] == sources
    assert "The document's plan" in markdown and 'src="http' not in page and "<link" not in page
    assert "size:A4" in page and content["plan"]["cost_usd_week"] == round(plan.cost_usd_week, 2)
    assert len(OPTIONS) == 2
