"""The errors of every model that the course measured, and the learner's beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from capkit import plots
from capkit.course.exercises import own_predictions
from capkit.course.products import load

YOU = "you"


def model_errors(run_dir: str | Path = "") -> pd.DataFrame:
    """Errors from the ledgers of a run: chapter 06's of the queueing models, 07's backtest of the forecasts.

    Returns
    -------
    DataFrame
        ``chapter``, ``model``, ``quantity``, ``error_percent``: prediction over measurement, less 1; for a
        forecast the WAPE of a week ahead, which has no sign.

    Examples
    --------
    >>> sorted(model_errors()["chapter"].unique())
    06_queueing: taken from the reference run
    07_forecasting: taken from the reference run
    ['06', '07']
    """
    ledger = load(run_dir, "06_queueing").table("ledger")
    ledger = ledger[ledger["valid"] & ledger["error_percent"].notna()]
    queues = pd.DataFrame(
        {
            "chapter": "06",
            "model": ledger["model"],
            "quantity": ledger["quantity"] + " at load " + ledger["load"].astype(str),
            "error_percent": ledger["error_percent"],
        }
    )
    backtest = load(run_dir, "07_forecasting").table("backtest")
    backtest = backtest[backtest["horizon"] == backtest["horizon"].max()]
    forecasts = pd.DataFrame(
        {
            "chapter": "07",
            "model": backtest["model"],
            "quantity": "WAPE, " + backtest["horizon"].astype(str) + " h",
            "error_percent": 100.0 * backtest["wape"],
        }
    )
    return pd.concat([queues, forecasts], ignore_index=True)


def errors_beside(run_dir: str | Path = "") -> pd.DataFrame:
    """`model_errors`, and the revealed predictions of the learner under the model ``you``."""
    own = own_predictions()
    mine = pd.DataFrame(
        {
            "chapter": own["what"].str[:2],
            "model": YOU,
            "quantity": own["what"],
            "error_percent": own["error_percent"].astype(float),
        }
    )
    models = model_errors(run_dir)
    return models if mine.empty else pd.concat([models, mine], ignore_index=True)


def summary(errors: pd.DataFrame) -> pd.DataFrame:
    """One row a model, best first: how many predictions, and the median and largest size of their errors."""
    size = errors["error_percent"].abs()
    return (
        size.groupby([errors["chapter"].where(errors["model"] != YOU, "all"), errors["model"]])
        .agg(predictions="size", median_percent="median", largest_percent="max")
        .reset_index()
        .sort_values("median_percent", ignore_index=True)
    )


def plot_errors(errors: pd.DataFrame) -> Axes:
    """Every error as a mark on a logarithmic line, one line a model; the learner's is the lowest."""
    table = summary(errors)[::-1]
    table = pd.concat([table[table["model"] == YOU], table[table["model"] != YOU]])
    ax: Axes = plots.axes(
        "Errors, prediction by prediction", "size of the error (%)", "", xscale="log"
    )
    for place, model in enumerate(table["model"]):
        size = errors.loc[errors["model"] == model, "error_percent"].abs().clip(lower=0.1)
        mark, color = ("D", plots.COLORS[1]) if model == YOU else ("o", plots.COLORS[0])
        ax.plot(size, np.full(len(size), place), mark, color=color, fillstyle="none", alpha=0.7)
        ax.plot(size.median(), place, "|", color="black", markersize=14, markeredgewidth=2)
    names = [
        m if m == YOU else f"{c}: {m}"
        for c, m in zip(table["chapter"], table["model"], strict=True)
    ]
    ax.set_yticks(range(len(table)), names)
    return ax
