"""Replications until a figure is precise enough, and comparisons on common random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray

from capkit.simulation.draws import check_count
from capkit.simulation.intervals import mean_interval, replicate

Run = Callable[[np.random.Generator], Sequence[float]]


def replicate_until(
    run: Run,
    rng: np.random.Generator,
    *,
    precision: float,
    least: int = 10,
    most: int = 1000,
    level: float = 0.95,
) -> tuple[NDArray[np.float64], int]:
    """Replications until every figure's interval is within ``precision`` of its mean.

    Parameters
    ----------
    run, rng, level
        As in `replicate`.
    precision : float
        Greatest half width of an interval, as a share of the mean, such as 0.02.
    least, most : int
        Replications at least, and at most; `ValueError` if those are not enough. Stopping at the first
        interval that is narrow enough costs a little of its confidence; a larger ``least`` restores it.

    Returns
    -------
    figures (k, 3) with mean, low and high, and the number of replications.

    >>> figures, runs = replicate_until(lambda g: [g.normal(5.0, 1.0)], np.random.default_rng(1), precision=0.05)
    >>> bool(figures[0, 2] - figures[0, 0] <= 0.05 * figures[0, 0]), runs
    (True, 62)
    """
    if not precision > 0:
        raise ValueError(f"precision is a share of the mean such as 0.02, got {precision}")
    found: list[Sequence[float]] = []
    for _ in range(check_count("most", most, check_count("least", least, 2))):
        found.append(run(rng.spawn(1)[0]))
        if len(found) < least:
            continue
        figures = np.array([mean_interval(c, len(found), level) for c in np.transpose(found)])
        share = (figures[:, 2] - figures[:, 0]) / np.abs(figures[:, 0])
        if np.all(share <= precision):
            return figures, len(found)
    needed = len(found) * float(np.max(share) / precision) ** 2
    raise ValueError(
        f"after {most} replications the widest interval is +-{np.max(share):.2%} of its mean, not "
        f"{precision:.2%}: it needs about {needed:.0f} replications, or longer ones"
    )


def compare(
    first: Run,
    second: Run,
    rng: np.random.Generator,
    replications: int = 10,
    level: float = 0.95,
) -> NDArray[np.float64]:
    """Interval of second minus first, both run on the same random numbers; (k, 3) as in `replicate`.

    What the two share cancels, if both draw the same things in the same order.

    >>> from capkit.simulation import simulate_fcfs
    >>> def queue(servers):
    ...     def run(g):
    ...         arrivals, services = np.cumsum(g.exponential(1.0, 2000)), g.exponential(1.5, 2000)
    ...         return [simulate_fcfs(arrivals, services, servers).mean()]
    ...     return run
    >>> saved = compare(queue(2), queue(3), np.random.default_rng(1))
    >>> bool(saved[0, 2] < 0)
    True
    """

    def difference(generator: np.random.Generator) -> Sequence[float]:
        twin = deepcopy(generator)
        return [b - a for a, b in zip(first(generator), second(twin), strict=True)]

    return replicate(difference, rng, replications, level)
