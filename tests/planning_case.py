"""A small service with its log, forecast and machines: what the tests of planning plan for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capkit import planning
from capkit.planning import SLO, CapacityPlan
from capkit.serving import ServiceProfile
from capkit.workload import from_counts

GOAL = SLO(0.99, 0.05)
SERVICE = ServiceProfile(
    service_time_s=0.001,
    service_cv2=0.25,
    overhead_s=0.001,
    fixed_s=0.0009,
    per_image_s=1e-5,
    max_batch_linear=64,
    throughput_rps=1000.0,
    request_bytes=3185,
    response_bytes=102,
    cpu_s_per_request=0.0009,
    memory_mib=700.0,
    backend="given",
    device="cpu",
)
LOG = from_counts(np.tile([240, 300, 360, 300], 15), 60.0)  # minute factors .8, 1, 1.2, 1
OPTIONS = pd.DataFrame(
    {
        "name": ["small", "large"],
        "cost_usd_h": [0.1, 0.36],
        "reserved_1y_usd_h": [0.07, 0.25],
        "capacity": [2, 8],
    }
)


def exponential(mean_s: float) -> np.ndarray:
    grid = np.linspace(0.0, 1.0, 20_001)
    grid[-1] = 1.0 - 1e-6
    return -mean_s * np.log1p(-grid)


def forecast(hours: int = 24, mean: float = 3000.0, spread: float = 0.1) -> pd.DataFrame:
    wave = mean * (1.0 - 0.6 * np.cos(2 * np.pi * np.arange(hours) / 24.0))
    scores = {"lower_95_rps": -1.96, "lower_80_rps": -1.2816, "mean_rps": 0.0}
    scores |= {"upper_80_rps": 1.2816, "upper_95_rps": 1.96}
    table = pd.DataFrame({name: wave * (1.0 + spread * z) for name, z in scores.items()})
    return table.assign(time=pd.date_range("2019-11-25", periods=hours, freq="h"))


def make_plan(**changes: object) -> CapacityPlan:
    arguments = {
        "workload": LOG,
        "service": SERVICE,
        "forecast": forecast(),
        "options": OPTIONS,
        "slo": GOAL,
        "rng": np.random.default_rng(1),
        **changes,
    }
    return planning.plan(**arguments)  # type: ignore[arg-type]
