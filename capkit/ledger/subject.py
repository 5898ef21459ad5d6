"""The server under test: how to load it, and what one calibration says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capkit.loadtest import LoadTestResult, Schedule, run, run_closed
from capkit.loadtest.schedule import draw_schedule
from capkit.queueing import Calibration
from capkit.serving import Device, Server
from capkit.serving.client import Client

WARMUP_S = 0.3
CALIBRATION_LOAD = 0.5
POINTS = 100
DEVICE = "slots=4,fixed_s=0.001,per_example_s=0.003"


@dataclass(frozen=True)
class Subject:
    """A running server, and what is known of it without a measurement.

    Attributes
    ----------
    name : str
        In the ledger, such as ``emulated device``.
    server : Server
        From `capkit.serving.serve` or `attach`.
    servers, capacity : int
        Requests that it executes at once (c), and that it holds at most (K).
    sizes : tuple of int
        Examples in a request, each size equally likely.
    cores : sequence of int, optional
        CPUs that the load generator may run on.
    """

    name: str
    server: Server
    servers: int = 1
    capacity: int = 64
    sizes: tuple[int, ...] = (1,)
    cores: Sequence[int] | None = None

    def messages(self, places: NDArray[np.int64]) -> list[bytes]:
        """Serialised requests with ``sizes[place]`` examples each."""
        with Client(self.server.grpc_target, self.server.model_name) as client:
            each = [client.sample_request(size) for size in self.sizes]
        return [each[place] for place in places]

    def send(self, schedule: Schedule, places: NDArray[np.int64]) -> LoadTestResult:
        """Load the server open loop; once more if the generator could not keep its schedule."""
        messages = self.messages(places)
        for _ in range(2):
            result = run(
                self.server.grpc_target, schedule, messages, warmup_s=WARMUP_S, cores=self.cores
            )
            if result.valid or result.stopped:
                break
        return result


def device_subject(
    server: Server, device: str = DEVICE, cores: Sequence[int] | None = None
) -> Subject:
    """An emulated device under test: requests of 1, 3 or 5 examples where its time depends on them."""
    given = Device.parse(device)
    sizes = (1, 3, 5) if given.per_example_s else (1,)
    return Subject("emulated device", server, servers=given.slots, sizes=sizes, cores=cores)


def calibrate(subject: Subject, seconds: float, rng: np.random.Generator) -> Calibration:
    """What the models are told, from a short closed loop and an open loop at half of its throughput.

    The closed loop says how busy the slots are when the server is saturated. If they are not, something else is
    full (its core), and a request occupies that for longer than its slot: the service times of the open loop are
    stretched by one over this share, and what the stretch adds is not overhead any more. Overhead is the rest of
    a latency: neither the server's wait nor its service. A server that keeps no account of wait and service gets
    its service times from the gaps between the answers of the closed loop, and its fastest answers as overhead.

    Parameters
    ----------
    seconds : float
        Of load in the open loop.
    rng : numpy.random.Generator
        Draws the schedule.

    Raises
    ------
    ValueError
        The server gave no good answer, or fewer than 20 of a size.
    """
    clients = 4 * subject.servers + 4
    mixed = subject.messages(rng.permutation(np.arange(60) % len(subject.sizes)))
    target, closed_s = subject.server.grpc_target, WARMUP_S + min(seconds, 2.0)
    full = run_closed(target, clients, closed_s, mixed, warmup_s=WARMUP_S, cores=subject.cores)
    if not full.ok.any():
        raise ValueError(f"{subject.name} cannot be calibrated: {full.doubt}")
    rate = CALIBRATION_LOAD * full.throughput
    schedule = draw_schedule("poisson", rate, WARMUP_S + seconds, rng)
    places = rng.integers(len(subject.sizes), size=schedule.times_s.size)
    light = subject.send(schedule, places)
    ok, latency_s = light.ok, light.latency_ms / 1e3
    grid = (np.arange(POINTS) + 0.5) / POINTS
    if not np.isfinite(light.service_s[ok]).all():
        service = np.quantile(full.service_sample(), grid)[None]
        fastest = np.quantile(latency_s, 0.05) - np.quantile(service, 0.05)
        return Calibration(
            subject.servers, subject.capacity, service, np.array([max(fastest, 0.0)])
        )
    busy = full.service_s[full.ok].sum() / (full.duration_s - WARMUP_S) / subject.servers
    stretch = 1.0 / min(busy, 1.0)
    counts = np.bincount(places[ok], minlength=len(subject.sizes))
    if counts.min() < 20:
        raise ValueError(
            f"needs 20 answers of each size, got {counts.tolist()} in {seconds:g} s: measure longer"
        )
    service_s = stretch * light.service_s[ok]
    by_size = [np.quantile(service_s[places[ok] == k], grid) for k in range(counts.size)]
    rest = latency_s - light.wait_s[ok] - service_s
    overhead_s = np.quantile(np.maximum(rest, 0.0), grid)
    return Calibration(subject.servers, subject.capacity, np.array(by_size), overhead_s)
