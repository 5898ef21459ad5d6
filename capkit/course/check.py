"""The environment check: one line a requirement, and the command that mends what is wrong."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from capkit import datasets, telemetry

INSTALL = "make lab (or: python -m pip install -r requirements.lock && python -m pip install -e .)"


@dataclass(frozen=True)
class Check:
    """One requirement: what was found, whether it will do, and the mend if not.

    Attributes
    ----------
    name, found : str
        The requirement and what is here.
    ok : bool
        False only for something that the course cannot do without.
    mend : str
        What to do; empty where nothing is wrong.
    """

    name: str
    found: str
    ok: bool = True
    mend: str = ""

    def __str__(self) -> str:
        mark = "ok  " if self.ok and not self.mend else "note" if self.ok else "FAIL"
        return f"[{mark}] {self.name}: {self.found}" + (f" -> {self.mend}" if self.mend else "")


def _python() -> Check:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Check("Python", version, good, "" if good else "install Python 3.11, 3.12 or 3.13")


def _packages() -> Iterator[Check]:
    from packaging.requirements import Requirement

    for line in metadata.requires("capkit") or []:
        requirement = Requirement(line)
        extras = ("", "notebooks", "tensorflow", "sweep", "test")
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in extras):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Check(requirement.name, "not installed", False, INSTALL)
            continue
        good = requirement.specifier.contains(version, prereleases=True)
        found = version if good else f"{version}, needs {requirement.specifier}"
        yield Check(requirement.name, found, good, "" if good else INSTALL)


def _machine() -> Iterator[Check]:
    here = telemetry.machine()
    cores, memory_gib = int(here["cores"]), float(here["memory_gib"])
    enough = cores >= 2
    yield Check(
        "CPU",
        f"{here['cpu']}, {cores} core{'s' * (cores > 1)}",
        True,
        "" if enough else "two cores keep the load test and the server apart",
    )
    enough = memory_gib >= 4
    yield Check(
        "memory",
        f"{memory_gib:.0f} GiB",
        enough,
        "" if enough else "4 GiB are needed: close programs",
    )
    gpu = here["gpu"]
    yield Check(
        "GPU", str(gpu) if gpu else "none seen", True, "" if gpu else "optional: runs on the CPU"
    )


def _serving() -> Check:
    program = shutil.which("tensorflow_model_server")
    if program:
        return Check("TensorFlow Serving", "tensorflow_model_server on PATH")
    return Check(
        "TensorFlow Serving",
        "program not found",
        True,
        "optional: the embedded stand-in is used; README says how to get the program",
    )


def _solvers() -> Iterator[Check]:
    from capkit.tco import installed_solvers

    solvers = installed_solvers()
    good = "highs" in solvers
    yield Check("solvers", ", ".join(solvers) or "none", good, "" if good else INSTALL)


def _data() -> Iterator[Check]:
    problems = datasets.verify()
    count = len(datasets.checksums())
    if not problems:
        yield Check("data", f"{count} files, checksums as recorded")
    for problem in problems:
        yield Check("data", problem, False, "git checkout -- data")


def run_checks() -> list[Check]:
    """Check Python, packages, machine, server, solvers and data; nothing is changed."""
    return [_python(), *_packages(), *_machine(), _serving(), *_solvers(), *_data()]


def main(arguments: list[str] | None = None) -> int:
    """Print the check; the status is 1 if something that the course needs is wrong."""
    argparse.ArgumentParser(prog="python -m capkit check", description=main.__doc__).parse_args(
        arguments
    )
    checks = run_checks()
    for check in checks:
        print(check)
    wrong = sum(not check.ok for check in checks)
    print(f"{wrong} to mend" if wrong else "ready: open notebooks/00_start_here.ipynb")
    return int(wrong > 0)
