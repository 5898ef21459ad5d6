"""A study: scenarios from a YAML file, as a grid, a list, or at random."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capkit.course import CHAPTERS
from capkit.course.execution import source_path
from capkit.course.inspection import Declared, check, inspect, parse
from capkit.course.notebooks import select
from capkit.course.parameters import Value
from capkit.study.scenario import PLAN, UNUSED, example

DESIGNS = ("grid", "list", "random")
KEYS = ("work", "fixed", *DESIGNS, "figure")


@dataclass(frozen=True)
class Study:
    """What is done for which scenarios.

    Attributes
    ----------
    work : str
        "sizing": forecast, queueing and optimum; "plan": the same, tried by replay and mended, as
        ``python -m capkit plan``; "chapters": the notebooks.
    chapters : tuple of str
        Notebooks of a scenario, in order; empty for the other two.
    scenarios : list of dict
        Parameters of each scenario, checked.
    varied : tuple of str
        Names of the parameters that differ between scenarios, in the order of the file.
    figure : dict of str
        ``x``, ``y``, ``by``: columns to draw, where the file names them.
    """

    work: str
    chapters: tuple[str, ...]
    scenarios: list[dict[str, Value]]
    varied: tuple[str, ...]
    figure: dict[str, str]


def read_study(file: Path) -> Study:
    """Read a study and check every value of it.

    Parameters
    ----------
    file : Path
        YAML: ``work`` (sizing, plan or chapters such as 03-10), one of ``grid``, ``list`` and ``random``,
        and if wanted ``fixed`` (parameters that all scenarios share) and ``figure``.

    Raises
    ------
    ValueError
        A key, a parameter or a value that is not allowed; the message says what is.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file.name} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{file.name} must hold one key: value a line, the keys {', '.join(KEYS)}")
    for key in content:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"a study has {', '.join(KEYS)}"
            raise ValueError(f"{file.name} has no key {key!r}; {hint}")
    designs = [name for name in DESIGNS if name in content]
    if len(designs) != 1:
        raise ValueError(f"give one of {', '.join(DESIGNS)}, got {designs or 'none'}")
    work, chapters = _work(str(content.get("work", "plan")))
    known = inspect(source_path(c) for c in chapters or (PLAN,))
    fixed = _mapping("fixed", content.get("fixed") or {})
    design = {"grid": _grid, "list": _list, "random": _random}[designs[0]]
    varying = design(content[designs[0]], known)
    names = dict.fromkeys(name for scenario in varying for name in scenario)
    for name in fixed.keys() & names.keys():
        raise ValueError(f"{name} is fixed and varies: name it once")
    for name in UNUSED.get(work, ()):
        if name in fixed or name in names:
            raise ValueError(f"{name} changes nothing in work: {work}; leave it out")
    scenarios = _checked([fixed | scenario for scenario in varying], known)
    figure = _figure(content.get("figure") or {}, scenarios, example(work, chapters))
    return Study(work, chapters, scenarios, tuple(names), figure)


def _work(text: str) -> tuple[str, tuple[str, ...]]:
    if text in ("sizing", "plan"):
        return text, ()
    first, _, last = text.partition("-")
    try:
        (start,), (end,) = select([first]), select([last or first])
    except ValueError:
        raise ValueError(f"work is sizing, plan or chapters such as 03-10, got {text!r}") from None
    if start > end:
        raise ValueError(f"work: {text} ends before it begins; did you mean {last}-{first}?")
    return "chapters", CHAPTERS[CHAPTERS.index(start) : CHAPTERS.index(end) + 1]


def _mapping(key: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{key} must hold name: value, got {content!r}")
    return {str(name): value for name, value in content.items()}


def _figure(
    content: Any, scenarios: list[dict[str, Value]], results: Mapping[str, Value]
) -> dict[str, str]:
    """The columns to draw; they must exist, as far as ``results`` (none: not known) tell before the study."""
    wanted = {key: str(column) for key, column in _mapping("figure", content).items()}
    columns = {"scenario": 0, **results}
    for scenario in scenarios:
        columns |= scenario
    numbers = [name for name, value in columns.items() if not isinstance(value, str | bool)]
    for key, column in wanted.items():
        if key not in ("x", "y", "by"):
            raise ValueError(f"a figure has x, y and by, got {key!r}")
        if results and column not in (columns if key == "by" else numbers):
            there = ", ".join(columns if key == "by" else numbers)
            raise ValueError(f"figure: no column {column!r} for {key}; there are {there}")
    return wanted


def _choices(name: str, values: Any) -> list[Any]:
    listed = values if isinstance(values, list) else [values]
    if not listed:
        raise ValueError(f"{name} has no value")
    return listed


def _grid(content: Any, known: Mapping[str, Declared]) -> list[dict[str, Any]]:
    grid = {name: _choices(name, values) for name, values in _mapping("grid", content).items()}
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _list(content: Any, known: Mapping[str, Declared]) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not content:
        raise ValueError("list must hold one mapping of name: value a scenario")
    return [_mapping("a scenario of list", scenario) for scenario in content]


def _random(content: Any, known: Mapping[str, Declared]) -> list[dict[str, Any]]:
    """Independent draws: one of a list, or between ``from`` and ``to``, evenly on the scale or its logarithm."""
    ranges = _mapping("random", content)
    count, seed = ranges.pop("scenarios", None), ranges.pop("seed", 1)
    if not isinstance(count, int) or count < 1 or not isinstance(seed, int):
        raise ValueError("random needs scenarios: how many, at least 1; its seed is a whole number")
    rng = np.random.default_rng(seed)
    columns = {name: _draw(name, rule, known, count, rng) for name, rule in ranges.items()}
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _draw(
    name: str, rule: Any, known: Mapping[str, Declared], count: int, rng: np.random.Generator
) -> list[Any]:
    if not isinstance(rule, dict):
        listed = _choices(name, rule)
        return [listed[i] for i in rng.integers(len(listed), size=count)]
    if not {"from", "to"} <= rule.keys() <= {"from", "to", "log"}:
        raise ValueError(f"{name} is a list, or from, to and log: true, got {rule!r}")
    low, high = (parse(name, rule[end], known) for end in ("from", "to"))
    if isinstance(low, str | bool) or isinstance(high, str | bool) or low > high:
        raise ValueError(f"{name} needs numbers with from at most to, got {rule!r}")
    whole = isinstance(low, int) and isinstance(high, int)
    if rule.get("log"):
        if low <= 0.0:
            raise ValueError(f"{name} on a logarithmic scale must be above 0, got {rule!r}")
        end = math.log(high + 1 if whole else high)  # a whole number k is k to k + 1, rounded down
        drawn = [math.exp(v) for v in rng.uniform(math.log(low), end, size=count)]
        return [min(max(int(v), low), high) for v in drawn] if whole else drawn
    if whole:
        return [int(v) for v in rng.integers(int(low), int(high), size=count, endpoint=True)]
    return [float(v) for v in rng.uniform(low, high, size=count)]


def _checked(
    scenarios: list[dict[str, Any]], known: Mapping[str, Declared]
) -> list[dict[str, Value]]:
    """Every value parsed; files and solvers looked at once each, not once a scenario."""
    parsed = [{name: parse(name, v, known) for name, v in row.items()} for row in scenarios]
    external = [{n: v for n, v in row.items() if isinstance(v, str)} for row in parsed]
    looked_at: dict[tuple[tuple[str, Value], ...], dict[str, Value]] = {}
    for row in external:
        key = tuple(row.items())
        if key not in looked_at:
            looked_at[key] = check(row, known)
    return [
        {**row, **looked_at[tuple(texts.items())]}
        for row, texts in zip(parsed, external, strict=True)
    ]
