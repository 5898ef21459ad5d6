"""Several models on shared hosts (bin packing): a rule of thumb, the exact answer, and a bound.

First-fit decreasing needs at most 11/9 of the optimum and 6/9 of a host (one resource: Dosa, The Tight
Bound of First Fit Decreasing Bin-Packing Algorithm, ESCAPE 2007); the integer program is exact, and no
packing needs fewer hosts than the total of the scarcest resource over what one host has of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Packing:
    """Which item lies on which host."""

    host: pd.Series
    """Number of its host, from 0, by the name of the item."""
    proven: bool
    """No packing needs fewer hosts."""

    @property
    def hosts(self) -> int:
        """Hosts in use."""
        return int(self.host.nunique())

    def load(self, items: pd.DataFrame) -> pd.DataFrame:
        """What lies on each host: one row a host, the columns of ``items``."""
        return items.groupby(self.host).sum()


def _checked(items: pd.DataFrame, host: pd.Series) -> Floats:
    """Shares of a host that each item takes, by resource."""
    if set(items.columns) != set(host.index):
        raise ValueError(
            f"items and host must name the same resources, got {list(items)} and {list(host.index)}"
        )
    sizes, room = items.to_numpy(dtype=float), host[items.columns].to_numpy(dtype=float)
    if not (np.isfinite(sizes).all() and (sizes >= 0.0).all() and (room > 0.0).all()):
        raise ValueError("items must be finite and at least 0, and a host must have some of each")
    shares = sizes / room
    if (shares > 1.0).any():
        item, resource = np.argwhere(shares > 1.0)[0]
        raise ValueError(
            f"{items.index[item]} needs {sizes[item, resource]:g} {items.columns[resource]}, and a host "
            f"has {room[resource]:g}: take a larger host, or split it"
        )
    if items.index.has_duplicates or items.empty:
        raise ValueError("items needs at least one row, and each name once")
    return np.asarray(shares)


def least_hosts(items: pd.DataFrame, host: pd.Series) -> int:
    """Hosts that no packing can go below: the total of each resource over a host's, rounded up.

    >>> items = pd.DataFrame({"vcpus": [3.0, 3.0, 2.0]}, index=["a", "b", "c"])
    >>> least_hosts(items, pd.Series({"vcpus": 4.0}))
    2
    """
    return max(math.ceil(float(total) - 1e-9) for total in _checked(items, host).sum(axis=0)) or 1


def first_fit_decreasing(items: pd.DataFrame, host: pd.Series) -> Packing:
    """The largest item first, each on the first host with room.

    Parameters
    ----------
    items : DataFrame
        One row an item (a replica of a model), indexed by its name, one column a resource.
    host : Series
        What a host has of each.

    >>> items = pd.DataFrame({"vcpus": [3.0, 3.0, 2.0]}, index=["a", "b", "c"])
    >>> first_fit_decreasing(items, pd.Series({"vcpus": 4.0})).hosts
    3
    """
    shares = _checked(items, host)
    used: list[Floats] = []
    place = np.zeros(len(items), dtype=int)
    for item in np.argsort(-shares.max(axis=1), kind="stable"):
        fits = (i for i, load in enumerate(used) if (load + shares[item] <= 1.0 + 1e-9).all())
        place[item] = next(fits, len(used))
        if place[item] == len(used):
            used.append(np.zeros(shares.shape[1]))
        used[place[item]] = used[place[item]] + shares[item]
    series = pd.Series(place, index=items.index, name="host")
    return Packing(series, len(used) == least_hosts(items, host))


def pack(items: pd.DataFrame, host: pd.Series, *, time_limit_s: float = 20.0) -> Packing:
    """The fewest hosts, by an integer program (SciPy's HiGHS); as good as `first_fit_decreasing` or better.

    x[i, j] = 1 puts item i on host j, y[j] = 1 opens it: minimise the sum of y, each item on one host,
    the items on a host within what it has. Arguments as in `first_fit_decreasing`; ``proven`` is False
    where the time limit came first.

    >>> items = pd.DataFrame({"gib": [4.0, 4, 4, 3, 3, 2, 2, 2]}, index=list("abcdefgh"))
    >>> host = pd.Series({"gib": 8.0})
    >>> first_fit_decreasing(items, host).hosts, pack(items, host).hosts, least_hosts(items, host)
    (4, 3, 3)
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import block_array, eye_array, kron

    first = first_fit_decreasing(items, host)
    if first.proven:
        return first
    shares, most = _checked(items, host), first.hosts
    count, resources = shares.shape
    one_host_each = kron(np.ones((1, most)), eye_array(count))
    load = kron(eye_array(most), shares.T)
    opened = kron(eye_array(most), -np.ones((resources, 1)))
    in_order = eye_array(most - 1, most) - eye_array(most - 1, most, k=1)  # hosts open one by one
    rules = [
        LinearConstraint(block_array([[one_host_each, np.zeros((count, most))]]), 1.0, 1.0),
        LinearConstraint(block_array([[load, opened]]), -np.inf, 1e-9),
        LinearConstraint(
            block_array([[np.zeros((most - 1, most * count)), in_order]]), 0.0, np.inf
        ),
    ]
    cost = np.repeat([0.0, 1.0], [most * count, most])
    lower = np.zeros(cost.size)
    lower[most * count : most * count + least_hosts(items, host)] = 1.0
    answer = milp(
        cost,
        integrality=np.ones(cost.size),
        bounds=Bounds(lower, 1.0),
        constraints=rules,
        options={"time_limit": time_limit_s},
    )
    if answer.x is None:
        return first
    chosen = answer.x[: most * count].reshape(most, count).argmax(axis=0)
    hosts = pd.Series(np.unique(chosen, return_inverse=True)[1], index=items.index, name="host")
    return Packing(hosts, answer.status == 0)
