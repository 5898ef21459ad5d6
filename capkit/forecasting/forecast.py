"""What a model hands out: `Prediction` on the scale it works on, `Forecast` on that of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import ndtri

Array = np.ndarray
_MIDDLES = (np.arange(199) + 0.5) / 199  # middles of equal slices of probability


class NotConvergedError(RuntimeError):
    """The estimation did not converge: there is no forecast, and no old one is reported."""


@dataclass(frozen=True)
class Scale:
    """The scale a model works on: ``log(1 + y / unit)``, or y itself where ``unit`` is None.

    With a hundredth of the mean as unit this is a logarithm that still takes a zero.

    >>> Scale(10.0).back(Scale(10.0).to(np.array([0.0, 500.0]))).round(6).tolist()
    [0.0, 500.0]
    """

    unit: float | None

    def to(self, values: Array) -> Array:
        return values if self.unit is None else np.asarray(np.log1p(values / self.unit))

    def back(self, values: Array) -> Array:
        """The scale of the data again; demand below zero is zero."""
        data = values if self.unit is None else np.expm1(values) * self.unit
        return np.asarray(np.maximum(data, 0.0))


@dataclass(frozen=True)
class Prediction:
    """The next steps on the model's scale: centre by step, and how far off it may be.

    Either ``sd`` (steps,), a Gaussian standard deviation, or ``errors`` (n, steps), what this
    forecast was wrong by on earlier occasions: then the intervals are empirical.
    """

    location: Array
    sd: Array | None = None
    errors: Array | None = None

    def quantiles(self, probabilities: Array) -> Array:
        """Quantiles on the model's scale, shape (probabilities, steps)."""
        if self.errors is None:
            return np.asarray(self.location + ndtri(probabilities)[:, None] * self.sd)
        *wanted, median = np.quantile(self.errors, [*probabilities, 0.5], axis=0)
        return np.asarray(self.location + np.array(wanted) - median)


@dataclass(frozen=True)
class Forecast:
    """A forecast on its time index: mean, quantiles and central intervals, never negative.

    ``levels`` are the intervals that `table` shows; `lower`, `upper` and `quantile` take any.
    """

    model: str
    index: pd.DatetimeIndex = field(repr=False)
    prediction: Prediction = field(repr=False)
    scale: Scale = field(repr=False)
    levels: tuple[float, ...] = (0.8, 0.95)

    @property
    def intervals(self) -> str:
        """``gaussian`` (from the model's variance) or ``empirical`` (from earlier errors)."""
        return "gaussian" if self.prediction.errors is None else "empirical"

    @property
    def mean(self) -> pd.Series:
        """Expected value by step; on a skewed scale it lies above the median, ``quantile(0.5)``."""
        values = self.scale.back(self.prediction.quantiles(_MIDDLES)).mean(axis=0)
        return pd.Series(values, self.index, name="mean")

    def quantile(self, p: float) -> pd.Series:
        """What demand stays below with probability ``p`` (strictly between 0 and 1), by step."""
        return pd.Series(self.quantiles([p])[0], self.index, name=f"q{p:g}")

    def quantiles(self, probabilities: Sequence[float]) -> Array:
        """Several quantiles at once, shape (probabilities, steps)."""
        if not all(0.0 < p < 1.0 for p in probabilities):
            raise ValueError(f"a probability lies between 0 and 1, got {list(probabilities)}")
        return self.scale.back(self.prediction.quantiles(np.asarray(probabilities, dtype=float)))

    def lower(self, level: float) -> pd.Series:
        """Lower bound of the central interval that holds demand with probability ``level``."""
        return self.quantile(0.5 - level / 2)

    def upper(self, level: float) -> pd.Series:
        """Upper bound of the same interval."""
        return self.quantile(0.5 + level / 2)

    def table(self) -> pd.DataFrame:
        """One row a step: mean, and the bounds of each level (``lower_80``, ``upper_80``, ...)."""
        columns = {"mean": self.mean}
        for level in self.levels:
            columns[f"lower_{100 * level:g}"] = self.lower(level)
            columns[f"upper_{100 * level:g}"] = self.upper(level)
        return pd.DataFrame(columns)
