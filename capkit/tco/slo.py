"""What machines carry at a service level objective: the table that `optimize` takes as ``carried``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from capkit.queueing import max_rate
from capkit.tco.program import Floats


def carried_at_slo(
    servers: Mapping[str, int],
    service_rate: Mapping[str, float] | float,
    most_rate: float,
    **target: Any,
) -> dict[str, Floats]:
    """The rates that 1, 2, ... machines of each type carry with the target met, one queue a type and zone.

    Parameters
    ----------
    servers : mapping of str to int
        Servers (vCPUs, GPUs) of a machine, by type.
    service_rate : float, or mapping of str to float
        What one server completes in 1/s, by type.
    most_rate : float
        The tables end where a type alone carries this rate (1/s): the largest that one zone may need.
    **target
        As in `capkit.queueing.max_rate`: ``percentile``, ``max_response``, ``service_cv2``, ``redundancy``...

    Raises
    ------
    ValueError
        A type does not meet the target at any load.

    Two machines of one server at rate 1 carry more than twice what one carries:

    >>> table = carried_at_slo({"a": 1}, 1.0, 3.0, percentile=0.99, max_response=10.0)
    >>> table["a"].round(3).tolist()
    [0.539, 1.516, 2.506, 3.501]
    """
    tables = {}
    for name, count in servers.items():
        rate = service_rate[name] if isinstance(service_rate, Mapping) else service_rate
        rates: list[float] = []
        while not rates or rates[-1] < most_rate:
            together = (len(rates) + 1) * count
            enough = together > target.get("redundancy", 0)
            rates.append(max_rate(together, rate, **target) if enough else 0.0)
        tables[name] = np.array(rates)
    return tables
