"""Rolling origins: each forecast is made from the values before its origin and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from capkit.forecasting.forecast import Forecast
from capkit.forecasting.models import Model, fit
from capkit.forecasting.scores import coverage, mase, pinball, wape
from capkit.forecasting.series import check_series, seasons_of

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
Origins = int | Iterable[Any]


def _positions(index: pd.DatetimeIndex, origins: Origins, every: int, horizon: int) -> list[int]:
    last = len(index) - horizon
    if isinstance(origins, int):
        positions = np.arange(origins)[::-1] * -every + last
    else:
        positions = index.get_indexer(pd.DatetimeIndex(list(origins)))
    if (
        not positions.size
        or positions[0] < 1
        or positions[-1] > last
        or min(np.diff(positions), default=1) < 1
    ):
        raise ValueError(
            f"origins (the first stamp forecast) must increase, lie after {index[0]} and leave "
            f"{horizon} values, up to {index[last]}; got {origins}"
        )
    return [int(p) for p in positions]


def rolling_forecasts(
    series: pd.Series,
    model: str | Model,
    horizon: int,
    *,
    origins: Origins,
    season_lengths: Sequence[int] | None = None,
    refit_every: int | None = None,
    holidays: pd.Series | None = None,
) -> Iterator[Forecast]:
    """Yield the forecast from each origin in turn; parameters as in `backtest`.

    The model is handed the values before the first origin, then those up to the next, and so on:
    it cannot see further. Its state moves on; its parameters are estimated anew at every
    ``refit_every``-th origin, or never.
    """
    seasons = seasons_of(series.index) if season_lengths is None else season_lengths
    every = max(seasons, default=horizon)
    positions = _positions(series.index, origins, every, horizon)
    for number, position in enumerate(positions):
        if number == 0 or (refit_every and number % refit_every == 0):
            known = series.iloc[:position]
            fitted = fit(known, model, season_lengths=season_lengths, holidays=holidays)
        else:
            fitted = fitted.extend(series.iloc[positions[number - 1] : position])
        yield fitted.forecast(horizon)


def score(
    forecasts: Sequence[Forecast],
    series: pd.Series,
    horizon: int | Sequence[int],
    *,
    season_lengths: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Score one model's forecasts against what came; columns as in `backtest`, a row a horizon."""
    season = max(season_lengths or seasons_of(series.index), default=1)
    history = series[series.index < forecasts[0].index[0]]
    quantiles = np.array([f.quantiles(QUANTILES) for f in forecasts])
    actual = np.array([series[f.index] for f in forecasts])
    rows = []
    for steps in [horizon] if isinstance(horizon, int) else horizon:
        truth = actual[:, :steps]
        cut = {p: quantiles[:, i, :steps] for i, p in enumerate(QUANTILES)}
        rows.append(
            {
                "model": forecasts[0].model,
                "horizon": steps,
                "wape": wape(truth, cut[0.5]),
                "mase": mase(truth, cut[0.5], history, season),
                "pinball": float(np.mean([pinball(truth, q, p) for p, q in cut.items()])),
                "coverage_80": coverage(truth, cut[0.1], cut[0.9]),
                "coverage_95": coverage(truth, cut[0.025], cut[0.975]),
            }
        )
    return pd.DataFrame(rows)


def backtest(
    series: pd.Series,
    models: str | Model | Sequence[str | Model],
    horizon: int | Sequence[int],
    *,
    origins: Origins,
    season_lengths: Sequence[int] | None = None,
    refit_every: int | None = None,
    holidays: pd.Series | None = None,
) -> pd.DataFrame:
    """Score models on forecasts from rolling origins, each made from the past alone.

    Parameters
    ----------
    series : Series
        Counts or rates on a regular DatetimeIndex.
    models : str, Model, or a sequence of them
        Names of `MODELS` or objects.
    horizon : int or sequence of int
        Steps ahead; a row scores steps 1 to ``horizon`` together.
    origins : int or iterable of time stamps
        The first stamp of each forecast, increasing; or how many, one longest season apart, the
        last as late as the series allows.
    season_lengths : sequence of int, optional
        Seasons in steps; by default what the frequency suggests.
    refit_every : int, optional
        Estimate the parameters anew at every so many origins; by default once, at the first.
    holidays : Series, optional
        Name by date, as in `fit`: a calendar is known in advance, its effects are not.

    Returns
    -------
    DataFrame
        One row a model and horizon: model, horizon, wape and mase of the median forecast (it makes
        absolute errors least; mase against the one-season change before the first origin), pinball
        (mean over the quantiles .025, .1, .5, .9, .975; unit of the series), coverage_80,
        coverage_95 (shares).

    Raises
    ------
    ValueError
        The series cannot be forecast, an origin is out of range, or no such model.
    NotConvergedError
        An estimation did not converge.
    """
    series = check_series(series, season_lengths or ())
    horizons = [horizon] if isinstance(horizon, int) else sorted(horizon)
    tables = []
    for model in (
        models if isinstance(models, Sequence) and not isinstance(models, str) else [models]
    ):
        forecasts = rolling_forecasts(
            series,
            model,
            horizons[-1],
            origins=origins,
            season_lengths=season_lengths,
            refit_every=refit_every,
            holidays=holidays,
        )
        tables.append(score(list(forecasts), series, horizons, season_lengths=season_lengths))
    return pd.concat(tables, ignore_index=True)
