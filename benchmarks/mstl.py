"""The peers of benchmarks/forecasting.py: statsforecast's models at every origin, in their own environment.

    python mstl.py demand.csv origins.csv results/

Each model forecasts 168 hours from its history of ``HISTORY_H`` hours before the origin and is fitted anew
there. A forecast that is already in ``results/`` is kept: an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from statsforecast.models import MSTL, AutoARIMA, AutoETS

HISTORY_H = 2016  # twelve weeks, as the ARIMA models of capkit
HORIZON_H = 168
LEVELS = [80, 95]
SEASONS = [24, 168]
# A seasonal AutoARIMA of season 168 takes hours an origin; of season 24 and small orders, seconds.
SMALL = {"max_p": 2, "max_q": 2, "max_P": 1, "max_Q": 1, "max_order": 4, "nmodels": 20}
MODELS: dict[str, tuple[Callable[[], Any], bool]] = {  # the model, and whether it works on logarithms
    "MSTL + AutoARIMA": (lambda: MSTL(SEASONS, trend_forecaster=AutoARIMA()), False),
    "MSTL + AutoARIMA, log": (lambda: MSTL(SEASONS, trend_forecaster=AutoARIMA()), True),
    "MSTL + AutoETS": (lambda: MSTL(SEASONS, trend_forecaster=AutoETS(model="ZZN")), False),
    "AutoARIMA, season 24": (lambda: AutoARIMA(season_length=24, approximation=True, **SMALL), False),
}  # fmt: skip


def forecast(history: np.ndarray, build: Callable[[], Any], log: bool) -> pd.DataFrame:
    """Point forecast and bounds by hour, and the seconds that fit and forecast took."""
    started = time.perf_counter()
    model = build().fit(y=np.log(history) if log else history)
    table = pd.DataFrame(model.predict(h=HORIZON_H, level=LEVELS))
    if log:
        table = np.exp(table)
    return table.assign(seconds=time.perf_counter() - started)


def main(demand: str, origins: str, folder: str) -> None:
    series = pd.read_csv(demand, index_col=0, parse_dates=True).iloc[:, 0].astype(float)
    results = Path(folder)
    for name, (build, log) in MODELS.items():
        for origin in pd.to_datetime(pd.read_csv(origins).iloc[:, 0]):
            kept = results / name / f"{origin:%Y-%m-%d}.csv"
            if kept.exists():
                continue
            history = series[series.index < origin].to_numpy()[-HISTORY_H:]
            kept.parent.mkdir(parents=True, exist_ok=True)
            unfinished = kept.with_suffix(".part")
            forecast(history, build, log).to_csv(unfinished, index=False)
            unfinished.rename(kept)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
