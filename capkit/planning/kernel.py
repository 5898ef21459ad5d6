"""The compiled core of a replay: several servers, one queue or one each, rates that hold for a period."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from capkit.simulation.queues import sink

BIN_WIDTH = 0.01  # of the natural logarithm of the latency: percentiles are good to 1 %
LOWEST_S = 1e-5
CENTRAL, ROUND_ROBIN, RANDOM = range(3)
BINS = 2300  # up to 1e-5 s * exp(23) = 27 hours
NOISES = 5.0  # a backlog grows like a fluid once its drift is this many times its noise
RELAXATIONS = 3.0  # of the queue, that a period begins with; then twice as many are sampled
ALIKE = 4  # queues that stand for all of them where requests are spread by chance


@njit(cache=True)
def add(histogram: Any, latency_s: float, weight: float) -> None:
    """Count a latency in its bin of the histogram."""
    position = int(math.log(latency_s / LOWEST_S) / BIN_WIDTH)
    histogram[min(max(position, 0), BINS - 1)] += weight


@njit(cache=True)
def draw_service(table: Any, rng: Any) -> float:
    """A service time of the law whose values at evenly spaced probabilities are ``table``."""
    place = rng.random() * (table.size - 1)
    low = int(place)
    return float(table[low] + (place - low) * (table[low + 1] - table[low]))


@njit(cache=True)
def _queue(
    dispatch: int,
    rate: float,
    free: Any,
    table: Any,
    seconds: float,
    weight: float,
    answer: float,
    overhead_s: float,
    limit_s: float,
    histogram: Any,
    rng: Any,
) -> float:
    """First-come-first-served requests for ``seconds``; each row of ``free``, a heap, holds the times at
    which the places of one queue fall idle, and is changed in place. ``answer`` is the share of the
    service that a request waits for: all of it, or none of it. Returns the weight of the late ones."""
    queues, places = free.shape
    late, count = 0.0, 0
    now = rng.standard_exponential() / rate
    while now < seconds:
        service_s = draw_service(table, rng)
        queue = 0
        if dispatch == RANDOM:
            queue = int(rng.random() * queues)
        elif dispatch == ROUND_ROBIN:
            queue = count % queues
        count += 1
        begin = max(now, free[queue, 0])
        latency_s = begin - now + answer * service_s + overhead_s
        add(histogram, latency_s, weight)
        if latency_s > limit_s:
            late += weight
        sink(free[queue], places, begin + service_s)
        now += rng.standard_exponential() / rate
    return late


@njit(cache=True)
def _wait(free: Any) -> float:
    """Mean wait of a request that arrives at time 0: its queue's first place that falls idle decides."""
    return float(np.maximum(free[:, 0], 0.0).mean())


@njit(cache=True)
def _fluid(
    weight: float, first_s: float, last_s: float, base_s: float, limit_s: float, histogram: Any
) -> float:
    """Requests whose wait runs evenly from ``first_s`` to ``last_s``. Returns the weight of the late ones."""
    slices = 200
    late = 0.0
    for i in range(slices):
        latency_s = base_s + first_s + (last_s - first_s) * (i + 0.5) / slices
        add(histogram, latency_s, weight / slices)
        if latency_s > limit_s:
            late += weight / slices
    return late


@njit(cache=True)
def replay_periods(
    dispatch: int,
    rates: Any,
    servers: Any,
    places: int,
    groups: Any,
    period_s: float,
    sample_requests: float,
    table: Any,
    answer: float,
    overhead_s: float,
    limit_s: float,
    late: Any,
    histograms: Any,
    rng: Any,
) -> None:
    """Replay every period; add the late requests and the latencies to the group (hour) of the period."""
    mean_s = 0.5 * (table[1:] + table[:-1]).mean()
    wait_s = 0.0  # of a request that arrives now
    free = np.zeros((1, 1))
    known = False  # whether free is what the last period left behind, place by place
    for i in range(rates.size):
        rate = rates[i]
        if i > 0 and servers[i] != servers[i - 1]:  # the same work, spread over other servers
            wait_s *= servers[i - 1] / servers[i]
            known = False
        if rate <= 0.0:
            wait_s = max(0.0, wait_s - period_s)
            known = False
            continue
        queues = 1 if dispatch == CENTRAL else servers[i]
        pooled = servers[i] * places // queues  # places of one queue
        utilization = rate * mean_s / (servers[i] * places)
        histogram = histograms[groups[i]]
        left_s = period_s
        drift = utilization - 1.0
        noise_s = mean_s * math.sqrt(rate * period_s / queues) / pooled
        if drift * period_s > NOISES * noise_s or wait_s > limit_s:
            fluid_s = left_s
            if drift < 0.0:
                fluid_s = min(left_s, (wait_s - limit_s) / -drift)
            last_s = wait_s + drift * fluid_s
            late[groups[i]] += _fluid(
                rate * fluid_s,
                wait_s,
                last_s,
                overhead_s + answer * mean_s,
                limit_s,
                histogram,
            )
            wait_s = last_s
            left_s -= fluid_s
            known = False
        if left_s <= 0.0:
            continue
        head_s = left_s  # replayed as it is, with what the last period left behind
        sampled_s = 0.0  # stands for the rest of the period
        some = queues
        if dispatch == RANDOM:  # Poisson arrivals split by chance: each queue is like the others
            some = min(queues, ALIKE)
        if utilization < 1.0:
            relaxation_s = mean_s * max(1.0, 1.0 / (pooled * (1.0 - math.sqrt(utilization)) ** 2))
            head_s = wait_s + RELAXATIONS * relaxation_s
            sampled_s = max(
                sample_requests * queues / (rate * some), 2.0 * RELAXATIONS * relaxation_s
            )
            if head_s + sampled_s > left_s:
                head_s = left_s
                sampled_s = 0.0
        stands_for = queues / some
        if not known or free.shape[0] != some:
            free = np.full((some, pooled), wait_s)
            known = True
        late[groups[i]] += _queue(
            dispatch,
            rate / stands_for,
            free,
            table,
            head_s,
            stands_for,
            answer,
            overhead_s,
            limit_s,
            histogram,
            rng,
        )
        free -= head_s
        wait_s = _wait(free)
        if sampled_s > 0.0:
            late[groups[i]] += _queue(
                dispatch,
                rate / stands_for,
                free,
                table,
                sampled_s,
                stands_for * (left_s - head_s) / sampled_s,
                answer,
                overhead_s,
                limit_s,
                histogram,
                rng,
            )
            free -= sampled_s
            wait_s = _wait(free)
