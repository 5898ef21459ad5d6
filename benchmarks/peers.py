"""Load generators of others, which the course's own is compared with."""

import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pooch

#: The last wheel that runs on glibc 2.34 to 2.37 (Debian 12), and the CUDA library that it is linked to.
PACKAGES = ["tritonclient==2.51.0", "nvidia-cuda-runtime-cu12==12.9.79"]


def perf_analyzer() -> Path:
    """NVIDIA's perf_analyzer, in a virtual environment in the user's cache; made on first use.

    Returns a program to run. `FileNotFoundError` says what is missing and the command that installs
    it: the library libb64, or the packages, which exist for Linux on x86-64.
    """
    if find_library("b64") is None:
        raise FileNotFoundError("perf_analyzer needs libb64: apt-get install libb64-0d")
    home = Path(pooch.os_cache("capkit")) / "perf_analyzer-2.51.0"
    program = home / "run"
    if not program.exists():
        install = [home / "bin" / "python", "-m", "pip", "install", "-q", "--no-deps", *PACKAGES]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
            subprocess.run(install, check=True)
        except subprocess.CalledProcessError as error:
            wanted = " ".join(PACKAGES)
            raise FileNotFoundError(f"perf_analyzer: pip install --no-deps {wanted}") from error
        (cuda,) = home.glob("lib/*/site-packages/nvidia/cuda_runtime/lib")
        command = f'LD_LIBRARY_PATH="{cuda}" exec "{home}/bin/perf_analyzer" "$@"'
        program.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
        program.chmod(0o755)
    return program
