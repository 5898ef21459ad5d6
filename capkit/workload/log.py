"""A request log in numbers: `Workload`.

Windows start at the first arrival (the first step of the counts) and only complete ones count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from capkit.workload.poisson import dispersion_pvalue, gap_pvalue, resolution_s
from capkit.workload.summary import fits, restored_fields, summarize

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

PEAK_WINDOW_S = 60.0
CURVE_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)
PARTS = 10  # the dispersion test cuts a window into about this many parts


@dataclass(frozen=True, eq=False)
class Workload:
    """A log of requests in numbers.

    Attributes
    ----------
    requests : int
        Requests in the log.
    duration_s : float
        From the first to the last arrival; for counts, number of steps times step.
    rate : float
        Mean arrival rate (lambda, 1/s): gaps over their total length; for counts, requests over time.
    peak_rate : float
        Highest mean rate (1/s) over one of the disjoint windows of ``peak_window_s``.
    peak_window_s : float
        60 s, or the whole log where that is shorter.
    interarrival_cv2 : float or None
        Squared coefficient of variation of the gaps, 1 for Poisson; None where only counts are known.
    step_s : float
        Step of the counts; 0 where time stamps are known.
    """

    requests: int
    duration_s: float
    rate: float
    peak_rate: float
    peak_window_s: float
    interarrival_cv2: float | None
    step_s: float = 0.0
    _times: Floats | None = field(default=None, repr=False)
    _counts: Counts | None = field(default=None, repr=False)
    _summary: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def counts(self, window_s: float) -> Counts:
        """Requests in each complete window of ``window_s`` seconds, from the start of the log.

        ValueError if the window is not positive, longer than the log or no multiple of the step of the
        counts, or if only the summary of the log is there.

        >>> from capkit.workload import characterize
        >>> characterize([0.0, 0.5, 1.2, 3.0]).counts(1.0)
        array([2, 1, 0])
        """
        if not window_s > 0:
            raise ValueError(f"window_s must be positive seconds, got {window_s}")
        windows = int(self.duration_s / window_s * (1 + 1e-12))
        if windows < 1:
            raise ValueError(
                f"a window of {window_s} s is longer than the log ({self.duration_s:.6g} s): "
                "take a shorter window or a longer log"
            )
        if self._times is not None:
            # stamps on a lattice belong to the window that they open, however they were rounded
            edges = self._times[0] + window_s * np.arange(windows + 1)
            edges -= 2 * np.spacing(self._times[-1])
            return np.asarray(np.diff(np.searchsorted(self._times, edges)), dtype=np.int64)
        if self._counts is None:
            raise ValueError(
                "only the summary of this log is here: characterize the log itself for other windows"
            )
        steps = round(window_s / self.step_s)
        if steps < 1 or not np.isclose(steps * self.step_s, window_s, rtol=1e-9):
            raise ValueError(
                f"the log is known as counts per {self.step_s} s: the window must be a multiple of "
                f"that, got {window_s} s"
            )
        windows = self._counts.size // steps
        return np.asarray(self._counts[: windows * steps].reshape(-1, steps).sum(axis=1))

    def dispersion(self, window_s: float) -> float:
        """Index of dispersion for counts (IDC): variance over mean of the counts in windows.

        1 for Poisson at every window; a drifting or bursty rate makes it grow with the window. Cox and
        Lewis, The Statistical Analysis of Series of Events (1966), ch. 4. ValueError if the log holds
        fewer than two complete windows, and as in `counts`.

        >>> from capkit.workload import from_counts
        >>> load = from_counts([2, 0, 2, 0, 2, 0], 1.0)
        >>> round(load.dispersion(1.0), 3), load.dispersion(2.0)
        (1.2, 0.0)
        """
        if (known := self._known("dispersion", window_s)) is not None:
            return known
        counts = self.counts(window_s)
        if counts.size < 2 or not counts.any():
            raise ValueError(
                f"a variance needs two windows and a request in them; the log holds {counts.size} "
                f"windows of {window_s} s with {counts.sum()} requests"
            )
        return float(counts.var(ddof=1) / counts.mean())

    def dispersion_curve(self) -> pd.Series:
        """`dispersion` against the window, from 0.1 s to 1 h, where the log holds ten windows or more.

        Of a log of which only the summary is left: at the windows kept in it.

        The curve that decides: where it leaves 1 is the time scale of the bursts, and its slope on two
        logarithmic axes goes from 0 (independent windows) to 1 (one rate per log).

        >>> from capkit.workload import from_counts
        >>> from_counts([2, 0] * 20, 1.0).dispersion_curve().round(2).to_dict()
        {1.0: 1.03, 2.0: 0.0}
        """
        if self._times is None and self._counts is None:
            windows = [float(w) for w in self._summary.get("dispersion", {})]
        else:
            windows = [w for w in CURVE_S if fits(self, w)]
        index = pd.Index(windows, name="window_s")
        return pd.Series([self.dispersion(w) for w in windows], index, name="idc")

    def drift(self, window_s: float) -> float:
        """Standard deviation of the rate from window to window over its mean, the Poisson noise taken off.

        Var(counts) = mean + Var(rate) window^2 for a Poisson process whose rate moves (Cox process): 0 where
        the counts scatter no more than a constant rate makes them.

        >>> from capkit.workload import from_counts
        >>> round(from_counts([90, 110] * 50, 1.0).drift(1.0), 3)
        0.01
        """
        excess = max(0.0, self.dispersion(window_s) - 1)
        return float(np.sqrt(excess / (self.rate * window_s)))

    def peak_to_mean(self, window_s: float) -> float:
        """Highest count of a window over the mean count.

        >>> from capkit.workload import from_counts
        >>> from_counts([1, 1, 4, 2], 1.0).peak_to_mean(1.0)
        2.0
        """
        if (known := self._known("peak_to_mean", window_s)) is not None:
            return known
        counts = self.counts(window_s)
        if not counts.any():
            raise ValueError(f"no request lies in a complete window of {window_s} s")
        return float(counts.max() / counts.mean())

    def rate_percentile(self, probability: float, window_s: float = PEAK_WINDOW_S) -> float:
        """Rate (1/s) that the share ``probability`` of the windows does not exceed.

        >>> from capkit.workload import from_counts
        >>> from_counts([1, 2, 3, 4, 5], 2.0).rate_percentile(0.5, 2.0)
        1.5
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must lie between 0 and 1, got {probability}")
        return float(np.quantile(self.counts(window_s), probability) / window_s)

    def autocorrelation(self, window_s: float, lag: int = 1) -> float:
        """Correlation of the counts of windows that are ``lag`` windows apart; about 0 for Poisson.

        >>> from capkit.workload import from_counts
        >>> round(from_counts([3, 3, 3, 0, 0, 0], 1.0).autocorrelation(1.0), 3)
        0.5
        """
        counts = self.counts(window_s)
        deviation = counts - counts.mean()
        if not 1 <= lag < counts.size:
            raise ValueError(f"lag must lie between 1 and {counts.size - 1} windows, got {lag}")
        if not deviation.any():
            raise ValueError(f"all windows of {window_s} s hold one count: no correlation exists")
        return float(deviation[:-lag] @ deviation[lag:] / (deviation @ deviation))

    def poisson_pvalue(self, window_s: float) -> float:
        """Probability of data at least this unlike Poisson, were it Poisson within each window.

        The rate may differ from window to window; within one it is constant under the hypothesis. Given
        a window's count, Poisson arrivals are spread uniformly, which is tested in two ways: (1) counts
        in about ten parts of each window against their mean, chi-square summed over the windows, both
        tails, with its exact mean and variance (Fisher's dispersion test); (2) where stamps are fine
        enough, the gaps by the logarithmic transform of Brown et al., Statistical Analysis of a
        Telephone Call Center, JASA 100 (2005), section 3, and a Kolmogorov-Smirnov test. The smaller
        p-value counts, doubled (Bonferroni). Stamps rounded to more than 1 % of the mean gap leave (2) out.
        ValueError if no window holds two arrivals or if it is a single step of the counts.
        """
        if (known := self._known("poisson_pvalue", window_s)) is not None:
            return known
        if not (self.counts(window_s) >= 2).any():
            raise ValueError(
                f"no window of {window_s} s holds two requests (mean {self.rate * window_s:.3g}): "
                "take a longer window"
            )
        by_counts = self._dispersion_pvalue(window_s)
        if self._times is None or resolution_s(self._times) > 0.01 / self.rate:
            return by_counts
        by_gaps = gap_pvalue(self._times - self._times[0], window_s)
        return min(1.0, 2 * min(by_counts, by_gaps))

    def is_poisson(self, window_s: float, *, level: float = 0.01) -> bool:
        """Whether the log passes as Poisson within windows of ``window_s`` s, drift between them apart.

        True if `poisson_pvalue` is at least ``level``, the share of true Poisson logs that is refused. A
        long log is refused for a small deviation: how large it is, `dispersion` says.

        >>> from capkit.workload import characterize
        >>> rng = np.random.default_rng(1)
        >>> characterize(np.cumsum(rng.exponential(0.1, 5000))).is_poisson(60.0)
        True
        >>> characterize(np.cumsum(rng.gamma(0.5, 0.2, 5000))).is_poisson(60.0)
        False
        """
        return self.poisson_pvalue(window_s) >= level

    def detectable_dispersion(
        self, window_s: float, *, level: float = 0.01, power: float = 0.9
    ) -> float:
        """Smallest IDC within windows that the test by counts would notice with probability ``power``.

        Over m windows of k parts the statistic has about the mean D m (k - 1) and the standard deviation
        D sqrt(2 m (k - 1)) if the parts' counts scatter D times as much as Poisson's; D solves power =
        P(statistic > critical value). A log that passes says: no more than this.

        >>> from capkit.workload import from_counts
        >>> short, long = (from_counts([3, 1, 2, 2] * n, 1.0) for n in (60, 6000))
        >>> round(short.detectable_dispersion(20.0), 2), round(long.detectable_dispersion(20.0), 2)
        (1.67, 1.05)
        """
        if not (0 < level < 1 and 0 < power < 1):
            raise ValueError(f"level and power lie between 0 and 1, got {level} and {power}")
        parts = self._parts(window_s)
        freedom = (parts - 1) * int((self.counts(window_s) >= 2).sum())
        if not freedom:
            raise ValueError(f"no window of {window_s} s holds two requests: take a longer window")
        critical = stats.chi2.isf(level / 2, freedom)
        return float(critical / stats.chi2.isf(power, freedom))

    def concurrency(self, mean_response_s: float) -> float:
        """Mean number of requests in the system by Little's law, L = lambda W.

        >>> from capkit.workload import from_counts
        >>> from_counts([3, 5], 1.0).concurrency(0.5)
        2.0
        """
        if not mean_response_s >= 0:
            raise ValueError(f"mean_response_s must be seconds, 0 or more, got {mean_response_s}")
        return self.rate * mean_response_s

    def to_dict(self) -> dict[str, Any]:
        """The numbers without the log: units in the keys, six digits, the windows that the log can fill."""
        return summarize(self)

    @classmethod
    def from_dict(cls, summary: Mapping[str, Any]) -> Workload:
        """A workload from its summary: `dispersion` and the like answer for the windows kept in it.

        >>> from capkit.workload import from_counts
        >>> kept = Workload.from_dict(from_counts([2, 0] * 50, 1.0).to_dict())
        >>> kept.rate, round(kept.dispersion(1.0), 2)
        (1.0, 1.01)
        """
        return cls(**restored_fields(summary), _summary=dict(summary))

    def _known(self, name: str, window_s: float) -> float | None:
        value = self._summary.get(name, {}).get(f"{window_s:g}")
        return None if value is None else float(value)

    def _parts(self, window_s: float) -> int:
        """Parts into which the dispersion test cuts a window: about ten, whole steps of the counts."""
        if self._counts is None:
            return PARTS
        steps = round(window_s / self.step_s)
        divisors = [d for d in range(2, steps + 1) if steps % d == 0]
        if not divisors:
            raise ValueError(
                f"counts per {self.step_s} s say nothing about the inside of windows of {window_s} s"
            )
        return min(divisors, key=lambda d: abs(d - PARTS))

    def _dispersion_pvalue(self, window_s: float) -> float:
        parts = self._parts(window_s)
        counts = self.counts(window_s / parts)
        return dispersion_pvalue(counts[: counts.size // parts * parts].reshape(-1, parts))
