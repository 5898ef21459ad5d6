"""A benchmark's measurements: taken here, or from a reference where they may not or cannot be believed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    Tables = Mapping[str, pd.DataFrame]


def split_cores() -> tuple[list[int] | None, list[int] | None]:
    """One CPU for the server and the others for the load generator; (None, None) with one CPU."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = sorted(affinity(0)) if affinity else []
    return (cores[-1:], cores[:-1]) if len(cores) > 1 else (None, None)


class Bench:
    """Collects ``tables`` of a benchmark, and in ``replaced`` which come from the reference.

    Parameters
    ----------
    measure : bool
        False takes every table from the reference.
    reference : callable
        Gives the reference's table of a name.
    thorough : bool
        Whether the long measurements are taken too; without it they come from the reference.

    >>> import pandas as pd
    >>> bench = Bench(True, lambda name: pd.DataFrame({"latency_ms": [2.0], "valid": [True]}))
    >>> late = {"sweep": pd.DataFrame({"latency_ms": [9.0], "valid": [False]})}
    >>> bench.take(["sweep"], lambda: late)["sweep"]["latency_ms"].tolist()
    sweep: rejected twice by its validity gate, taken from the reference run
    [2.0]
    """

    def __init__(
        self,
        measure: bool,
        reference: Callable[[str], pd.DataFrame],
        *,
        thorough: bool = False,
    ) -> None:
        self.measure, self.thorough = measure, thorough
        self._reference = reference
        self.tables: dict[str, pd.DataFrame] = {}
        self.replaced: list[str] = []

    def take(
        self, names: list[str], measurement: Callable[[], Tables], *, attempts: int = 2
    ) -> Tables:
        """Tables of ``names`` as ``measurement`` gives them; the reference's if rows are not ``valid``.

        A measurement that is too short for its intervals (`ShortRunError`) is rejected as well.
        They are copies: what a notebook adds to them is not in `tables`, and so not in the product.

        ``attempts`` is 1 for a measurement that repeats by itself what is not valid (`sweep`).
        """
        return self._take(names, measurement, attempts if self.measure else 0, self.replaced)

    def take_long(self, names: list[str], measurement: Callable[[], Tables]) -> Tables:
        """The same for a long measurement: only a thorough bench takes it, and `replaced` leaves it out."""
        return self._take(names, measurement, 2 if self.measure and self.thorough else 0, [])

    def from_one_machine(self, names: list[str]) -> Tables:
        """Tables that are compared with one another: if one of them is the reference's, all become it.

        >>> import pandas as pd
        >>> bench = Bench(True, lambda name: pd.DataFrame({"ms": [2.0]}))
        >>> good = bench.take(["limit"], lambda: {"limit": pd.DataFrame({"ms": [1.0]})})
        >>> bad = pd.DataFrame({"ms": [9.0], "valid": [False]})
        >>> levels = bench.take(["levels"], lambda: {"levels": bad})
        levels: rejected twice by its validity gate, taken from the reference run
        >>> bench.from_one_machine(["limit", "levels"])["limit"]["ms"].tolist()
        limit: taken from the reference run, as what it is compared with
        [2.0]
        """
        own = [name for name in names if name not in self.replaced]
        if own and len(own) < len(names):
            print(f"{', '.join(own)}: taken from the reference run, as what it is compared with")
            self.tables |= {name: self._reference(name) for name in own}
            self.replaced += own
        return {name: self.tables[name].copy() for name in names}

    def _take(
        self,
        names: list[str],
        measurement: Callable[[], Tables],
        attempts: int,
        replaced: list[str],
    ) -> Tables:
        from capkit.simulation import ShortRunError

        for _ in range(attempts):
            try:
                found = measurement()
            except ShortRunError:
                continue
            if all("valid" not in found[name] or found[name]["valid"].all() for name in names):
                break
        else:
            often = {1: "", 2: " twice"}.get(attempts, f" {attempts} times")
            why = f"rejected{often} by its validity gate, " if attempts else ""
            print(f"{', '.join(names)}: {why}taken from the reference run")
            found = {name: self._reference(name) for name in names}
            replaced += names
        self.tables.update(found)
        return {name: table.copy() for name, table in found.items()}
