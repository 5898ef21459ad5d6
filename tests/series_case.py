"""A made-up hourly series that several test files forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd


def hours(count: int, seed: int = 1) -> pd.Series:
    """A daily and weekly cycle with noise that remembers a little."""
    rng = np.random.default_rng(seed)
    clock = np.arange(count)
    noise = np.zeros(count)
    for t in range(1, count):
        noise[t] = 0.8 * noise[t - 1] + 0.03 * rng.standard_normal()
    shape = 0.6 * np.sin(2 * np.pi * clock / 24) + 0.3 * np.sin(2 * np.pi * clock / 168)
    return pd.Series(
        1000 * np.exp(shape + noise), pd.date_range("2018-01-01", periods=count, freq="h")
    )
