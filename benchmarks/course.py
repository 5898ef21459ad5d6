"""Time `make test` from nothing and each notebook; write the table to benchmarks/course.md.

The project's tracked files are cloned into an empty folder, so that the set-up is part of the time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from capkit import telemetry
from capkit.course.notebooks import select
from capkit.course.run import run_chapters
from capkit.datasets import project_root

ROOT = project_root()


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    """Seconds and output of a command that must succeed."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.perf_counter() - started, done.stdout


def test_from_nothing() -> list[tuple[str, float]]:
    """Seconds of the set-up and of `make test` in a fresh clone."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "capkit"
        timed(["git", "clone", "-q", str(ROOT), str(clone)], Path(folder))
        setup, _ = timed(["make", ".venv/.ready"], clone)
        tests, output = timed(["make", "test"], clone)
        for line in re.findall(r"^=*\s?(\d+ passed.*?)\s?=*$", output, flags=re.M):
            print(line)
        again, _ = timed(["make", ".venv/.ready"], clone)
    return [
        ("set-up: virtual environment and packages", setup),
        ("`make test` after the set-up", tests),
        ("`make test` from nothing", setup + tests),
        ("a second set-up", again),
    ]


def main() -> None:
    rows = test_from_nothing()
    with tempfile.TemporaryDirectory() as folder:
        seconds = run_chapters(select([]), {}, Path(folder), progress=False)
    here = telemetry.machine()
    page = [
        "# Times of the course",
        "",
        f"Machine: {here['cpu']}, {here['cores']} cores, {here['memory_gib']:.0f} GiB, Python {here['python']}.",
        "One run; the machine is shared, so expect a scatter of a third. Written by `benchmarks/course.py`.",
        "",
        "| what | seconds |",
        "|---|---|",
        *(f"| {name} | {value:.1f} |" for name, value in rows),
        "",
        "Each chapter by papermill, kernel start, imports and HTML included:",
        "",
        "| chapter | seconds |",
        "|---|---|",
        *(f"| {chapter} | {value:.1f} |" for chapter, value in seconds.items()),
        f"| all | {sum(seconds.values()):.1f} |",
        "",
    ]
    (ROOT / "benchmarks" / "course.md").write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
