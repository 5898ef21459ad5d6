"""`python -m capkit sweep`: rows, the table that does not depend on who did the work, the report."""

import contextlib
import dataclasses
import gc
import io
import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from capkit import course, planning, study
from capkit.course import execution, manifest
from capkit.datasets import project_root
from capkit.study import command, engine, scenario

ROOT = project_root()
SIZING = """
work: sizing
fixed: {provider: aws}
grid:
  slo_latency_ms: [50, 4, 0.1]
  zones: [1, 2]
"""


# No names of this module: workers cannot import it.
broken = eval("lambda task: 1 // 0")
broken_if_odd = eval(
    "lambda task: {'scenario': task.number, 'error': str(1 // (1 - task.number % 2))}"
)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    (folder / "study.yaml").write_text(SIZING)
    found = study.read_study(folder / "study.yaml")
    return found, folder / "out", study.run_study(found, folder / "out")


def test_a_scenario_without_a_plan_is_a_row_with_the_reason(serial):
    _, _, table = serial
    assert table["scenario"].tolist() == [0, 1, 2, 3, 4, 5]
    assert (table["error"] != "").tolist() == [False] * 4 + [True] * 2
    assert table["error"][4].startswith("ValueError: ")
    assert table["cost_usd_week"][4:].isna().all()
    assert [*table][4:-2] == list(scenario.SIZES)
    one_zone, two_zones = table["cost_usd_week"][0], table["cost_usd_week"][1]
    assert 0 < one_zone < two_zones
    assert table["cost_usd_week"][0] <= table["cost_usd_week"][2]


@pytest.mark.more
def test_sizing_is_the_first_answer_of_the_plan():
    slo = planning.SLO(0.99, 0.05)
    with contextlib.redirect_stdout(io.StringIO()):
        first = study.size("", slo)
        plan, _ = planning.plan_from_products("", slo)
    assert first["needed_max"] <= plan.hours["needed"].max()
    assert first["cost_usd_week"] <= plan.cost_usd_week
    if plan.rounds == 0:
        # Sizing knows no start-ups.
        running_usd_week = plan.cost_usd_week - plan.start_cost_usd_week
        assert first["cost_usd_week"] == pytest.approx(running_usd_week, abs=0.01)


def test_dask_s_table_is_the_serial_one_byte_for_byte(serial, tmp_path, monkeypatch):
    found, out, table = serial
    taken = []
    many = (taken.append(n) or study.Task(n, "none", {}, "", (), "") for n in range(40))
    monkeypatch.setattr(engine, "WINDOW", 6)
    with study.cluster(workers=1) as client:
        parallel = study.run_study(found, tmp_path / "out", client=client)
        tasks = [study.Task(n, "none", {"zones": 1}, "", (), "") for n in range(7)]
        rows = list(study.run_tasks(client, broken_if_odd, tasks, group=3))
        lost = study.run_tasks(client, broken, many, group=3)
        held = [len(taken) - done for done, _ in enumerate(lost)]
    pd.testing.assert_frame_equal(parallel, table)
    assert (tmp_path / "out" / "results.parquet").read_bytes() == (
        out / "results.parquet"
    ).read_bytes()
    assert sorted(row["scenario"] for row in rows) == list(range(7))
    for row in rows:
        assert row["error"].startswith("ZeroDivisionError" if row["scenario"] % 2 else "1")
    assert len(held) == 40 and max(held) <= 6, "groups that fail bring no more into memory"


def test_a_study_goes_on_with_what_is_missing(serial, tmp_path, monkeypatch):
    found, out, table = serial
    lines = (out / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    done = []
    monkeypatch.setattr(
        command, "evaluate", lambda task: done.append(task.number) or evaluate(task)
    )
    evaluate = scenario.evaluate
    pd.testing.assert_frame_equal(study.run_study(found, tmp_path), table)
    assert done == [2, 3, 4, 5]
    assert (tmp_path / "results.parquet").read_bytes() == (out / "results.parquet").read_bytes()


def test_a_scenario_stands_once_in_the_table(tmp_path):
    with study.Journal(tmp_path / "rows.jsonl") as journal:
        for value in (1.0, 2.0):
            journal.add({"scenario": 0, "x": value, "error": "", "notebook": ""})
        assert journal.table(["scenario"])["x"].tolist() == [1.0]


def test_a_scenario_that_two_commands_did_stands_once_in_the_table(tmp_path):
    path = tmp_path / "rows.jsonl"
    with study.Journal(path) as first, study.Journal(path) as second:
        first.add({"scenario": 1, "x": 1.0, "error": "", "notebook": ""})
        second.add({"scenario": 1, "x": 2.0, "error": "", "notebook": ""})
        second.add({"scenario": 0, "x": 3.0, "error": "", "notebook": ""})
        for journal in (first, second):
            table = journal.table(["scenario"])
            assert table[["scenario", "x"]].to_numpy().tolist() == [[0, 3.0], [1, 1.0]]


def test_an_unforeseen_error_is_a_row_too():
    (row,) = study.run_serially(broken, [study.Task(3, "plan", {"zones": 2}, "", (), "")])
    assert row == {
        "scenario": 3,
        "zones": 2,
        "error": "ZeroDivisionError: integer division or modulo by zero",
        "notebook": "",
    }


def test_a_scenario_by_notebooks_keeps_the_notebook_that_failed(tmp_path, monkeypatch):
    def stop(chapters, parameters, out, **terms):
        raise execution.ChapterError(chapters[0], out / "x.partial.ipynb", "KeyError: 'a'")

    monkeypatch.setattr(scenario, "run_chapters", stop)
    folder = str(tmp_path / "scenarios" / "000007")
    task = study.Task(7, "chapters", {"seed": 1}, "", ("03_workload_analysis",), folder)
    row = study.evaluate(task)
    assert row["error"] == "KeyError: 'a'"
    assert row["notebook"] == "scenarios/000007/x.partial.ipynb"


def test_the_report_shows_the_trade_off_and_escapes_what_scenarios_say(serial, tmp_path):
    found, _, table = serial
    table = table.copy()
    table.loc[5, ["error", "notebook"]] = ["<script>x</script>", "scenarios/000005/a.partial.ipynb"]
    page = study.write_report(found, table, tmp_path, {"work": "sizing"}).read_text()
    assert (tmp_path / "tradeoff.png").read_bytes()[:4] == b"\x89PNG"
    assert "4 of 6 scenarios have a result" in page
    assert 'alt="cost_usd_week of every scenario over slo_latency_ms"' in page
    assert "<script>" not in page
    assert "&lt;script&gt;x" in page
    assert 'href="scenarios/000005/a.partial.ipynb"' in page


def test_the_figure_draws_what_the_study_names(serial):
    found, _, table = serial
    assert study.chosen_columns(found, table) == {
        "x": "slo_latency_ms",
        "y": "cost_usd_week",
        "by": "zones",
    }
    named = dataclasses.replace(found, figure={"x": "zones", "y": "servers_max"})
    columns = study.chosen_columns(named, table)
    assert columns == {"x": "zones", "y": "servers_max", "by": "slo_latency_ms"}
    ax = study.plot_tradeoff(table, **columns)
    assert ax.get_xlabel() == "zones"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "slo_latency_ms = 4",
        "slo_latency_ms = 50",
    ]
    with pytest.raises(
        ValueError, match=r"no column of numbers 'costs' to draw; there are .*cost_usd"
    ):
        study.chosen_columns(dataclasses.replace(found, figure={"y": "costs"}), table)


def test_a_study_without_a_result_or_a_figure_has_a_report(serial, tmp_path):
    found, _, table = serial
    page = study.write_report(found, table[4:], tmp_path, {}).read_text()
    assert "0 of 2 scenarios have a result" in page
    assert "No figure: no scenario has a result" in page
    text = table.assign(cost_usd_week="low")
    named = dataclasses.replace(found, figure={"y": "cost_usd_week"})
    page = study.write_report(named, text, tmp_path, {}).read_text()
    assert "No figure: no column of numbers &#x27;cost_usd_week&#x27; to draw" in page
    assert "Failed, by reason" in page


def test_where_all_scenarios_fail_the_status_is_1_and_the_report_is_there(tmp_path, capsys):
    design = tmp_path / "study.yaml"
    design.write_text("work: sizing\ngrid: {slo_latency_ms: [0.1]}\nfigure: {y: cost_usd_week}")
    assert study.main([str(design), "--serial", "--out", str(tmp_path / "out")]) == 1
    assert "0 scenarios with a result, 1 without" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").is_file()
    assert len(pd.read_parquet(tmp_path / "out" / "results.parquet")) == 1


def run_command(tmp_path, *arguments):
    (tmp_path / "study.yaml").write_text(SIZING)
    return study.main(
        [str(tmp_path / "study.yaml"), "--serial", "--out", str(tmp_path / "out"), *arguments]
    )


def test_the_command_writes_table_figure_report_and_manifest(tmp_path, capsys):
    assert run_command(tmp_path) == 0
    assert "4 scenarios with a result, 2 without" in capsys.readouterr().out
    out = tmp_path / "out"
    for name in ("results.parquet", "tradeoff.png", "report.html", "study.yaml", "manifest.json"):
        assert (out / name).is_file(), name
    copy = ["--serial", "--resume", "--out", str(out)]
    assert study.main([str(out / "study.yaml"), *copy]) == 0
    record = manifest.read(out)
    reference = course.reference("07_forecasting").sha256
    assert record["study"]["inputs"]["07_forecasting"] == reference
    with pytest.raises(SystemExit):
        run_command(tmp_path)
    assert "holds a study: add --resume" in capsys.readouterr().err
    assert run_command(tmp_path, "--resume") == 0
    record["study"]["inputs"]["07_forecasting"] = "another"
    manifest.write(out, record)
    with pytest.raises(SystemExit):
        run_command(tmp_path, "--resume")
    assert "was begun with other inputs" in capsys.readouterr().err


def test_a_study_does_not_go_on_with_another_content_of_a_file(tmp_path, capsys):
    prices = tmp_path / "prices.csv"
    text = (ROOT / "data" / "catalogue.csv").read_text()
    prices.write_text(text)
    design = tmp_path / "study.yaml"
    design.write_text(f"work: sizing\nfixed: {{prices: {prices}}}\ngrid: {{zones: [1]}}")
    command = [str(design), "--serial", "--out", str(tmp_path / "out"), "--resume"]
    assert study.main(command[:-1]) == 0
    assert study.main(command) == 0
    prices.write_text(text + "\n")
    with pytest.raises(SystemExit):
        study.main(command)
    assert "was begun with other files" in capsys.readouterr().err


def test_a_study_does_not_go_on_with_changed_notebooks(tmp_path, monkeypatch, capsys):
    def done(task):
        return {"scenario": task.number, "error": "", "notebook": ""}

    monkeypatch.setattr(command, "evaluate", done)
    design = tmp_path / "study.yaml"
    design.write_text("work: 02\ngrid: {seed: [1]}")
    arguments = [str(design), "--serial", "--out", str(tmp_path / "out"), "--trust"]
    assert study.main(arguments) == 0
    monkeypatch.setattr(command, "source_hash", lambda notebook: "changed")
    with pytest.raises(SystemExit):
        study.main([*arguments, "--resume"])
    assert "was begun with other notebooks" in capsys.readouterr().err


def test_a_run_that_is_not_there_stops_the_study(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_command(tmp_path, "--run-dir", str(tmp_path / "misspelt"))
    assert "no product of a run in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_study_of_notebooks_refuses_another_run(tmp_path, capsys):
    (tmp_path / "study.yaml").write_text("work: 02\ngrid: {seed: [1]}")
    run_dir = ["--run-dir", str(ROOT / "data" / "reference")]
    with pytest.raises(SystemExit):
        study.main([str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), *run_dir])
    assert "--run-dir is for work: sizing and plan" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_study_whose_engine_is_not_there_has_not_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    (tmp_path / "study.yaml").write_text(SIZING)
    arguments = [str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        study.main(arguments)
    assert "pip install 'capkit[sweep]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    with (
        pytest.raises(ValueError, match="no Dask scheduler answers at nonsense"),
        study.cluster("nonsense"),
    ):
        pass


def test_tls_without_certificates_and_a_number_of_workers_below_zero_are_refused():
    gc.collect()  # a client that failed, collected while Dask starts the next one, waits for ever
    with (
        pytest.raises(ValueError, match=r"tls://127.0.0.1:1 needs certificates"),
        study.cluster("tls://127.0.0.1:1"),
    ):
        pass
    with pytest.raises(ValueError, match=r"workers is at least 1.*got -1"), study.cluster("", -1):
        pass


def test_without_dask_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"pip install 'capkit\[sweep\]'"), study.cluster():
        pass


def test_the_cluster_page_s_manifest_and_script_parse():
    text = (ROOT / "docs" / "clusters.md").read_text()
    (manifests,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    kinds = [document["kind"] for document in yaml.safe_load_all(manifests)]
    assert kinds == ["Service", "Deployment", "Deployment", "Job"]
    (script,) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    options = {o for action in command._parser()._actions for o in action.option_strings}
    commands = re.findall(r"capkit sweep(.*?)(?:`|\n\n|volumeMounts|\Z)", text, re.DOTALL)
    given = [re.findall(r"--[a-z-]+", command) for command in commands]
    assert [len(names) for names in given] == [0, 3, 2, 2]
    assert set().union(*given) <= options
