"""What a company's people hand over: a brief, and raw files with the flaws of the trade."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capkit.course.companies.company import HISTORY_H, LOGGED_RPS, WEEK_H, Company, found
from capkit.course.products import resolve_run_dir


def brief(company: Company) -> str:
    """What the company's people say of it, in Markdown."""
    first = company.hourly.index[HISTORY_H]
    return f"""# {company.name}

{company.name} runs a service that {company.serves}. Plan its servers for the week that begins on
{first:%A, %d %B %Y}, 00:00 in {company.time_zone}: {WEEK_H} hours.

- **Promise.** In every hour {100 * company.slo_percentile:g} % of the requests are answered within {company.slo_latency_ms:g} ms.
- **Zones.** Two. The loss of one must not break the promise. Requests reach the servers by chance.
- **requests.csv** is one afternoon's log. It keeps one request in {company.logged_one_in}, chosen by chance. The collector
  was restarted once, and some minutes were not recorded. Since then it writes its clock another way. Operations believe that a part was written twice.
- **hourly.csv** counts all requests of the last year by the clock on the wall in {company.time_zone}, summer time included.
  Counts of some hours were lost.
- **latencies.csv** is a benchmark of one server on one vCPU, one request at a time, from its first request after the start. A server needs {company.memory_mib} MiB.
- **prices.csv** is the quote for the machines, {company.today:%Y-%m-%d}: on demand, or reserved for a year.
- **terms.json** repeats the figures of this page for a program.
"""


def write_files(company: Company, folder: Path) -> Path:
    """Write the brief, its figures and the four tables into a folder, which is made; the same company, the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "brief.md").write_text(brief(company), encoding="utf-8")
    terms = json.dumps(_terms(company), indent=1) + "\n"
    (folder / "terms.json").write_text(terms, encoding="utf-8")
    rng = np.random.default_rng([company.seed, 12])
    for name, table in {
        "requests": _log(company, rng),
        "hourly": _counts(company, rng),
        "latencies": _latencies(company, rng),
        "prices": company.prices,
    }.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    return folder


def open_files(given: Mapping[str, Any], run_dir: str | Path = "") -> Path:
    """Folder of a company's files: where the notebook lies if they lie there, else written into the run.

    Parameters
    ----------
    given : mapping
        Arguments of `found` (`scenario`).
    run_dir : str or Path
        The run.
    """
    company = found(**given)
    here = Path.cwd() / "brief.md"
    if here.is_file() and here.read_text(encoding="utf-8") == brief(company):
        return here.parent
    return write_files(company, resolve_run_dir(run_dir) / "11_capstone")


def _terms(company: Company) -> dict[str, Any]:
    """The figures of the brief, for a program to read."""
    return {
        "time_zone": company.time_zone,
        "slo_percentile": company.slo_percentile,
        "slo_latency_ms": company.slo_latency_ms,
        "zones": 2,
        "memory_mib": company.memory_mib,
        "first_hour": company.hourly.index[HISTORY_H].isoformat(),
        "hours": WEEK_H,
        "priced_on": company.today.strftime("%Y-%m-%d"),
    }


def _log(company: Company, rng: np.random.Generator) -> pd.DataFrame:
    """A log of an hour: a silence, two clocks, a block written twice and late, rows that cannot be."""
    rates = LOGGED_RPS * company.minute_factors
    start = np.repeat(60.0 * np.arange(60), rng.poisson(60.0 * rates))
    times = np.unique((start + rng.uniform(0, 60, start.size)).round(6))
    stopped = rng.uniform(1200, 2100)
    length = rng.uniform(210, 420)
    times = times[(times < stopped) | (times > stopped + length)]
    zero = company.hourly.index[HISTORY_H] - pd.Timedelta(days=4, hours=-14)
    stamps = zero + pd.to_timedelta(times, unit="s")
    local, utc = stamps[times < stopped], stamps[times > stopped].tz_convert("UTC")
    text = [t.isoformat(timespec="microseconds") for t in local]
    text += [t.isoformat(timespec="microseconds").replace("+00:00", "Z") for t in utc]
    size = rng.lognormal(8.5, 0.6, times.size).astype(int)
    table = pd.DataFrame({"arrived_at": text, "bytes": size})
    first = int(rng.integers(len(table) // 2))
    again = table.iloc[first : first + int(rng.uniform(0.08, 0.12) * len(table))]
    bad = rng.choice(len(table), 9, replace=False)
    table.loc[table.index[bad[:5]], "arrived_at"] = ""
    table.loc[table.index[bad[5:]], "bytes"] = -1
    return pd.concat([table, again], ignore_index=True)


def _counts(company: Company, rng: np.random.Generator) -> pd.DataFrame:
    """The history by the clock on the wall, without the hours that were lost."""
    history = company.hourly.iloc[:HISTORY_H]
    clock = history.index.tz_localize(None)
    table = pd.DataFrame({"hour": clock.strftime("%Y-%m-%d %H:%M"), "requests": history.to_numpy()})
    table["requests"] = table["requests"].astype(int)
    lost = np.zeros(HISTORY_H, dtype=bool)
    weeks = rng.choice(np.arange(4, 48), 3, replace=False)
    for week in weeks:  # on a Wednesday: the clock changes on Sundays
        begin = int(np.flatnonzero(clock.day_of_week == 2)[0]) + 168 * int(week)
        begin += int(rng.integers(4, 16))
        lost[begin : begin + int(rng.integers(2, 6))] = True
    return table[~lost]


def _latencies(company: Company, rng: np.random.Generator) -> pd.DataFrame:
    """Microseconds of single requests, the slow first ones of a cold server included."""
    scale = 1000.0 * company.service_ms * company.service_cv2
    service_us = rng.gamma(1.0 / company.service_cv2, scale, 3000)
    cold = 1.0 + rng.uniform(15, 40) * np.exp(-np.arange(60) / 15)
    service_us[:60] *= cold
    return pd.DataFrame({"request": np.arange(1, 3001), "latency_us": service_us.round(1)})
