"""Load generators of others, which the course's own is compared with."""

import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pooch

#: The last wheel that runs on glibc 2.34 to 2.37 (Debian 12), and the CUDA library that it is linked to.
PERF_ANALYZER = ["tritonclient==2.51.0", "nvidia-cuda-runtime-cu12==12.9.79"]
LOCUST = ["locust==2.47.0", "grpcio==1.85.1"]


def environment(name: str, packages: list[str], *options: str) -> Path:
    """A virtual environment with these packages in the user's cache, made on first use.

    `FileNotFoundError` says what could not be installed.
    """
    home = Path(pooch.os_cache("capkit")) / name
    if not (home / "ready").exists():
        install = [home / "bin" / "python", "-m", "pip", "install", "-q", *options, *packages]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
            subprocess.run(install, check=True)
        except subprocess.CalledProcessError as error:
            wanted = " ".join([*options, *packages])
            raise FileNotFoundError(f"{name}: pip install {wanted}") from error
        (home / "ready").touch()
    return home


def perf_analyzer() -> Path:
    """NVIDIA's perf_analyzer, a program to run.

    `FileNotFoundError` says what is missing and the command that installs it: the library libb64, or the
    packages, which exist for Linux on x86-64.
    """
    if find_library("b64") is None:
        raise FileNotFoundError("perf_analyzer needs libb64: apt-get install libb64-0d")
    home = environment("perf_analyzer-2.51.0", PERF_ANALYZER, "--no-deps")
    program = home / "run"
    (cuda,) = home.glob("lib/*/site-packages/nvidia/cuda_runtime/lib")
    command = f'LD_LIBRARY_PATH="{cuda}" exec "{home}/bin/perf_analyzer" "$@"'
    program.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def locust() -> Path:
    """The program locust, with gRPC beside it."""
    return environment("locust-2.47.0", LOCUST) / "bin" / "locust"
