"""A benchmark's measurements: taken here, or from a reference where they may not or cannot be believed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

Tables = Mapping[str, "pd.DataFrame"]


def split_cores() -> tuple[list[int] | None, list[int] | None]:
    """One CPU for the server and the others for the load generator; (None, None) with one CPU."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = sorted(affinity(0)) if affinity else []
    return (cores[-1:], cores[:-1]) if len(cores) > 1 else (None, None)


class Bench:
    """Collects the tables of a benchmark and where each comes from.

    Parameters
    ----------
    measure : bool
        False takes every table from the reference.
    reference : callable
        Gives the reference's table of a name.

    Attributes
    ----------
    tables : dict of DataFrame
        All tables so far.
    replaced : list of str
        Names of those that come from the reference.

    Examples
    --------
    >>> import pandas as pd
    >>> bench = Bench(True, lambda name: pd.DataFrame({"latency_ms": [2.0], "valid": [True]}))
    >>> late = {"sweep": pd.DataFrame({"latency_ms": [9.0], "valid": [False]})}
    >>> bench.take(["sweep"], lambda: late)["sweep"]["latency_ms"].tolist()
    sweep: rejected twice by its validity gate, taken from the reference run
    [2.0]
    """

    def __init__(self, measure: bool, reference: Callable[[str], pd.DataFrame]) -> None:
        self.measure = measure
        self._reference = reference
        self.tables: dict[str, pd.DataFrame] = {}
        self.replaced: list[str] = []

    def take(
        self, names: list[str], measurement: Callable[[], Tables], *, attempts: int = 2
    ) -> Tables:
        """Measure some tables; if one has a row that is not ``valid``, once more; then the reference's.

        Parameters
        ----------
        names : list of str
            Tables that ``measurement`` gives.
        measurement : callable
            Without arguments; returns the tables by name.
        attempts : int
            1 for a measurement that repeats what is not valid itself (`sweep`).
        """
        found: Tables | None = None
        for _ in range(attempts if self.measure else 0):
            taken = measurement()
            if all("valid" not in taken[name] or taken[name]["valid"].all() for name in names):
                found = taken
                break
        if found is None:
            why = "rejected twice by its validity gate, " if self.measure else ""
            print(f"{', '.join(names)}: {why}taken from the reference run")
            found = {name: self._reference(name) for name in names}
            self.replaced += names
        self.tables.update({name: found[name] for name in names})
        return found
