"""Training capacity: how many accelerators finish by a deadline, and what holds them up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from capkit.training import TrainingProfile


def all_reduce_s(total_bytes: float, members: int, bits_s: float, latency_s: float = 0.0) -> float:
    """Seconds of a ring all-reduce: ``2 (n - 1) / n`` times the bytes over each link, in 2 (n - 1) steps.

    Parameters
    ----------
    total_bytes : float
        Gradients of one member (4 bytes a parameter in float32).
    members : int
        Accelerators n in the ring.
    bits_s, latency_s : float
        Bandwidth of a link in each direction, and the delay of one message.

    Source: Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations,
    J. Parallel Distrib. Comput. 69 (2009).

    >>> all_reduce_s(1e9, 1, 8e9), all_reduce_s(1e9, 4, 8e9)
    (0.0, 1.5)
    """
    if members < 1 or not (bits_s > 0.0 and total_bytes >= 0.0 and latency_s >= 0.0):
        raise ValueError(
            "members must be at least 1, bits_s positive, bytes and latency at least 0; got "
            f"{members}, {bits_s}, {total_bytes}, {latency_s}"
        )
    return 2.0 * (members - 1) * (8.0 * total_bytes / members / bits_s + latency_s)


@dataclass(frozen=True)
class TrainingPlan:
    """The fewest accelerators that finish in time."""

    accelerators: int
    hours: float
    efficiency: float
    """Speed over that of as many accelerators that never wait."""
    binds: str
    """"compute", "input" or "exchange": what the step spends most of its time on."""
    table: pd.DataFrame = field(repr=False)
    """One row a number of accelerators: ``accelerators, compute_ms, input_ms, exchange_ms, step_ms,
    efficiency, hours, binds``."""


def plan_training(
    profile: TrainingProfile,
    *,
    examples: int,
    epochs: int,
    deadline_h: float,
    bits_s: float,
    link_latency_s: float = 0.0,
    example_bytes: float = 0.0,
    input_bits_s: float = math.inf,
    efficiency: Mapping[int, float] | None = None,
    most: int = 64,
) -> TrainingPlan:
    """The fewest accelerators that train in time, each with the measured batch (data-parallel, weak scaling).

    A step takes the longer of its compute and its input, which is read meanwhile and shared by all, and
    then the exchange of the gradients (`all_reduce_s`). With measured efficiencies, one over the share of
    time that is not lost, ``1 + overhead (n - 1)`` is fitted to them (the contention of the universal
    scalability law) and replaces the formula of the exchange.

    Parameters
    ----------
    profile : TrainingProfile
        Measured on one accelerator: step time, batch, parameters.
    examples, epochs : int
        The training set, and the passes over it.
    deadline_h : float
        Hours that the training may take.
    bits_s, link_latency_s : float
        Link between two accelerators.
    example_bytes, input_bits_s : float
        Size of a stored example, and what the storage delivers to all accelerators together.
    efficiency : mapping of int to float, optional
        Measured scaling efficiency, above 0 and at most 1, by the number of accelerators (2 or more).
    most : int
        Accelerators that there are at most.

    Raises
    ------
    ValueError
        Bad input, or no number up to ``most`` finishes in time: it names the shortest time and what binds.
    """
    if most < 1 or not (deadline_h > 0.0 and input_bits_s > 0.0 and example_bytes >= 0.0):
        raise ValueError(
            "most must be at least 1, deadline_h and input_bits_s positive, example_bytes at least 0; got "
            f"{most}, {deadline_h}, {input_bits_s}, {example_bytes}"
        )
    count = np.arange(1, most + 1)
    batch = profile.batch_size
    compute_s = np.full(count.size, profile.step_s(batch))
    input_s = 8.0 * example_bytes * batch * count / input_bits_s
    if efficiency is None:
        gradients = 4.0 * profile.parameters
        exchange_s = np.array(
            [all_reduce_s(gradients, int(n), bits_s, link_latency_s) for n in count]
        )
    else:
        exchange_s = compute_s * _overhead(efficiency) * (count - 1)
    step_s = np.maximum(compute_s, input_s) + exchange_s
    steps = np.ceil(examples / (batch * count)) * epochs
    parts = pd.DataFrame({"compute": compute_s, "input": input_s, "exchange": exchange_s})
    table = pd.DataFrame(
        {
            "accelerators": count,
            **{f"{name}_ms": 1000.0 * parts[name] for name in parts},
            "step_ms": 1000.0 * step_s,
            "efficiency": compute_s / step_s,
            "hours": steps * step_s / 3600.0,
            "binds": parts.idxmax(axis=1),
        }
    )
    in_time = table[table["hours"] <= deadline_h]
    if in_time.empty:
        best = table.loc[table["hours"].idxmin()]
        raise ValueError(
            f"no number of accelerators up to {most} trains in {deadline_h:g} h: {best['accelerators']} take "
            f"{best['hours']:.3g} h, bound by {best['binds']}; allow more time, more accelerators or more "
            "bandwidth, or train less"
        )
    best = in_time.iloc[0]
    return TrainingPlan(
        int(best["accelerators"]),
        float(best["hours"]),
        float(best["efficiency"]),
        str(best["binds"]),
        table,
    )


def _overhead(efficiency: Mapping[int, float]) -> float:
    """Least squares of ``1 / efficiency - 1 = overhead (n - 1)``."""
    wrong = {n: e for n, e in efficiency.items() if n < 2 or not 0.0 < e <= 1.0}
    if wrong or not efficiency:
        raise ValueError(
            f"efficiency needs a share above 0 and at most 1 for 2 or more accelerators, got {wrong or efficiency}"
        )
    more = np.array([n - 1.0 for n in efficiency])
    lost = np.array([1.0 / e - 1.0 for e in efficiency.values()])
    return float(more @ lost / (more @ more))
