"""Load tests of a server: open and closed loop, in a process of their own."""

from capkit.loadtest.bench import Bench, split_cores
from capkit.loadtest.command import main
from capkit.loadtest.result import LoadTestResult
from capkit.loadtest.run import run, run_closed
from capkit.loadtest.sweep import sweep

__all__ = ["Bench", "LoadTestResult", "main", "run", "run_closed", "split_cores", "sweep"]
