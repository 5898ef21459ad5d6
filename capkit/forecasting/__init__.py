"""Forecasts of demand that are tested the way they are used (document 4.2).

`fit` and `backtest` are the way in: a model by name or object and a pandas Series on a regular time
index give a `Forecast` with intervals by horizon, or scores over rolling origins.
"""

from capkit.forecasting.arima import Arima, HarmonicArima
from capkit.forecasting.backtest import backtest, rolling_forecasts, score
from capkit.forecasting.calendar import holiday_effects, western_holidays
from capkit.forecasting.calibrated import Calibrated
from capkit.forecasting.decisions import Provision, plan_ahead, provision, provision_at
from capkit.forecasting.direct import DirectRegression
from capkit.forecasting.ets import Ets
from capkit.forecasting.forecast import Forecast, NotConvergedError, Prediction
from capkit.forecasting.models import MODELS, Best, Fit, fit
from capkit.forecasting.naive import Naive, SeasonalNaive
from capkit.forecasting.scores import coverage, mase, newsvendor_ratio, pinball, wape
from capkit.forecasting.series import check_series, repair, seasons_of

__all__ = [
    "MODELS", "Arima", "Best", "Calibrated", "DirectRegression", "Ets", "Fit", "Forecast", "HarmonicArima",
    "Naive", "NotConvergedError", "Prediction", "Provision", "SeasonalNaive", "backtest", "check_series",
    "coverage", "fit", "holiday_effects", "mase", "newsvendor_ratio", "pinball", "plan_ahead", "provision", "provision_at", "repair", "rolling_forecasts", "score",
    "seasons_of", "wape", "western_holidays",
]  # fmt: skip
