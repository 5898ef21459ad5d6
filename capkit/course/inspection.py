"""What the notebooks' ``parameters`` cells declare, and values checked against it before anything runs."""

from __future__ import annotations

import ast
import difflib
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capkit import datasets
from capkit.course.parameters import REGISTRY, Parameter, Value

#: a suffix of a name is its unit, which a value may repeat: ``slo_latency_ms: 30 ms``
UNITS = ("ms", "s", "h")
#: how a parameter's comment lists all of its values: "...: random, round_robin, central"
CHOICES = re.compile(r".*: (\w+(?:, \w+)+)")
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
#: parameters that name a file or folder unless they hold one of these words
FILES = {"trace": ("chat", "code"), "demand": ("",), "prices": ("",), "mnist": ("bundled", "keras")}


@dataclass(frozen=True)
class Declared:
    """A parameter as notebooks declare it, and the notebooks (their names) that do."""

    parameter: Parameter
    notebooks: tuple[str, ...]


def inspect(notebooks: Iterable[Path]) -> dict[str, Declared]:
    """Parameters that notebooks declare, read by papermill from their ``parameters`` cells, by name.

    ``run_dir`` is left out: it is the run's own. The ranges are those of `REGISTRY`.

    Raises
    ------
    ValueError
        A default that is not a plain value, or differs between two notebooks.

    Examples
    --------
    >>> from capkit.course.products import notebook_path
    >>> found = inspect([notebook_path("09_capacity_plan")])["zones"]
    >>> found.parameter.default, found.notebooks
    (2, ('09_capacity_plan',))
    """
    import papermill

    found: dict[str, Declared] = {}
    for path in notebooks:
        for name, entry in papermill.inspect_notebook(str(path)).items():
            if name == "run_dir":
                continue
            try:
                default = ast.literal_eval(entry["default"])
            except (ValueError, SyntaxError):
                default = None
            if not isinstance(default, Value):
                raise ValueError(f"{path.name}: the default of {name} is no plain value")
            known = REGISTRY.get(name)
            parameter = Parameter(name, default, entry["help"], known and known.within)
            before = found.get(name, Declared(parameter, ()))
            if before.parameter.default != default:
                raise ValueError(
                    f"{name} is {default!r} in {path.name} and {before.parameter.default!r} before it"
                )
            found[name] = Declared(before.parameter, (*before.notebooks, path.stem))
    return found


def parse(name: str, given: Any, known: Mapping[str, Declared]) -> Value:
    """A parameter's value, from text or YAML, in the type of its default.

    Parameters
    ----------
    name : str
        Its name.
    given : Any
        A number, a truth value or a text; a number may be followed by the unit in its name.
    known : mapping
        From `inspect`.

    Raises
    ------
    ValueError
        No such parameter (the nearest name is suggested), or the value is not of its type, unit or range, or
        none of those that the parameter's comment lists.

    Examples
    --------
    >>> from capkit.course.products import notebook_path
    >>> known = inspect([notebook_path("05_serving_benchmark")])
    >>> parse("slo_latency_ms", "30 ms", known), parse("measure", "false", known)
    (30.0, False)
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
        raise ValueError(f"no parameter {name!r}{hint}")
    if not isinstance(given, Value):
        raise ValueError(f"{name} takes one value, got {given!r}")
    parameter = known[name].parameter
    kind, text = type(parameter.default), str(given).strip()
    if kind is str:
        listed = CHOICES.fullmatch(parameter.meaning)
        choices = listed[1].split(", ") if listed else []
        if parameter.default in choices and given not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {given!r}")
        return str(given)
    if kind is bool:
        if text.lower() not in TRUTH:
            raise ValueError(f"{name} is true or false, got {given!r}")
        return TRUTH[text.lower()]
    unit = name.rpartition("_")[2]
    number = text.rstrip("%" + string.ascii_letters)
    behind = text[len(number) :]
    if number and behind not in ("", unit):
        wanted = f"in {unit}" if unit in UNITS else "a number without a unit"
        raise ValueError(f"{name} is {wanted}, got {given!r}")
    try:
        value = int(number) if kind is int else float(number)
    except ValueError:
        raise ValueError(f"{name} must be of type {kind.__name__}, got {given!r}") from None
    if parameter.within is not None and value not in parameter.within:
        raise ValueError(f"{name} must lie in {parameter.within}, got {given!r}")
    return value


def check(parameters: Mapping[str, Any], known: Mapping[str, Declared]) -> dict[str, Value]:
    """All parameters parsed; files exist, are made absolute, and are read to the end once.

    Raises
    ------
    ValueError
        As `parse`, or a file that is missing or cannot be read (row and column are named), a provider
        without prices, a solver that is not installed, a target that is not ``host:port``.
    """
    values = {name: parse(name, given, known) for name, given in parameters.items()}
    for name, words in FILES.items():
        if name in values and values[name] not in words:
            values[name] = str(Path(str(values[name])).expanduser().resolve())
    terms = {name: declared.parameter.default for name, declared in known.items()} | values
    given = values.keys()
    if {"trace", "trace_column"} & given and terms["trace"] not in FILES["trace"]:
        rng = np.random.default_rng(0)
        datasets.arrival_times(str(terms["trace"]), rng, column=str(terms["trace_column"]))
    if terms.get("demand"):
        columns = {
            f"{part}_column": str(terms[f"demand_{part}_column"]) for part in ("time", "count")
        }
        datasets.load_demand(str(terms["demand"]), **columns)
    if {"prices", "provider"} & given:
        datasets.load_catalogue(str(terms["prices"]), provider=str(terms["provider"]))
    if "mnist" in given and terms["mnist"] != "keras":  # which may be a download
        datasets.load_mnist(str(terms["mnist"]))
    if "solver" in given:
        from capkit.tco import installed_solvers

        if terms["solver"] not in (here := installed_solvers()):
            raise ValueError(f"no solver {terms['solver']!r} here; installed: {', '.join(here)}")
    target = str(terms.get("target", ""))
    if target and not re.fullmatch(r"\S+:\d{1,5}", target):
        raise ValueError(f"target must be host:port, got {target!r}")
    return values
