"""The learner's own ledger: a prediction before the cell runs, the truth after it, kept on the learner's machine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd

from capkit.course.exercises.verdicts import is_number
from capkit.course.products import resolve_run_dir

COLUMNS = ["what", "predicted", "unit", "revealed", "error_percent", "inside"]


def own_ledger_path() -> Path:
    """File that holds the predictions, beside the runs; delete it to begin anew."""
    return resolve_run_dir("").parent / "my_predictions.json"


def _read() -> list[dict[str, Any]] | None:
    """What is noted; None, and a line that says why, where the file cannot be read."""
    path = own_ledger_path()
    if not path.is_file():
        return []
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        whole = all({"what", "predicted", "unit"} <= set(entry) for entry in entries)
    except (ValueError, TypeError):
        whole = False
    if whole:
        return entries
    _show(
        f"The file of your predictions is damaged: `{path}`. Nothing is read from it or written to it. Mend it, or move "
        "it away to begin anew."
    )
    return None


def _write(entries: list[dict[str, Any]]) -> None:
    path = own_ledger_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    scratch.replace(path)


def _words(value: float) -> str:
    """Four digits; thousands whole, never with an exponent.

    >>> [_words(value) for value in (296458.0, 9999.6, 40.0, 0.08125)]
    ['296458', '10000', '40', '0.08125']
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _show(text: str) -> None:
    from IPython.display import Markdown, display

    display(Markdown(text))


def predict(what: str, value: Any, unit: str) -> None:
    """Note what you expect, before you look. Until it is revealed a new value replaces the old one.

    Parameters
    ----------
    what : str
        Name of the quantity; `reveal` uses the same.
    value : float
        Your prediction; the three dots are no prediction, and what is not one finite number is not noted.
    unit : str
        Of the value.

    >>> from os import environ; from tempfile import mkdtemp
    >>> environ["CAPKIT_RUNS"] = mkdtemp()  # where the predictions lie, here a folder to throw away
    >>> predict("p99 at 0.85", 40, "ms"); reveal("p99 at 0.85", 50.0, low=38.0, high=66.0)
    <IPython.core.display.Markdown object>
    <IPython.core.display.Markdown object>
    >>> own_predictions()[["what", "error_percent", "inside"]].to_numpy().tolist()
    [['p99 at 0.85', -20.0, True]]
    """
    if value is ... or value is None:
        _show(f"No prediction yet for *{what}*: put a number where the three dots are.")
        return
    if not is_number(value):
        _show(
            f"A prediction is one finite number ({unit}); this is {value!r:.40}. Nothing is noted."
        )
        return
    if (found := _read()) is None:
        return
    entries = [e for e in found if e["what"] != what or "revealed" in e]
    told = any(e["what"] == what for e in entries)
    noted = {"what": what, "predicted": float(value), "unit": unit, "time": round(time.time())}
    _write([*entries, noted])
    again = " You have seen the answer before: only the first prediction counts." if told else ""
    _show(f"Noted: you expect **{_words(float(value))} {unit}** for *{what}*.{again}")


def reveal(what: str, value: Any, *, low: float | None = None, high: float | None = None) -> None:
    """Set the truth beside your prediction, with the interval of the measurement if both its ends are given.

    >>> reveal("p99 at 0.85", ...)
    <IPython.core.display.Markdown object>
    """
    if not is_number(value):
        _show(f"The truth of *{what}* is one finite number; this is {value!r:.40}. Nothing is set.")
        return
    value = float(value)
    if (entries := _read()) is None:
        return
    mine = next((e for e in entries if e["what"] == what and "revealed" not in e), None)
    if mine is None:
        _show(
            f"*{what}* is {_words(value)}. You made no prediction: make one before you run, next time."
        )
        return
    given = (low, high) if is_number(low) and is_number(high) else (None, None)
    low, high = (end if end is None else float(end) for end in given)
    mine |= {"revealed": value, "low": low, "high": high}
    _write(entries)
    error = f": {100.0 * (mine['predicted'] / value - 1.0):+.0f} %" if value else ""
    bounds = f" ({_words(low)} to {_words(high)})" if low is not None and high is not None else ""
    _show(
        f"*{what}*: you said **{_words(mine['predicted'])} {mine['unit']}**, it is **{_words(value)}**{bounds}{error}."
    )


def own_predictions() -> pd.DataFrame:
    """Your revealed predictions, the first of each quantity: predicted, revealed, error, inside the interval or not.

    Returns
    -------
    DataFrame
        Columns ``what, predicted, unit, revealed, error_percent, inside`` (missing without an
        interval; no error where 0 was revealed).
    """
    rows = pd.DataFrame([e for e in _read() or [] if "revealed" in e])
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = rows.drop_duplicates("what", keep="first")
    truth = rows["revealed"].where(rows["revealed"] != 0)
    rows["error_percent"] = (100.0 * (rows["predicted"] / truth - 1.0)).round(1)
    within = rows["predicted"].between(rows["low"].astype(float), rows["high"].astype(float))
    bounded = rows[["low", "high"]].notna().all(axis=1)
    rows["inside"] = within.astype(object).where(bounded, None)
    return rows[COLUMNS].reset_index(drop=True)
