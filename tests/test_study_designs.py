"""Designs of a study: what a STUDY.yaml says, and what is wrong with it."""

import re

import numpy as np
import pandas as pd
import pytest

from capkit import study
from capkit.datasets import project_root

ROOT = project_root()


def read(tmp_path, text):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    return study.read_study(file)


def test_a_grid_is_every_combination(tmp_path):
    grid = "grid:\n  slo_latency_ms: [50, 4, 0.1]\n  zones: [1, 2]\n"
    found = read(tmp_path, f"work: sizing\nfixed: {{provider: aws}}\n{grid}")
    assert found.work == "sizing"
    assert found.varied == ("slo_latency_ms", "zones")
    assert [tuple(s.values()) for s in found.scenarios] == [
        ("aws", target, zones) for target in (50.0, 4.0, 0.1) for zones in (1, 2)
    ]


def test_a_list_is_taken_as_it_stands(tmp_path):
    found = read(tmp_path, "list:\n  - {zones: 1}\n  - {zones: 2, slo_latency_ms: 30 ms}\n")
    assert found.work == "plan"
    assert found.scenarios == [{"zones": 1}, {"zones": 2, "slo_latency_ms": 30.0}]


def test_random_scenarios_lie_in_their_ranges_and_repeat_with_their_seed(tmp_path):
    text = (
        "random: {scenarios: 500, seed: 4, slo_latency_ms: {from: 1, to: 100, log: true},"
        " slo_percentile: {from: 0.9, to: 0.99}, zones: {from: 1, to: 3}, provider: [aws]}"
    )
    found = read(tmp_path, text)
    table = pd.DataFrame(found.scenarios)
    assert found.scenarios == read(tmp_path, text).scenarios
    assert table["slo_latency_ms"].between(1, 100).all()
    assert np.log10(table["slo_latency_ms"]).mean() == pytest.approx(1.0, abs=0.1)  # 4 sigma
    assert table["slo_percentile"].between(0.9, 0.99).all()
    assert sorted(table["zones"].unique()) == [1, 2, 3]
    assert set(table["provider"]) == {"aws"}
    other = read(tmp_path, text.replace("seed: 4", "seed: 5"))
    assert other.scenarios != found.scenarios


def test_whole_numbers_may_be_drawn_on_a_logarithmic_scale(tmp_path):
    text = "random: {scenarios: 2000, zones: {from: 1, to: 99, log: true}}"
    zones = pd.Series([s["zones"] for s in read(tmp_path, text).scenarios])
    assert all(type(value) is int for value in zones.tolist())
    assert zones.between(1, 99).all()
    assert (zones < 10).mean() == pytest.approx(0.5, abs=0.05)  # 4 sigma


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("work: sizing\ngrid: {trace: [chat, code]}", "trace"),
        ("work: sizing\nfixed: {seed: 2}\ngrid: {zones: [1]}", "seed"),
        ("work: sizing\nlist: [{startup_s: 60}]", "startup_s"),
        ("work: sizing\nrandom: {scenarios: 2, detection_s: {from: 1, to: 9}}", "detection_s"),
        ("work: plan\ngrid: {trace: [chat, code]}", "trace"),
    ],
)
def test_a_parameter_that_changes_nothing_is_refused(tmp_path, text, name):
    with pytest.raises(ValueError, match=f"{name} changes nothing in work: "):
        read(tmp_path, text)


def test_work_may_be_a_range_of_chapters(tmp_path):
    found = read(tmp_path, "work: 03-05\ngrid: {epochs: [1, 2]}")
    assert [c[:2] for c in found.chapters] == ["03", "04", "05"]
    assert [c[:2] for c in read(tmp_path, "work: 04\ngrid: {seed: [1]}").chapters] == ["04"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "one key: value a line"),
        ("grid: [", "cannot be read as YAML"),
        ("gird: {zones: [1]}", "no key 'gird'; did you mean grid"),
        ("work: plan", "give one of grid, list, random, got none"),
        ("grid: {zones: [1]}\nlist: [{zones: 1}]", "got .'grid', 'list'."),
        (
            "work: all\ngrid: {zones: [1]}",
            "work is sizing, plan or chapters such as 03-10, got 'all'",
        ),
        ("work: 05-03\ngrid: {seed: [1]}", "05-03 ends before it begins; did you mean 03-05"),
        ("grid: {zone: [1]}", "did you mean zones"),
        ("grid: {epochs: [1]}", "no parameter 'epochs'"),
        ("grid: {zones: []}", "zones has no value"),
        ("grid: {zones: [0]}", r"zones must lie in \[1, inf\), got 0"),
        ("grid: {prices: [nope.csv]}", "there is no file .*nope.csv"),
        ("grid: {solver: [nope]}", "no solver 'nope' here"),
        ("fixed: {zones: 1}\ngrid: {zones: [1]}", "zones is fixed and varies"),
        ("list: {zones: 1}", "list must hold one mapping"),
        ("random: {zones: [1]}", "random needs scenarios: how many"),
        ("random: {scenarios: 2, zones: {low: 1}}", "zones is a list, or from, to and log"),
        (
            "random: {scenarios: 2, zones: {from: 3, to: 1}}",
            "zones needs numbers with from at most to",
        ),
        ("grid: {zones: [1]}\nfigure: {z: zones}", "a figure has x, y and by, got 'z'"),
        (
            "work: sizing\ngrid: {zones: [1]}\nfigure: {y: costs}",
            "no column 'costs' for y; there are scenario, cost_usd_week, .*zones",
        ),
        ("grid: {provider: [aws]}\nfigure: {x: provider}", "no column 'provider' for x"),
        ("work: 06\ngrid: {seed: [1]}\nfigure: {by: zone}", "no column 'zone' for by"),
    ],
)
def test_a_wrong_study_says_what_is_wrong(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_the_study_that_readme_shows_is_one(tmp_path):
    (text,) = re.findall(r"```yaml\n(work:.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    found = read(tmp_path, text)
    assert len(found.scenarios) == 9
    assert set(found.figure) == {"x", "y", "by"}
