"""The capstone's companies and the classroom: raw files with known flaws, a fair judge, a class without copies."""

import itertools
import json
from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest

from capkit import course, datasets, planning
from capkit.course import capstone, classroom, companies, errors, rubric, run
from capkit.course.exercises import judge
from capkit.course.exercises.checks import EXERCISES, find
from capkit.course.notebooks import execute
from capkit.course.products import notebook_path

ONE = companies.scenario({"seed": 1})
FILES = {"brief.md", "terms.json", "requests.csv", "hourly.csv", "latencies.csv", "prices.csv"}


@pytest.fixture(scope="module")
def known():
    return capstone.reference(**ONE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return companies.write_files(companies.found(**ONE), tmp_path_factory.mktemp("company"))


def test_the_same_company_has_the_same_bytes(folder, tmp_path):
    again = companies.write_files(companies.found(**ONE), tmp_path)
    assert {path.name for path in folder.iterdir()} == FILES
    for name in FILES:
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_the_log_has_the_flaws_that_chapter_03_teaches(folder, known):
    raw = pd.read_csv(folder / "requests.csv")
    assert raw["arrived_at"].isna().any() and (raw["bytes"] < 0).any()
    assert raw.duplicated().sum() > 0.05 * len(raw)
    zones = raw["arrived_at"].dropna().str.extract(r"(Z|[+-]\d\d:\d\d)$")[0].unique()
    assert len(zones) == 2 and "Z" in zones
    with pytest.raises(ValueError, match="repair=True"):
        datasets.read_log(folder / "requests.csv", time_column="arrived_at")
    with pytest.raises(ValueError, match="written twice"):
        datasets.read_log(folder / "requests.csv", time_column="arrived_at", repair=True)
    assert known.requests < len(raw) - raw.duplicated().sum()
    assert 200 < known.silence_s < 430


def test_the_counts_are_on_the_clock_of_the_wall_and_lack_hours(folder, known):
    raw = pd.read_csv(folder / "hourly.csv")
    assert raw["hour"].duplicated().sum() >= 1
    company = known.company
    truth = company.hourly.iloc[: companies.HISTORY_H]
    assert 6 <= len(truth) - len(raw) <= 15
    assert len(known.history) == len(truth)
    near = known.history.to_numpy() / truth.to_numpy() - 1.0
    assert (np.abs(near) < 1e-9).sum() == len(raw)


def test_the_cold_start_is_in_the_benchmark_and_not_in_the_profile(folder, known):
    us = pd.read_csv(folder / "latencies.csv")["latency_us"]
    assert us[:20].mean() > 5.0 * us[100:].mean()
    assert 1000.0 * known.service.service_time_s == pytest.approx(
        known.company.service_ms, rel=0.04
    )
    assert known.service.service_cv2 == pytest.approx(known.company.service_cv2, rel=0.15)


def test_the_minutes_of_a_thinned_log_are_those_of_the_whole(known):
    assert known.minute_factors.max() == pytest.approx(known.company.minute_factors.max(), rel=0.12)


def test_no_file_holds_the_week_that_came(folder, known):
    week = {f"{count:.0f}" for count in known.company.hourly.iloc[companies.HISTORY_H :]}
    hours = pd.read_csv(folder / "hourly.csv")
    assert not week & set(hours["requests"].astype(str))
    last = known.company.hourly.index[companies.HISTORY_H].tz_localize(None)
    assert pd.to_datetime(hours["hour"]).max() < last


@pytest.mark.parametrize("seed", [2, 3])
def test_companies_differ_in_every_number(seed):
    one, other = companies.found(**ONE), companies.found(**ONE | {"seed": seed})
    assert one.service_ms != other.service_ms
    assert (one.hourly.to_numpy() != other.hourly.to_numpy()).mean() > 0.999
    assert (one.prices["on_demand_usd_h"] != other.prices["on_demand_usd_h"]).all()
    assert (one.minute_factors != other.minute_factors).all()


def test_every_parameter_changes_the_company():
    one = companies.found(**ONE)
    code = companies.found(**ONE | {"trace": "code"})
    assert code.minute_factors.max() > one.minute_factors.max()
    twice = companies.found(**ONE | {"load_scale": 400.0})
    assert twice.hourly.sum() == pytest.approx(2.0 * one.hourly.sum(), rel=1e-6)
    assert "95 % of the requests are answered within 20 ms" in companies.brief(
        companies.found(**ONE | {"slo_percentile": 0.95, "slo_latency_ms": 20.0})
    )


def test_files_beside_the_notebook_are_used_and_others_are_not(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CAPKIT_RUNS", str(tmp_path))
    monkeypatch.chdir(folder)
    assert companies.open_files(ONE).samefile(folder)
    written = companies.open_files(ONE | {"seed": 2})
    assert written == course.resolve_run_dir("") / "11_capstone"
    terms = json.loads((written / "terms.json").read_text())
    assert terms["hours"] == companies.WEEK_H


def test_the_reference_holds_on_the_week_that_came_and_the_naive_plan_does_not(known):
    table = capstone.compare(known.plan, **ONE).set_index("plan")
    assert table.loc["the reference plan", "hours_missed"] == 0
    assert table.loc["the naive plan", "hours_missed"] > 100
    yours, ours = table.loc["your plan"], table.loc["the reference plan"]
    pd.testing.assert_series_equal(yours, ours, check_names=False)
    assert known.plan.cost_usd_week == pytest.approx(
        capstone.bill_usd_week(known.company, known.plan), rel=1e-6
    )


def test_chapter_11_names_one_plan_to_beat_and_not_its_cost(known):
    notebook = nbformat.read(notebook_path("11_capstone"), as_version=4)
    outputs = [str(o) for cell in notebook.cells for o in cell.get("outputs", [])]
    answer = next(text for text in outputs if "**Answer.**" in text)
    naive = capstone.naive_plan(known)
    missed = capstone.measure(known.company, [naive])["hours_missed"][0]
    said = f"The plan to beat runs {naive.servers.max()} servers in every hour and misses the promise in {missed} of"
    assert said in answer
    assert not any(f"{naive.cost_usd_week:.2f}" in text for text in outputs)  # exercise 11.7


def test_the_naive_plan_needs_no_plan_that_keeps_the_promise():
    known = capstone.reference(**ONE | {"slo_latency_ms": 1.0})
    assert capstone.naive_plan(known).servers.max() == 30
    with pytest.raises(ValueError, match="1 ms"):
        known.plan  # noqa: B018 - computed when asked for


def test_wrong_answers_are_told_apart(known, folder):
    raw = pd.read_csv(folder / "requests.csv")
    us = pd.read_csv(folder / "latencies.csv")["latency_us"]
    usd = capstone.naive_plan(known).cost_usd_week
    local = pd.Series(
        known.history.to_numpy(), known.history.index.tz_localize(None) + pd.Timedelta("5h")
    )
    wrong = {
        ("11.1", float(len(raw))): "too much",
        ("11.1", float(known.requests + 4)): "size that cannot be",
        ("11.2", known.silence_s / 60.0): "minutes, or seconds",
        ("11.4", 1e6 * known.service.service_time_s): "1000 times too much",
        ("11.4", us.mean() / 1000.0): "cold server",
        ("11.7", usd / 168.0): "a week, or an hour",
    }
    for (key, answer), words in wrong.items():
        verdict = judge(key, answer, **ONE)
        assert not verdict.right and words in verdict.text, (key, verdict)
    assert "UTC" in judge("11.5", local, **ONE).text
    assert "missing" in judge("11.5", known.history[:-5], **ONE).text
    assert "could not be tried" in judge("11.5", 3, **ONE).text


def test_forecasts_are_judged_by_the_week_that_came(known):
    table = known.forecast
    rates = [column for column in table if column.endswith("_rps")]
    assert judge("11.6", table, **ONE).right
    assert "168 hours" in judge("11.6", table.head(24), **ONE).text
    scaled = table.assign(**{c: 3600.0 * table[c] for c in rates})
    assert "requests a second" in judge("11.6", scaled, **ONE).text
    flat = table.assign(**{c: table[c].mean() for c in rates})
    assert "errs more" in judge("11.6", flat, **ONE).text
    sure = table.assign(lower_95_rps=table["mean_rps"], upper_95_rps=table["mean_rps"])
    assert "interval" in judge("11.6", sure, **ONE).text


def test_plans_are_judged_by_promise_bill_replay_and_money(known):
    plan = known.plan
    assert judge("11.8", plan, **ONE).right
    assert "planning.plan" in judge("11.8", "a plan", **ONE).text
    loose = replace(plan, problem=replace(plan.problem, slo=planning.SLO(0.9, 0.05)))
    assert "another promise" in judge("11.8", loose, **ONE).text
    needed = plan.hours["needed"].to_numpy()

    def with_share(share):
        fleet = plan.problem.fleet(np.ceil(share * needed).astype(np.int64))
        return judge("11.8", replace(plan, fleet=fleet), **ONE).text

    assert "no zone is lost" in with_share(0.3)
    assert "with a zone lost" in with_share(0.6)
    assert "costs far more" in with_share(1.5)
    options = plan.problem.options
    cheap = replace(plan.problem, options=options.assign(cost_usd_h=options["cost_usd_h"] / 2))
    forged = replace(plan, fleet=cheap.fleet(cheap.needed()))
    assert "price list" in judge("11.8", forged, **ONE).text


def test_errors_of_the_models_and_of_the_learner_stand_side_by_side(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CAPKIT_RUNS", str(tmp_path))
    before = errors.summary(errors.errors_beside())
    assert errors.YOU not in set(before["model"])
    assert {"0 document", "seasonal_naive"} <= set(before["model"])
    course.predict("06.1 wait", 15.0, "min")
    course.reveal("06.1 wait", 20.0)
    together = errors.errors_beside()
    mine = errors.summary(together).set_index("model").loc[errors.YOU]
    assert mine["predictions"] == 1 and mine["median_percent"] == 25.0
    labels = [text.get_text() for text in errors.plot_errors(together).get_yticklabels()]
    assert labels[0] == errors.YOU and len(labels) == len(before) + 1
    capsys.readouterr()


def roster(tmp_path, text):
    path = tmp_path / "roster.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_teams_draw_scenarios_of_their_own(tmp_path):
    path = roster(tmp_path, "team\n" + "\n".join(f"t{n}" for n in range(40)))
    teams = classroom.read_roster(path)
    assert len({t["seed"] for t in teams.values()}) == 40
    assert {t["trace"] for t in teams.values()} == {"chat", "code"}
    assert classroom.read_roster(path) == teams
    assert classroom.read_roster(path, {"seed": 2}) != teams


def test_a_cell_of_the_roster_goes_before_the_class_and_the_draw(tmp_path):
    path = roster(tmp_path, "team,slo_latency_ms,seed\nred,30,\nblue,,7\n")
    teams = classroom.read_roster(path, {"trace": "code", "slo_latency_ms": "80"})
    assert teams["red"]["slo_latency_ms"] == 30.0 and teams["blue"]["slo_latency_ms"] == 80.0
    assert teams["blue"]["seed"] == 7
    assert {t["trace"] for t in teams.values()} == {"code"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\nred\n", "needs a column team"),
        ("team\n", "needs a column team with a row a team"),
        ("team,slo\nred,5\n", "no column 'slo' is known"),
        ("team,slo_latency_ms\nred,30\nblue,fast\n", "row 2 below the header: slo_latency_ms"),
        ("team,slo_percentile\nred,99\n", "row 1 below the header: slo_percentile must lie in"),
        ("team,prices\nred,none.csv\n", "row 1 below the header: there is no file"),
        ("team\nred\nRed\n", "row 2 below the header: team 'Red' is there twice"),
        ("team\n../red\n", "a name of letters"),
        ("team\nt.红\n", "a name of letters"),
        ("team,seed\nred,1\nblue,2,3\n", "row 2 below the header: a value too many, '3'"),
        ("team,seed,seed\nred,1,2\n", "column 'seed' is there twice"),
        ("team,seed\nred,4\nblue,4\n", "row 2 below the header: team 'blue' has the seed 4"),
    ],
)
def test_a_wrong_roster_is_refused_before_anything_is_written(tmp_path, capsys, text, message):
    path, out = roster(tmp_path, text), tmp_path / "class"
    with pytest.raises(SystemExit):
        run.main(["--classroom", str(path), "--out", str(out)])
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_spreadsheet_s_trailing_commas_and_short_rows_change_no_team(tmp_path):
    written = roster(tmp_path, "team,seed,trace\nred,1,code\nblue,,\n")
    plain = classroom.read_roster(written)
    exported = roster(tmp_path, "\ufeffteam,seed,trace,,\nred,1,code,,\n,,,,\nblue\n")
    assert classroom.read_roster(exported) == plain
    assert list(plain) == ["red", "blue"] and plain["red"]["seed"] == 1


def test_a_team_s_name_takes_letters_of_any_script(tmp_path):
    teams = classroom.read_roster(roster(tmp_path, "team\n红队\nÉquipe-2\n"))
    assert list(teams) == ["红队", "Équipe-2"]


def test_a_roster_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*roster\.csv"):
        classroom.read_roster(tmp_path / "roster.csv")


def test_a_promise_that_nothing_meets_names_the_team_and_nothing_is_written(tmp_path):
    text = "team,slo_latency_ms,seed\nblue,50,1\nred,1,2\n"
    teams = classroom.read_roster(roster(tmp_path, text))
    with pytest.raises(ValueError, match="team 'red': its company has no plan"):
        classroom.make_class(teams, tmp_path / "class", progress=False)
    assert not (tmp_path / "class").exists()


def solved(tmp_path, monkeypatch, code):
    """Make a class of one team whose reference solution is one cell of code."""
    cells = [
        nbformat.v4.new_code_cell("seed = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code),
    ]
    solutions = tmp_path / "solutions"
    solutions.mkdir()
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, solutions / f"{classroom.CHAPTER}.ipynb")
    monkeypatch.setattr(classroom, "solutions_dir", lambda: solutions)
    monkeypatch.setattr(classroom, "_key", lambda team, scenario: {"cost_usd_week": 1.0})
    return classroom.make_class({"red": ONE}, tmp_path / "class", progress=False)


def test_a_solution_that_stops_names_the_team_and_leaves_nothing(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"team 'red': .* stopped: OSError: no room"):
        solved(tmp_path, monkeypatch, "raise OSError('no room')")
    assert {path.name for path in tmp_path.iterdir()} == {"solutions"}


def test_solving_for_the_key_leaves_the_teacher_s_own_ledger_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("CAPKIT_RUNS", str(tmp_path / "own"))
    code = "from capkit import course\ncourse.predict('wait', 1.0, 's')"
    key = solved(tmp_path, monkeypatch, code)
    assert key == tmp_path / "class" / "teacher" / "key.csv" and key.is_file()
    assert "Noted" in (key.parent / "red" / "11_capstone.ipynb").read_text("utf-8")
    assert not (tmp_path / "own").exists()


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    """A class of three teams, made by the command."""
    folder = tmp_path_factory.mktemp("school")
    path = roster(folder, "team,slo_latency_ms,load_scale\nred,50,100\nblue,50,100\ngreen,,\n")
    assert run.main(["--classroom", str(path), "--out", str(folder / "class")]) == 0
    return folder / "class"


@pytest.mark.more
def test_no_two_teams_share_a_key_number(school):
    key = pd.read_csv(school / "teacher" / "key.csv").set_index("team")
    assert list(key.index) == ["red", "blue", "green"]
    numbers = [
        *("log_requests", "log_silence_s", "busiest_minute_over_mean", "service_ms", "service_cv2"),
        *("history_mean_rps", "forecast_mean_rps", "cost_usd_week", "naive_usd_week"),
    ]
    for one, other in itertools.combinations(key.index, 2):
        assert (key.loc[one, numbers] != key.loc[other, numbers]).all(), (one, other)
    assert (key["hours_missed"] <= 1).all() and (key["naive_hours_missed"] > 50).all()


@pytest.mark.more
def test_a_team_has_its_files_and_not_the_key(school):
    key = pd.read_csv(school / "teacher" / "key.csv", dtype=str).set_index("team")
    for team in key.index:
        files = {path.name: path.read_text("utf-8") for path in (school / "teams" / team).iterdir()}
        assert set(files) == FILES | {"11_capstone.ipynb"}
        text = files["11_capstone.ipynb"]
        for column in ("cost_usd_week", "naive_usd_week", "log_requests", "forecast_mean_rps"):
            assert not any(
                key.loc[team, column] in content for content in (text, files["brief.md"])
            )
        assert "](../" not in text and "chapter 11" in text
        assert "cut_silences(log.times" not in text and f"seed = {key.loc[team, 'seed']}" in text


@pytest.mark.more
def test_a_team_s_notebook_runs_untouched_on_its_own_files(school, tmp_path):
    folder = school / "teams" / "red"
    notebook = nbformat.read(folder / "11_capstone.ipynb", as_version=4)
    execute(notebook, environment={"CAPKIT_RUNS": str(tmp_path)}, folder=folder)
    shown = "".join(str(o) for c in notebook.cells for o in c.get("outputs", []))
    assert "✗" not in shown and shown.count("… **11.") == 9


@pytest.mark.more
def test_the_teacher_has_every_solution_with_its_page(school):
    for team in ("red", "blue", "green"):
        names = {path.name for path in (school / "teacher" / team).iterdir()}
        assert {"11_capstone.ipynb", "11_capstone.html"} <= names


def test_the_way_and_the_rubric_name_every_milestone():
    find("11.1")
    about_the_company = set(EXERCISES) - {"11.9"}  # which is about the reader's own system
    milestones = {key for key in about_the_company if key.startswith("11.")}
    for named in (rubric.way()["milestone"], rubric.rubric()["milestones"]):
        assert {m for cell in named for m in cell.split(", ") if m[:3] == "11."} == milestones
