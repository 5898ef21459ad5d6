"""Products, parameters, the check, the command line and the environment files."""

import json
import re
import subprocess
import sys
import tomllib

import numpy as np
import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement

from capkit import course, datasets
from capkit.__main__ import main as capkit_main
from capkit.course import check
from capkit.course.notebooks import select
from capkit.course.outline import fill_readme
from capkit.datasets import project_root

ROOT = project_root()


@pytest.fixture
def save(tmp_path):
    def save_product(chapter, value, inputs=()):
        return course.save(
            tmp_path, chapter, "thing@1", {"rate_rps": value}, parameters={"seed": 1}, inputs=inputs
        )

    return save_product


def test_what_was_saved_is_loaded(tmp_path):
    table = pd.DataFrame({"x": [1, 2], "y_ms": [0.5, 1.5]})
    attachment = tmp_path / "model" / "1"
    attachment.mkdir(parents=True)
    (attachment / "weights").write_bytes(b"123")
    saved = course.save(
        tmp_path / "run",
        "03_workload_analysis",
        "workload@1",
        {"rate_rps": 2.5},
        parameters={"seed": 7},
        measured={"backend": "none"},
        tables={"small": table},
        files={"model": tmp_path / "model"},
    )
    loaded = course.load(tmp_path / "run", "03_workload_analysis")
    assert loaded == saved
    assert loaded.data == {"rate_rps": 2.5}
    assert loaded.measured == {"backend": "none"}
    pd.testing.assert_frame_equal(loaded.table("small"), table)
    assert (loaded.path("model") / "1" / "weights").read_bytes() == b"123"
    with pytest.raises(FileNotFoundError, match=r"no other\.csv; it has: .*small\.csv"):
        loaded.table("other")


def test_same_content_same_bytes_and_a_table_counts(tmp_path):
    def product(folder, y):
        return course.save(
            tmp_path / folder,
            "03_workload_analysis",
            "workload@1",
            {"a": 1},
            parameters={},
            tables={"t": pd.DataFrame({"y": [y]})},
        ).sha256

    assert product("a", 1.0) == product("b", 1.0) != product("c", 2.0)


def test_missing_product_falls_back_to_the_reference_and_says_so(tmp_path, capsys):
    product = course.load(tmp_path, "05_serving_benchmark")
    assert product == course.reference("05_serving_benchmark")
    assert capsys.readouterr().out == "05_serving_benchmark: taken from the reference run\n"


def test_the_machines_of_the_first_plan_carry_its_servers_and_cost_what_it_says():
    plan = course.reference("01_why_capacity_planning").data
    catalogue = datasets.load_catalogue(provider="aws").set_index("name")
    machine = catalogue.loc[plan["machine"]]
    assert (plan["machines"] - 1) * machine["vcpus"] < plan["servers"]
    assert plan["servers"] <= plan["machines"] * machine["vcpus"]
    week_usd = plan["machines"] * machine["on_demand_usd_h"] * 168
    assert plan["cost_usd_week"] == pytest.approx(week_usd)


def test_stale_product_names_the_chapter_to_run_again(save, tmp_path):
    workload = save("03_workload_analysis", 1.0)
    save("06_queueing", 2.0, inputs=[workload])
    assert course.load(tmp_path, "06_queueing").data == {"rate_rps": 2.0}
    save("03_workload_analysis", 1.5)
    with pytest.raises(course.StaleProductError, match="run 06_queueing again"):
        course.load(tmp_path, "06_queueing")


def test_saving_replaces_the_product_whole(save, tmp_path):
    save("03_workload_analysis", 1.0)
    save("03_workload_analysis", 2.0)
    assert course.load(tmp_path, "03_workload_analysis").data == {"rate_rps": 2.0}
    assert [p.name for p in tmp_path.iterdir()] == ["03_workload_analysis"]


def test_save_refuses_what_is_not_a_product(tmp_path):
    with pytest.raises(ValueError, match="no chapter '99_none'; the chapters are 00_start_here"):
        course.save(tmp_path, "99_none", "x@1", {}, parameters={})
    with pytest.raises(ValueError, match="name@version"):
        course.save(tmp_path, "06_queueing", "x", {}, parameters={})
    with pytest.raises(ValueError, match="JSON"):
        course.save(tmp_path, "06_queueing", "x@1", {"a": float("nan")}, parameters={})


def test_relative_run_folder_is_below_the_project(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert course.resolve_run_dir("runs/mine") == ROOT / "runs" / "mine"
    assert course.resolve_run_dir(tmp_path) == tmp_path


def test_a_run_that_is_read_must_be_there(save, tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match=r"no product of a run in .*misspelt"):
        course.existing_run(tmp_path / "misspelt")
    assert capkit_main(["plan", "--run-dir", str(tmp_path)]) == 1
    assert "no plan: no product of a run in" in capsys.readouterr().err
    save("03_workload_analysis", 1.0)
    assert course.existing_run(tmp_path) == str(tmp_path)
    assert course.existing_run("") == ""


def test_reference_run_is_consistent(capsys):
    for folder in sorted((ROOT / "data" / "reference").iterdir()):
        product = course.load("", folder.name)
        content = json.loads((folder / "product.json").read_text())
        assert content["chapter"] == folder.name
        assert "run_dir" not in product.parameters
        present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert present - {"product.json", "manifest.json"} == set(content["files"])


def test_unknown_chapter_is_named():
    with pytest.raises(ValueError, match=r"no such chapter among \['42'\]"):
        select(["42"])


def test_check_passes_here(capsys):
    assert check.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("ready")
    assert not [line for line in lines if line.startswith("[FAIL]")]


def test_check_names_the_mend(monkeypatch, capsys):
    version = check.metadata.version

    def fake(name):
        if name == "scipy":
            raise check.metadata.PackageNotFoundError(name)
        return "1.0" if name == "numpy" else version(name)

    monkeypatch.setattr(check.metadata, "version", fake)
    monkeypatch.setattr(check.datasets, "verify", lambda: ["catalogue.csv is missing"])
    assert check.main([]) == 1
    out = capsys.readouterr().out
    assert "[FAIL] scipy: not installed -> make lab" in out
    assert re.search(r"\[FAIL\] numpy: 1\.0, needs <3,>=2\.1", out)
    assert "[FAIL] data: catalogue.csv is missing -> git checkout -- data" in out


def test_command_line_lists_its_commands(capsys):
    assert capkit_main([]) == 0
    assert "gpu-bench" in capsys.readouterr().out
    assert capkit_main(["nonsense"]) == 2


def test_answer_fills_in_the_numbers(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    course.answer("Buy **{servers}** for {cost:,.2f} USD", servers=3, cost=np.float64(1234.5))
    assert shown[0].data == "Buy **3** for 1,234.50 USD"


def test_import_is_light():
    code = (
        "import sys, capkit, capkit.queueing, capkit.course, capkit.workload, capkit.tco, capkit.planning\n"
        "heavy = {'tensorflow', 'matplotlib.pyplot', 'papermill', 'statsmodels.api'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def project_requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    installed = ("notebooks", "tensorflow", "sweep", "test")
    return project, project["dependencies"] + [r for name in installed for r in extras[name]]


def test_conda_environment_has_the_bounds_of_the_project():
    project, requirements = project_requirements()
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [d for d in content["dependencies"] if isinstance(d, str)]
    (pip,) = (d["pip"] for d in content["dependencies"] if isinstance(d, dict))
    assert conda == [f"python{project['requires-python']}", "pip"]
    assert pip[-1] == "-e ."
    assert pip[:-1] == requirements


def test_lock_pins_every_requirement_within_its_bounds_and_names_no_host():
    _, requirements = project_requirements()
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|index-url", text)
    pins = {}
    for line in filter(None, text.splitlines()):
        pin = Requirement(line)
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        pins.setdefault(pin.name.lower().replace("_", "-"), []).append(specifier.version)
    for line in requirements:
        wanted = Requirement(line)
        for version in pins[wanted.name.lower().replace("_", "-")]:
            assert wanted.specifier.contains(version), line


def test_network_block_stops_everything_but_loopback():
    code = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname(), 1).close()\n"
        "for call in (lambda: socket.create_connection(('192.0.2.1', 80), 1), lambda: socket.getaddrinfo('example.org', 80)):\n"
        "    try: call()\n"
        "    except OSError as error: assert 'the network is blocked' in str(error)\n"
        "    else: raise SystemExit('reached the network')"
    )
    path = str(ROOT / "tests" / "netblock")
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})


def test_a_variable_may_not_hide_a_parameter():
    with pytest.raises(ValueError, match="target is a parameter but holds a dict"):
        course.used_parameters({"seed": 1, "target": {}})


@pytest.mark.parametrize(
    ("slo_latency_ms", "slo_percentile", "message"),
    [
        (1.0, 0.99, "slo_latency_ms = 1 is not above the overhead of 1.1 ms"),
        (0.0, 0.99, "slo_latency_ms = 0"),
        (float("nan"), 0.99, "slo_latency_ms = nan"),
        (50.0, 99, "slo_percentile is a share between 0 and 1, such as 0.99 for p99, got 99"),
        (50.0, 1.0, "slo_percentile"),
    ],
)
def test_a_target_that_nothing_can_meet_names_its_parameter(
    slo_latency_ms, slo_percentile, message
):
    with pytest.raises(ValueError, match=message):
        course.response_budget_s(slo_latency_ms, slo_percentile, 0.0011)


def test_readme_shows_the_chapters_and_the_plan_as_they_are():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert fill_readme(text) == text, "run: make notebooks"
    assert "USD a week" in text


def test_readme_s_links_and_picture_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
