"""Load tests of a server: open and closed loop, in a process of their own, and what they say of it."""

from capkit.loadtest.bench import Bench, split_cores
from capkit.loadtest.capacity import Knee, find_knee, rank_resources, steady_levels
from capkit.loadtest.command import main
from capkit.loadtest.planning import requests_needed, sample_size
from capkit.loadtest.result import LoadTestResult
from capkit.loadtest.run import run, run_closed
from capkit.loadtest.schedule import Schedule, draw_schedule, replay
from capkit.loadtest.sweep import sweep

__all__ = [
    "Bench",
    "Knee",
    "LoadTestResult",
    "Schedule",
    "draw_schedule",
    "find_knee",
    "main",
    "rank_resources",
    "replay",
    "requests_needed",
    "run",
    "run_closed",
    "sample_size",
    "split_cores",
    "steady_levels",
    "sweep",
]
