"""SIGKILL to a worker, to the command, to a run of notebooks: nothing is lost, nothing is there twice."""

import json
import random
import signal
import subprocess
import sys
import time

import dask
import distributed  # noqa: F401 - its defaults come before one of them is set, and so are there after it
import psutil
import pytest

from capkit import course, study
from capkit.course import manifest

pytestmark = pytest.mark.more

STUDY = """
work: sizing
random:
  scenarios: 200
  seed: 5
  slo_latency_ms: {from: 1, to: 50}
  zones: [1, 2]
"""


def sweep(folder, *arguments):
    engine = [] if "--scheduler" in arguments else ["--workers", "2"]
    out = ["--out", str(folder / "out"), *engine, *arguments]
    command = [sys.executable, "-m", "capkit", "sweep", str(folder / "study.yaml"), *out]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def rows_in(folder):
    journal = folder / "out" / "rows.jsonl"
    return len(journal.read_bytes().splitlines()) if journal.is_file() else 0


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calm")
    (folder / "study.yaml").write_text(STUDY)
    study.run_study(study.read_study(folder / "study.yaml"), folder / "out")
    return (folder / "out" / "results.parquet").read_bytes()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def test_killed_workers_lose_no_scenario_and_repeat_none(folder, expected):
    command, rng, killed = sweep(folder), random.Random(3), 0
    while killed < 4:
        assert command.poll() is None
        time.sleep(rng.uniform(0.1, 1.0))
        children = psutil.Process(command.pid).children(recursive=True)
        workers = [p for p in children if "spawn_main" in " ".join(p.cmdline())]
        if rows_in(folder) and workers:
            rng.choice(workers).send_signal(signal.SIGKILL)
            killed += 1
    assert command.wait(300) == 0
    assert (folder / "out" / "results.parquet").read_bytes() == expected


def test_a_worker_that_dask_gives_up_is_replaced():
    # one that dies while it starts is closed and stays in the cluster's books, where it blocks its place
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}),
        study.cluster(workers=2) as client,
    ):
        client.wait_for_workers(2)
        before = set(client.scheduler_info()["workers"])
        client.sync(client.cluster.workers[0].close)
        wait_for(lambda: len(set(client.scheduler_info()["workers"]) - before) == 1)
        assert len(client.scheduler_info()["workers"]) == 2


def test_a_killed_command_goes_on_to_the_same_table(folder, expected):
    more = []
    for rows in (1, 30, 60):
        command = sweep(folder, *more)
        wait_for(lambda rows=rows: rows_in(folder) >= rows)
        command.kill()
        command.wait()
        more = ["--resume"]
    assert sweep(folder, "--resume").wait(300) == 0
    assert (folder / "out" / "results.parquet").read_bytes() == expected


def test_a_cluster_that_exists_gives_the_same_table(folder, expected):
    dask, file = [sys.executable, "-m", "dask"], folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    local = ["--no-dashboard", "--scheduler-file", str(file)]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *local], **quiet
    )
    worker = subprocess.Popen(
        [*dask, "worker", "--nworkers", "2", "--nthreads", "1", *local], **quiet
    )
    try:
        address = json.loads(wait_for(lambda: file.is_file() and file.read_text()))["address"]
        assert sweep(folder, "--scheduler", address).wait(300) == 0
    finally:
        for process in (worker, scheduler):
            process.terminate()
            process.wait()
    assert (folder / "out" / "results.parquet").read_bytes() == expected


def test_a_killed_run_of_notebooks_goes_on(tmp_path):
    out = tmp_path / "run"
    earlier, later = "03_workload_analysis", "02_architecture_resources_metrics"
    command = [sys.executable, "-m", "capkit", "run", "--out", str(out)]
    first = subprocess.Popen([*command, "--from", "02", "--to", "03"], stderr=subprocess.DEVNULL)
    wait_for(lambda: (out / f"{later}.partial.ipynb").is_file())
    children = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.wait()
    psutil.wait_procs(children, 60)
    done = manifest.read(out)["chapters"]
    assert list(done) == [earlier]
    assert subprocess.run([*command, "--resume"], stderr=subprocess.DEVNULL).returncode == 0
    after = manifest.read(out)["chapters"]
    assert after[earlier] == done[earlier]
    assert after[later]["product"] == course.load(out, later).sha256
    assert not list(out.glob("*.partial.*"))


def test_notebook_scenarios_run_in_folders_of_their_own(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("work: 02\nlist: [{seed: 1}, {seed: 2}]")
    with study.cluster(workers=2) as client:
        table = study.run_study(study.read_study(file), tmp_path / "out", client=client)
    assert (table["error"] == "").all()
    for number, notebook in enumerate(table["notebook"]):
        assert (tmp_path / "out" / notebook).is_file()
        product = course.load(
            tmp_path / "out" / "scenarios" / f"{number:06d}", notebook.split("/")[-1][:-6]
        )
        assert product.parameters["seed"] == number + 1
