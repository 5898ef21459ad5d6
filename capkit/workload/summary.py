"""A workload as the numbers that a product file keeps, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from capkit.workload.log import Workload

WINDOWS_S = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
SHORTEST_TEST_S = 10.0
PERCENTILES = (0.5, 0.9, 0.95, 0.99)
MIN_WINDOWS = 10
MAX_WINDOWS_PER_REQUEST = 100
FIELDS = {
    "requests": "requests",
    "duration_s": "duration_s",
    "rate": "rate_rps",
    "peak_rate": "peak_rate_rps",
    "peak_window_s": "peak_window_s",
    "interarrival_cv2": "interarrival_cv2",
}


def summarize(workload: Workload) -> dict[str, Any]:
    """The summary that `Workload.to_dict` gives; for the windows that the log can fill."""
    windows = [w for w in WINDOWS_S if fits(workload, w)]
    tested = [w for w in windows if w >= SHORTEST_TEST_S and (workload.counts(w) >= 2).any()]
    peak_s = workload.peak_window_s
    summary: dict[str, Any] = {key: getattr(workload, name) for name, key in FIELDS.items()}
    summary["rate_percentiles_rps"] = {
        str(p): workload.rate_percentile(p, peak_s) for p in PERCENTILES
    }
    summary["dispersion"] = {f"{w:g}": workload.dispersion(w) for w in windows}
    summary["peak_to_mean"] = {f"{w:g}": workload.peak_to_mean(w) for w in windows}
    summary["poisson_pvalue"] = {f"{w:g}": workload.poisson_pvalue(w) for w in tested}
    return {key: _rounded(value) for key, value in summary.items()}


def restored_fields(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Workload` from its summary."""
    missing = sorted(key for key in FIELDS.values() if key not in summary)
    if missing:
        raise ValueError(f"not the summary of a workload: {', '.join(missing)} missing")
    return {name: summary[key] for name, key in FIELDS.items()}


def fits(workload: Workload, window_s: float) -> bool:
    """Whether the log fills windows of this length often enough for a variance, and not too thinly."""
    windows = workload.duration_s / window_s
    if not MIN_WINDOWS <= windows <= MAX_WINDOWS_PER_REQUEST * workload.requests:
        return False
    steps = window_s / workload.step_s if workload.step_s else 1.0
    return steps >= 1 and bool(np.isclose(steps, round(steps)))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
