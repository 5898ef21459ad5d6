"""What a load test found: latency from the intended send time, errors apart, and whether to believe it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capkit.loadtest.schedule import Schedule

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

#: gRPC's status codes by number
CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


@dataclass(frozen=True)
class LoadTestResult:
    """Every request of one load test, in order of the intended send time; times in s from its start.

    Attributes
    ----------
    intended_s, sent_s, done_s : array (n,)
        When the request was due, when it was sent, when its answer was there.
    code : array (n,)
        gRPC status code.
    wait_s, service_s, batch : array (n,)
        The server's own account of each request: time in its queue, time in its slot, examples in the
        batch; NaN where the server does not tell.
    began : float
        `time.monotonic` at time 0.
    warmup_s, duration_s : float
        Requests due before ``warmup_s`` are left out of every figure; the schedule ends at
        ``duration_s``.
    max_lateness_share : float
        The test is invalid if the generator's p99 lateness exceeds this share of the median latency.
    generator_cpu_s : float
        CPU time of the generator.
    stopped : str
        Why it ended before its schedule did; empty if it did not.
    schedule : Schedule or None
        The law of the arrivals and its test, where they were given as a `Schedule`.
    """

    intended_s: Array
    sent_s: Array
    done_s: Array
    code: NDArray[np.int64]
    wait_s: Array
    service_s: Array
    batch: Array
    began: float
    warmup_s: float
    duration_s: float
    max_lateness_share: float
    generator_cpu_s: float
    stopped: str
    schedule: Schedule | None = None

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Mask of the requests that were due after the warm-up."""
        return np.asarray(self.intended_s >= self.warmup_s)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Mask of the measured requests that were answered well: the only ones with a latency."""
        return np.asarray(self.measured & (self.code == 0))

    @property
    def latency_ms(self) -> Array:
        """Latency from the intended send time to the answer."""
        return np.asarray((self.done_s - self.intended_s)[self.ok] * 1e3)

    @property
    def send_latency_ms(self) -> Array:
        """Latency from the actual send time: what a closed loop sees."""
        return np.asarray((self.done_s - self.sent_s)[self.ok] * 1e3)

    @property
    def lateness_ms(self) -> Array:
        """How late the generator sent each measured request."""
        return np.asarray((self.sent_s - self.intended_s)[self.measured] * 1e3)

    @property
    def throughput(self) -> float:
        """Good answers a second between the warm-up and the end of the schedule."""
        inside = (self.code == 0) & (self.done_s >= self.warmup_s) & (self.done_s < self.duration_s)
        return float(inside.sum() / (self.duration_s - self.warmup_s))

    @property
    def errors(self) -> dict[str, int]:
        """Number of measured requests that failed, by status code."""
        failed = Counter(int(code) for code in self.code[self.measured & (self.code != 0)])
        return {CODES[code]: count for code, count in sorted(failed.items())}

    def percentile(self, percentile: float) -> float:
        """Latency in ms that the share ``percentile`` (such as 0.99) of the good answers kept to."""
        self._require_answers()
        return float(np.quantile(self.latency_ms, percentile, method="inverted_cdf"))

    def interval(self, percentile: float, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval (ms) of `percentile`: order statistics, widened because neighbours are alike.

        `ValueError` where the test was too short for one.
        """
        from capkit.simulation import correlated_percentile_interval

        return correlated_percentile_interval(self.latency_ms, percentile, level)

    def mean_interval(self, level: float = 0.95) -> tuple[float, float, float]:
        """Mean latency (ms) and its confidence interval from batch means."""
        from capkit.simulation import mean_interval

        self._require_answers()
        return mean_interval(self.latency_ms, min(20, self.latency_ms.size), level)

    @property
    def trend_pvalue(self) -> float:
        """p-value of "the latency had no trend"; a small one denies the steady state, NaN says too short."""
        from capkit.simulation import trend_pvalue

        return trend_pvalue(self.latency_ms) if self.latency_ms.size >= 40 else float("nan")

    def without_warmup(self) -> LoadTestResult:
        """The same test with its warm-up where MSER-5 finds it in the latencies."""
        from capkit.simulation import mser

        whole = replace(self, warmup_s=0.0)
        cut = mser(whole.latency_ms)
        return replace(self, warmup_s=float(self.intended_s[whole.ok][cut]))

    @property
    def doubt(self) -> str:
        """Why the test is not valid; empty if it is."""
        if self.stopped:
            return self.stopped
        if self.schedule and self.schedule.doubt:
            return self.schedule.doubt
        if not self.ok.any():
            return f"no good answer after the warm-up; errors: {self.errors}"
        late, median = np.quantile(self.lateness_ms, 0.99), np.median(self.latency_ms)
        if late <= self.max_lateness_share * median:
            return ""
        allowed = f"{self.max_lateness_share:.0%} of the median latency {median:.2f} ms"
        return f"the generator was late: p99 {late:.2f} ms, more than {allowed}"

    @property
    def valid(self) -> bool:
        """Whether the generator kept its schedule and something was answered."""
        return not self.doubt

    def _require_answers(self) -> None:
        from capkit.simulation import ShortRunError

        if not self.ok.any():
            raise ShortRunError(f"there is no latency: {self.doubt}")

    def row(self) -> dict[str, Any]:
        """The figures of one load level, as a row of the sweep's table.

        Interval ends are NaN where the level was too short for them; ``queue`` is the mean number waiting
        (Little's law), ``batch`` the mean number of examples in the batch of a request.
        """
        mean, mean_low, mean_high = self.mean_interval()
        row: dict[str, Any] = {
            "offered_rps": self.measured.sum() / (self.duration_s - self.warmup_s),
            "throughput_rps": self.throughput,
            "mean_ms": mean,
            "mean_low_ms": mean_low,
            "mean_high_ms": mean_high,
        }
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            row[f"{name}_ms"] = self.percentile(share)
            try:
                low, high = self.interval(share)
            except ValueError:
                low = high = float("nan")
            row[f"{name}_low_ms"], row[f"{name}_high_ms"] = low, high
        service, wait = self.service_s[self.ok], self.wait_s[self.ok]
        row |= {
            "queue": self.throughput * wait.mean(),
            "batch": self.batch[self.ok].mean(),
            "wait_ms": 1e3 * wait.mean(),
            "service_ms": 1e3 * service.mean(),
            "outside_ms": mean - 1e3 * (wait + service).mean(),
            "utilization": float((service / self.batch[self.ok]).sum())
            / (self.duration_s - self.warmup_s),
            "lateness_p99_ms": float(np.quantile(self.lateness_ms, 0.99)),
            "arrival_cv2": self.schedule.cv2 if self.schedule else float("nan"),
            "law_pvalue": self.schedule.pvalue if self.schedule else float("nan"),
            "trend_pvalue": self.trend_pvalue,
            "errors": sum(self.errors.values()),
            "requests": int(self.measured.sum()),
            "valid": self.valid,
            "doubt": self.doubt,
        }
        return row

    def service_sample(self) -> Array:
        """Service times (s) of the good answers.

        The server's own account; where it gives none, the gaps between successive answers, which are
        the service times of one slot as long as it is never idle (a saturated closed loop).
        """
        if np.isfinite(self.service_s[self.ok]).all():
            return np.asarray(self.service_s[self.ok])
        return np.diff(np.sort(self.done_s[self.ok]))

    def service_quantiles(self) -> pd.DataFrame:
        """Quantiles of `service_sample`: columns ``probability``, ``service_ms``."""
        import pandas as pd

        probability = np.linspace(0.005, 0.995, 100).round(4)
        quantiles = np.quantile(self.service_sample(), probability) * 1e3
        return pd.DataFrame({"probability": probability, "service_ms": quantiles.round(4)})
