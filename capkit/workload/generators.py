"""Generators of arrivals that reproduce a `Workload`, and the check that they do.

Four ideas, each with one more property of the log in it: gaps of a given variation around a moving rate
(`MovingRate`; Poisson where the variation is 1), a random rate with the log's own time scales
(`MarkovModulated`), pieces of the log itself (`BlockBootstrap`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize

from capkit.simulation import draw_gamma, mmpp_arrivals, modulated_poisson, poisson_arrivals
from capkit.workload.describe import characterize
from capkit.workload.log import Workload

Floats = NDArray[np.float64]
PER_DECADE = 4  # time constants that the fit of a `MarkovModulated` may choose from


@dataclass(frozen=True, eq=False)
class MovingRate:
    """Arrivals around a rate that is given step by step: a Poisson process, or gaps of another variation.

    Attributes
    ----------
    rates : array of shape (steps,)
        Rate (1/s) of each step; after the last the first follows again.
    step_s : float
        Length of a step.
    cv2 : float
        Squared coefficient of variation of the gaps (gamma law), in units of the mean gap at the moment:
        1 is Poisson. A renewal process in operational time: Cox and Lewis (1966), ch. 2.
    """

    rates: Floats
    step_s: float
    cv2: float = 1.0

    def __post_init__(self) -> None:
        usable = np.isfinite(self.rates).all() and (self.rates >= 0).all() and self.rates.any()
        if not (self.rates.ndim == 1 and usable and self.step_s > 0 and self.cv2 > 0):
            raise ValueError(
                f"rates must be 1-D, finite, 0 or more and not all 0, step_s and cv2 positive; got "
                f"{self.rates!r}, {self.step_s}, {self.cv2}"
            )

    @classmethod
    def of(cls, workload: Workload, step_s: float, *, cv2: float = 1.0) -> MovingRate:
        """The moving rate of a log, without the noise of the counts it is read from.

        The variance of the counts of a step is that of the rate and the noise of arrivals around it. The
        rate's distances from its mean are shrunk to its own part, or the noise would come twice; a log
        that scatters no more than the noise gets a constant rate, as does a step of the whole log.

        >>> from capkit.workload import from_counts
        >>> MovingRate.of(from_counts([0, 8, 0, 8, 0, 8], 1.0), 1.0).rates.round(2)
        array([0.44, 7.56, 0.44, 7.56, 0.44, 7.56])
        """
        counts = workload.counts(step_s)
        own = max(0.0, 1 - cv2 / workload.dispersion(step_s)) if counts.size > 1 else 0.0
        moved = counts.mean() + np.sqrt(own) * (counts - counts.mean())
        return cls(moved / step_s, step_s, cv2)

    def draw(self, duration_s: float, rng: np.random.Generator) -> Floats:
        """Arrival times (s, sorted) below ``duration_s``."""
        steps = int(np.ceil(_positive(duration_s) / self.step_s))
        rates = np.resize(self.rates, steps)
        if self.cv2 == 1.0:
            times = modulated_poisson(rates, self.step_s, rng)
        else:
            edges = np.arange(steps + 1) * self.step_s
            expected = np.r_[0.0, np.cumsum(rates * self.step_s)]
            ahead = _renewal(expected[-1], self.cv2, rng)
            times = np.interp(ahead, expected, edges)
        return times[times < duration_s]


def _positive(duration_s: float) -> float:
    if not 0 < duration_s < np.inf:
        raise ValueError(f"duration_s must be positive seconds, got {duration_s}")
    return duration_s


def _renewal(length: float, cv2: float, rng: np.random.Generator) -> Floats:
    """Points of a stationary gamma renewal process of rate 1 on [0, length): the first gap is a rest."""
    # the gap that covers a point in time is drawn by its length: gamma with one more in the shape
    first = rng.gamma(1 / cv2 + 1, cv2) * rng.random()
    parts, end = [np.array([first])], first
    while end < length:
        parts.append(end + np.cumsum(draw_gamma(1.0, cv2, int(length) + 10, rng)))
        end = float(parts[-1][-1])
    points = np.concatenate(parts)
    return points[points < length]


@dataclass(frozen=True, eq=False)
class MarkovModulated:
    """Poisson arrivals whose rate is a sum of sources that switch on and off at random: an MMPP.

    Each source has its own time scale. Andersen and Nielsen, A Markovian approach for modeling packet
    traffic with long-range dependence, IEEE JSAC 16 (1998).

    Attributes
    ----------
    steady_rate : float
        Rate (1/s) of a Poisson process beside the sources.
    on_rates, on_s, off_s : arrays of shape (sources,)
        Rate (1/s) of a source that is on; mean stay (s) on and off, exponential.
    """

    steady_rate: float
    on_rates: Floats
    on_s: Floats
    off_s: Floats

    @classmethod
    def of(cls, workload: Workload) -> MarkovModulated:
        """Fit rate and IDC curve: non-negative least squares over a grid of time constants.

        A source of time constant c adds A (1 - (1 - exp(-t/c)) c/t) to the IDC at window t (Fischer and
        Meier-Hellstern, 1993), which is linear in its amplitude A. A log of n windows shows the part of
        it that a sample variance finds, n/(n-1) (IDC(t) - IDC(nt)/n); that is what is fitted, with
        relative errors. The mean rate is shared out so that every source is on for the same share of the
        time. ValueError if the log has no window with an IDC above 1.
        """
        curve = workload.dispersion_curve()
        values = curve.to_numpy()
        if not (values > 1).any():
            raise ValueError("no window of the log has an IDC above 1: take a Poisson process")
        low, high = curve.index[0] / 3, curve.index[-1]
        constants = np.geomspace(low, high, 2 + int(PER_DECADE * np.log10(high / low)))
        shares = np.array([_seen(t, workload.duration_s, constants) for t in curve.index])
        amplitudes, _ = optimize.nnls(shares / values[:, None], (values - 1) / values)
        used = amplitudes > 0
        # a source on for the share p of the time at the rate h: variance of the rate h^2 p (1 - p)
        deviation = np.sqrt(amplitudes[used] * workload.rate / (2 * constants[used]))
        on = min(0.5, workload.rate**2 / (workload.rate**2 + deviation.sum() ** 2))
        on_rates = deviation / np.sqrt(on * (1 - on))
        on_s, off_s = constants[used] / (1 - on), constants[used] / on
        steady = max(0.0, workload.rate - float(on_rates.sum() * on))
        return cls(steady, on_rates, on_s, off_s)

    def dispersion(self, window_s: float) -> float:
        """IDC at this window, of a log without end."""
        on = self.on_s / (self.on_s + self.off_s)
        rate = self.steady_rate + float(self.on_rates @ on)
        constant = self.on_s * self.off_s / (self.on_s + self.off_s)
        amplitude = 2 * constant * self.on_rates**2 * on * (1 - on) / rate
        return 1 + float(amplitude @ _rise(window_s / constant))

    def draw(self, duration_s: float, rng: np.random.Generator) -> Floats:
        """Arrival times (s, sorted) below ``duration_s``."""
        parts = [
            mmpp_arrivals([rate, 0.0], [on, off], duration_s, rng)[0]
            for rate, on, off in zip(self.on_rates, self.on_s, self.off_s, strict=True)
        ]
        parts.append(poisson_arrivals(self.steady_rate, duration_s, rng))
        return np.sort(np.concatenate(parts))


def _rise(windows: Floats | float) -> Floats:
    """1 - (1 - exp(-x)) / x."""
    x = np.asarray(windows, dtype=np.float64)
    return np.asarray(1 + np.expm1(-x) / x)


def _seen(window_s: float, duration_s: float, constants: Floats) -> Floats:
    """`_rise` as the sample variance of the windows that fit into a log shows it, on average."""
    windows = int(duration_s / window_s)
    whole = _rise(windows * window_s / constants)
    return (_rise(window_s / constants) - whole / windows) * windows / (windows - 1)


@dataclass(frozen=True, eq=False)
class BlockBootstrap:
    """Blocks of a log, drawn with replacement and put one after the other.

    The circular block bootstrap of Politis and Romano (1992): a block starts anywhere, the log's end
    joins its start. Everything inside a block stays as it was; what is longer than a block is lost.

    Attributes
    ----------
    times : array of shape (n,)
        Arrival times of the log (s from its start, sorted).
    length_s, block_s : float
        Length of the log and of a block.
    """

    times: Floats
    length_s: float
    block_s: float

    def __post_init__(self) -> None:
        if not (0 < self.block_s <= self.length_s and self.times[-1] <= self.length_s):
            raise ValueError(
                f"a block of {self.block_s} s must fit into the log, and its last arrival at "
                f"{self.times[-1]:.6g} s too; the log lasts {self.length_s} s"
            )

    def draw(self, duration_s: float, rng: np.random.Generator) -> Floats:
        """Arrival times (s, sorted) below ``duration_s``."""
        blocks = int(np.ceil(_positive(duration_s) / self.block_s))
        starts = rng.uniform(0.0, self.length_s, blocks)
        twice = np.concatenate([self.times, self.times + self.length_s])
        low, high = np.searchsorted(twice, starts), np.searchsorted(twice, starts + self.block_s)
        parts = [
            twice[a:b] - start + k * self.block_s
            for k, (a, b, start) in enumerate(zip(low, high, starts, strict=True))
        ]
        times = np.concatenate(parts)
        return times[times < duration_s]


def check_generator(
    workload: Workload,
    draw: Callable[[float, np.random.Generator], Floats],
    rng: np.random.Generator,
    *,
    windows_s: Sequence[float] = (1.0, 10.0, 60.0),
    replicas: int = 30,
) -> pd.DataFrame:
    """Rate, IDC and CV2 of a log beside those of logs of its length from a generator.

    Returns
    -------
    DataFrame
        One row a figure: ``original``; ``generated``, the mean over the ``replicas``; ``low`` and
        ``high``, between which 95 % of single replicas lie; ``error``, generated / original - 1. Where the
        original lies between low and high, it could be one of the generated logs.

    >>> from capkit.workload import from_counts
    >>> log = from_counts(np.random.default_rng(1).poisson(5.0, 600), 1.0)
    >>> constant = MovingRate(np.array([log.rate]), 1.0)
    >>> table = check_generator(log, constant.draw, np.random.default_rng(2))
    >>> bool((table["error"].abs() < 0.2).all())
    True
    """
    original = pd.Series(_figures(workload, windows_s))
    logs = (characterize(draw(workload.duration_s, rng)) for _ in range(replicas))
    drawn = pd.DataFrame([_figures(log, windows_s) for log in logs])[original.index]
    table = pd.DataFrame({"original": original, "generated": drawn.mean()})
    table["low"], table["high"] = drawn.quantile(0.025), drawn.quantile(0.975)
    table["error"] = table["generated"] / table["original"] - 1
    return table


def _figures(log: Workload, windows_s: Sequence[float]) -> dict[str, float]:
    figures = {"rate (1/s)": log.rate}
    figures |= {f"IDC at {w:g} s": log.dispersion(w) for w in windows_s}
    if log.interarrival_cv2 is not None:
        figures["CV2 of gaps"] = log.interarrival_cv2
    return figures
