"""Figures of capkit.forecasting: weekly origins on the application server, beside statsforecast.

`python benchmarks/forecasting.py` writes benchmarks/forecasting.md. The peers run in an environment of their own
(`benchmarks/mstl.py`); their forecasts are kept in the user's cache, so a run that was stopped goes on there.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pooch
from pages import write_page
from peers import environment

from capkit import forecasting
from capkit.datasets import load_classic, load_demand
from capkit.forecasting import Arima, Calibrated, DirectRegression, HarmonicArima

PEER = ["statsforecast==2.0.3"]
HORIZONS = [24, 168]
ORIGINS = pd.date_range("2018-01-01", "2020-03-23", freq="7D")
CHOSEN_ON = pd.date_range("2017-03-06", "2017-12-25", freq="7D")  # no origin of the figures
MARCH = ORIGINS[ORIGINS >= "2020-02-24"]
FINAL = "direct"
MODELS: list[Any] = [
    "seasonal_naive",
    "sarima",
    "harmonic_arima",
    Calibrated(HarmonicArima()),
    FINAL,
]


def peer_forecasts(demand: pd.Series) -> Path:
    """The folder of the peers' forecasts, one file a model and origin."""
    folder = Path(pooch.os_cache("capkit")) / "forecasting_peers"
    folder.mkdir(parents=True, exist_ok=True)
    demand.to_csv(folder / "demand.csv")
    pd.Series(ORIGINS).to_csv(folder / "origins.csv", index=False)
    python = environment(PEER[0].replace("==", "-"), PEER) / "bin" / "python"
    files = [folder / "demand.csv", folder / "origins.csv", folder / "results"]
    script = Path(__file__).with_name("mstl.py")
    subprocess.run([python, script, *files], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder / "results"


def row(name: str, actual: np.ndarray, parts: dict[str, np.ndarray], steps: int) -> dict[str, Any]:
    """One line: error of the point, and the share of hours inside the intervals."""
    cut = {key: values[:, :steps] for key, values in parts.items()}
    bounds = [(cut[f"lo-{level}"], cut[f"hi-{level}"]) for level in (80, 95)]
    inside = [100 * forecasting.coverage(actual[:, :steps], *pair) for pair in bounds]
    return {
        "model": name,
        "horizon, h": steps,
        "WAPE, %": 100 * forecasting.wape(actual[:, :steps], cut["mean"]),
        "in 80 %, %": inside[0],
        "in 95 %, %": inside[1],
    }


def scores(demand: pd.Series, results: Path, origins: pd.DatetimeIndex) -> pd.DataFrame:
    """Every model and peer at the same origins."""
    rows = []
    for model in MODELS:
        made = list(forecasting.rolling_forecasts(demand, model, HORIZONS[-1], origins=ORIGINS))
        made = [f for f in made if f.index[0] in origins]
        actual = np.array([demand[f.index] for f in made])
        names = {"mean": 0.5, "lo-80": 0.1, "hi-80": 0.9, "lo-95": 0.025, "hi-95": 0.975}
        parts = {name: np.array([f.quantile(p) for f in made]) for name, p in names.items()}
        rows += [row(made[0].model, actual, parts, steps) for steps in HORIZONS]
    for folder in sorted(results.iterdir()):
        tables = [pd.read_csv(folder / f"{origin:%Y-%m-%d}.csv") for origin in origins]
        parts = {name: np.array([t[name] for t in tables]) for name in names}
        rows += [row(folder.name, actual, parts, steps) for steps in HORIZONS]
    table = pd.DataFrame(rows)
    naive = table[table["model"] == "seasonal_naive"].set_index("horizon, h")["WAPE, %"]
    table["below seasonal naive, %"] = 100 * (1 - table["WAPE, %"] / table["horizon, h"].map(naive))
    return table.sort_values(["horizon, h", "WAPE, %"], ignore_index=True)


def sensitivity(demand: pd.Series) -> pd.DataFrame:
    """The constants of `direct`: loss on 2017, by which they are chosen, and what each would have given later."""
    naive = {
        name: forecasting.backtest(demand, "seasonal_naive", HORIZONS, origins=origins)
        for name, origins in (("2017", CHOSEN_ON), ("later", ORIGINS))
    }
    rows = []
    for profile, around, huber in itertools.product((4, 6, 8), (1, 2, 3), (1.0, 1.5, 2.5)):
        model = DirectRegression(profile, around, huber)
        before = forecasting.backtest(demand, model, HORIZONS, origins=CHOSEN_ON)
        later = forecasting.backtest(demand, model, HORIZONS, origins=ORIGINS)
        relative = (before["pinball"] / naive["2017"]["pinball"]).mean()
        below = 100 * (1 - later["wape"] / naive["later"]["wape"])
        rows.append((profile, around, huber, relative, *below))
    columns = ["profile", "around", "huber", "pinball of 2017 over seasonal naive's"]
    columns += [f"WAPE {h} h below seasonal naive in 2018-2020, %" for h in HORIZONS]
    table = pd.DataFrame(rows, columns=columns).sort_values(columns[3], ignore_index=True)
    table["default"] = [
        "yes" if DirectRegression(*constants) == DirectRegression() else ""
        for constants in zip(*(table[c] for c in columns[:3]), strict=True)
    ]
    return table


def once_or_every_time(demand: pd.Series) -> pd.DataFrame:
    """52 origins with the parameters estimated once, beside a new estimation at every origin (medians of 3)."""
    rows = []
    for model, repeats in ((FINAL, 3), ("harmonic_arima", 1)):
        seconds: dict[bool, list[float]] = {True: [], False: []}
        tables = {}
        for anew in (False, True) * repeats:
            started = time.process_time()
            tables[anew] = forecasting.backtest(
                demand, model, HORIZONS, origins=ORIGINS[:52], refit_every=1 if anew else None
            )
            seconds[anew].append(time.process_time() - started)
        once, every = (statistics.median(seconds[anew]) for anew in (False, True))
        change = 100 * (tables[False]["wape"] / tables[True]["wape"] - 1)
        rows.append((model, once, every, once / every, *change))
    columns = ["model", "estimated once, CPU s", "at every origin, CPU s", "ratio"]
    return pd.DataFrame(rows, columns=[*columns, "WAPE 24 h changes by, %", "WAPE 168 h, %"])


def decisions(demand: pd.Series, lead: int = 24, replica: float = 9000.0) -> pd.DataFrame:
    """Replica-hours at equal short hours over 52 weeks of 2018, ordered daily, a day ahead."""
    days = pd.date_range("2018-01-01", "2018-12-30", freq="D")
    rows = []
    for name in ["naive", "seasonal_naive", "sarima", FINAL]:
        made = forecasting.rolling_forecasts(demand, name, lead + 24, origins=days)
        plan = forecasting.plan_ahead(made, 0.95, lead=lead, every=24)
        came = demand[plan.index]
        asked = forecasting.provision(came, plan, replica)
        equal = forecasting.provision_at(came, plan, replica, 0.05)
        shares = (100 * asked.short_share, asked.replica_steps, equal.replica_steps, equal.factor)
        rows.append((name, *shares))
    columns = ["model", "short hours as planned, %", "replica-hours as planned"]
    columns += ["replica-hours at 5 % short hours", "factor on the quantile"]
    return pd.DataFrame(rows, columns=columns)


def known_answers() -> pd.DataFrame:
    """Published maximum likelihood estimates of two textbook series."""
    air, www = np.log(load_classic("air_passengers")), load_classic("www_usage")
    twice = np.diff(air.to_numpy()[12:] - air.to_numpy()[:-12])
    airline = Arima((0, 0, 1), (0, 0, 1, 12), log=False).fit(twice, (12,)).result
    users = forecasting.fit(www, Arima((3, 1, 0), log=False), season_lengths=()).state.result
    model = Arima((0, 1, 1), (0, 1, 1, 12), log=False)
    hold_out = np.exp(forecasting.fit(air[:"1959"], model).forecast(12).mean)
    truth = load_classic("air_passengers")["1960"]
    error = 100 * float((hold_out / truth - 1).abs().mean())
    rows = [
        ("AirPassengers", "theta, Theta", "-.4018, -.5569", airline.params[:2].round(4)),
        ("AirPassengers", "sigma2", ".0013477", f"{airline.params[2]:.7f}"),
        ("AirPassengers", "loglik", "244.696", f"{airline.llf:.3f}"),
        ("AirPassengers", "MAPE of 1960, %", "2.90", f"{error:.2f}"),
        ("WWWusage", "phi", "1.1513, -.6612, .3407", users.params[:3].round(4)),
        ("WWWusage", "sigma2", "9.363", f"{users.params[3]:.3f}"),
        ("WWWusage", "loglik", "-252.0", f"{users.llf:.1f}"),
    ]
    return pd.DataFrame(rows, columns=["series", "figure", "published", "here"])


def main() -> None:
    demand = load_demand()
    results = peer_forecasts(demand)
    seconds = pd.Series(
        {
            folder.name: np.median(
                [pd.read_csv(f)["seconds"].iloc[0] for f in folder.glob("*.csv")]
            )
            for folder in results.iterdir()
        }
    )
    parts = {
        f"{len(ORIGINS)} weekly origins, 2018-01-01 to 2020-03-23; parameters of capkit's models from before them": scores(
            demand, results, ORIGINS
        ),
        "The last five of these weeks, from 24 February 2020": scores(demand, results, MARCH),
        "What a peer takes for one origin (fitted anew at each, on twelve weeks), median": seconds.rename(
            "s"
        )
        .rename_axis("peer")
        .reset_index(),
        "The constants of `direct`, chosen by the loss on 2017": sensitivity(demand),
        "52 origins: estimated once, or at every origin": once_or_every_time(demand),
        "Decisions: ordered every day for the day after the next midnight, 0.95 quantile": decisions(
            demand
        ),
        "Known answers": known_answers(),
    }
    write_page(__file__, "Forecasting", parts)


if __name__ == "__main__":
    main()
