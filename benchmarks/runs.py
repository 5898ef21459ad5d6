"""Figures of `run` and `sweep`; writes benchmarks/runs.md.

    python benchmarks/runs.py [PART ...]    # all parts without any

Each part's rows are kept in build/runs.json, so that parts may be taken one at a time; the page shows them all.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from pages import write_page

from capkit import study
from capkit.course import manifest
from capkit.datasets import project_root

CORES = 2
MIB = 2**20
KEPT = project_root() / "build" / "runs.json"
DESIGN = """
work: sizing
random:
  scenarios: {scenarios}
  seed: {seed}
  slo_latency_ms: {{from: 2, to: 100, log: true}}
  slo_percentile: {{from: 0.9, to: 0.999}}
  zones: [1, 2, 3]
"""


def design(folder: Path, scenarios: int, seed: int) -> Path:
    """The YAML file of a random study."""
    file = folder / f"study_{seed}.yaml"
    file.write_text(DESIGN.format(scenarios=scenarios, seed=seed), encoding="utf-8")
    return file


@contextmanager
def peak_memory(processes: list[psutil.Process]) -> Iterator[list[tuple[float, float]]]:
    """(seconds, MiB in all) of processes, every half second."""
    seen: list[tuple[float, float]] = []
    stop, start = threading.Event(), time.perf_counter()

    def watch() -> None:
        while not stop.wait(0.5):
            used = sum(p.memory_info().rss for p in processes) / MIB
            seen.append((time.perf_counter() - start, used))

    thread = threading.Thread(target=watch)
    thread.start()
    yield seen
    stop.set()
    thread.join()


def cpu_s(processes: list[psutil.Process]) -> float:
    """CPU seconds that processes have used."""
    times = [process.cpu_times() for process in processes]
    return sum(t.user + t.system for t in times)


def throughput(seed: int, scenarios: int, sample: int = 400) -> dict[str, Any]:
    """A study on two workers against the mean time of some of its scenarios alone, half before and half after it."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = study.read_study(design(folder, scenarios, seed))
        tasks = list(study.tasks(found, folder))
        study.evaluate(tasks[0])  # imports and caches
        alone = tasks[:: scenarios // sample]

        def evaluate(part: list[study.Task]) -> tuple[float, float]:
            start, cpu = time.perf_counter(), time.process_time()
            rows.extend(study.evaluate(task) for task in part)
            return time.perf_counter() - start, time.process_time() - cpu

        before = evaluate(alone[::2])
        with study.cluster(workers=CORES) as client:
            client.run(study.evaluate, tasks[0])
            ids = client.run(lambda: __import__("os").getpid()).values()
            processes = [psutil.Process(), *map(psutil.Process, ids)]
            start, cpu = time.perf_counter(), cpu_s(processes)
            with peak_memory(processes) as memory:
                table = study.run_study(found, folder / "out", client=client)
            wall_s, all_cpu_s = time.perf_counter() - start, cpu_s(processes) - cpu
        after = evaluate(alone[1::2])
    single_s, single_cpu_s = (sum(pair) / len(rows) for pair in zip(before, after, strict=True))
    serial = (
        pd.DataFrame(rows)[table.columns]
        .astype(object)
        .fillna("")
        .set_index("scenario")
        .sort_index()
    )
    same = table.astype(object).fillna("").set_index("scenario").loc[serial.index]
    early = max(used for seconds, used in memory if seconds < 0.25 * wall_s)
    return {
        "study": f"random, seed {seed}",
        "scenarios": scenarios,
        "one alone, ms": 1000.0 * single_s,
        "on 2 workers, s": wall_s,
        "ratio (at most 1.3)": wall_s / (single_s * scenarios / CORES),
        "the same in CPU time": all_cpu_s / (single_cpu_s * scenarios),
        "peak MiB, first quarter": early,
        "peak MiB, all": max(used for _, used in memory),
        "rows unlike the serial ones, of those also done serially": (
            f"{int((serial != same).any(axis=1).sum())} of {len(serial)}"
        ),
    }


def worker_processes(command: psutil.Process) -> list[psutil.Process]:
    """The worker processes below a command that has a local cluster."""
    found = []
    for process in command.children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "spawn_main" in line:
            found.append(process)
    return found


def rows_in(out: Path) -> int:
    """How many scenarios a study has done so far."""
    journal = out / "rows.jsonl"
    return len(journal.read_bytes().splitlines()) if journal.is_file() else 0


def start(file: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """The command, in a process of its own."""
    given = [sys.executable, "-m", "capkit", "sweep", str(file), "--out", str(out)]
    given += ["--workers", str(CORES), *more]
    return subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def undisturbed(file: Path, out: Path) -> bytes:
    """The bytes of a study's table, made in this process."""
    study.run_study(study.read_study(file), out)
    return (out / "results.parquet").read_bytes()


def outcome(out: Path, expected: bytes, what: str, kills: int, scenarios: int) -> dict[str, Any]:
    """What is left after the kills."""
    table = pd.read_parquet(out / "results.parquet")
    return {
        "killed with SIGKILL": what,
        "times": kills,
        "scenarios": scenarios,
        "in the table": len(table),
        "different": table["scenario"].nunique(),
        "lost (error)": int((table["error"] != "").sum()),
        "the same bytes": (out / "results.parquet").read_bytes() == expected,
    }


def kill_workers(kills: int = 20, scenarios: int = 1000) -> dict[str, Any]:
    """Kill a worker at random moments; the table must be that of an undisturbed study."""
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = design(folder, scenarios, 11)
        expected = undisturbed(file, folder / "calm")
        command = start(file, folder / "out")
        done = 0
        while done < kills and command.poll() is None:
            time.sleep(rng.uniform(0.2, 3.0))
            workers = worker_processes(psutil.Process(command.pid))
            if rows_in(folder / "out") and workers:
                rng.choice(workers).send_signal(signal.SIGKILL)
                done += 1
        if command.wait():
            raise RuntimeError("the study stopped")
        return outcome(folder / "out", expected, "a worker", done, scenarios)


def kill_command(kills: int = 10, scenarios: int = 60) -> dict[str, Any]:
    """Kill the command itself at random moments and go on."""
    rng = random.Random(2)
    with tempfile.TemporaryDirectory() as name:
        folder, more = Path(name), []
        file = design(folder, scenarios, 12)
        expected = undisturbed(file, folder / "calm")
        done = 0
        while done < kills:
            command = start(file, folder / "out", *more)
            begun, wanted = rows_in(folder / "out"), rng.randint(1, scenarios // (2 * kills))
            while rows_in(folder / "out") < begun + wanted and command.poll() is None:
                time.sleep(0.02)
            time.sleep(rng.uniform(0.0, 0.2))
            if command.poll() is not None:
                break
            command.kill()
            command.wait()
            done, more = done + 1, ["--resume"]
        if start(file, folder / "out", "--resume").wait():
            raise RuntimeError("the study stopped")
        return outcome(folder / "out", expected, "the command", done, scenarios)


def course() -> dict[str, Any]:
    """The command `run` over the whole course, against the sum of the cells' own times."""
    with tempfile.TemporaryDirectory() as name:
        given = [sys.executable, "-m", "capkit", "run", "--out", f"{name}/run"]
        begun = time.perf_counter()
        subprocess.run(given, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall_s = time.perf_counter() - begun
        chapters = manifest.read(Path(name) / "run")["chapters"].values()
    cells_s = sum(chapter["cell_seconds"] for chapter in chapters)
    return {
        "chapters": len(chapters),
        "cells, s": cells_s,
        "the command, s": wall_s,
        "ratio (at most 1.25)": wall_s / cells_s,
    }


PARTS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    **{
        f"throughput-{scenarios}": (
            "Studies without notebooks: two workers against one scenario after the other. The wall ratio "
            "needs two free cores; CPU time does not",
            lambda seed=seed, scenarios=scenarios: throughput(seed, scenarios),
        )
        for seed, scenarios in ((1, 10_000), (2, 2500))
    },
    "workers": ("Killed studies against undisturbed ones (each row taken by itself)", kill_workers),
    "command": ("Killed studies against undisturbed ones (each row taken by itself)", kill_command),
    "course": ("The whole course by `run` (taken by itself)", course),
}


def main() -> None:
    KEPT.parent.mkdir(exist_ok=True)
    rows = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    for part in sys.argv[1:] or PARTS:
        rows[part] = PARTS[part][1]()
        KEPT.write_text(json.dumps(rows, indent=1))
    pages: dict[str, list[dict[str, Any]]] = {}
    for part, (heading, _) in PARTS.items():
        if part in rows:
            pages.setdefault(heading, []).append(rows[part])
    tables = {heading: pd.DataFrame(found) for heading, found in pages.items()}
    write_page(__file__, "Runs and studies", tables)


if __name__ == "__main__":
    main()
