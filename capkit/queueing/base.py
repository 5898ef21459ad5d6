"""What every queue of the room shares: tails and their inverse, the gamma service law, Little's law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainc, gammaincc, gammaln, hyp1f1

from capkit.queueing.erlang import Values, as_values


def invert_survival(survival: Callable[[Any], Any], percentile: ArrayLike, scale: Any) -> Values:
    """Smallest t >= 0 with ``survival(t) <= 1 - percentile``, elementwise, by bisection from ``scale`` (s)."""
    share = np.asarray(percentile, dtype=float)
    if not np.all((share >= 0) & (share < 1)):
        raise ValueError(f"a percentile is a share in [0, 1), such as 0.99; got {percentile!r}")
    tail = 1.0 - share
    low = np.zeros(np.broadcast(tail, scale).shape)
    high = np.where(survival(low) > tail, scale, low)
    while np.any(above := survival(high) > tail):
        low, high = np.where(above, high, low), np.where(above, 2.0 * high, high)
    middle = 0.5 * (low + high)
    while np.any((low < middle) & (middle < high)):
        above = survival(middle) > tail
        low, high = np.where(above, middle, low), np.where(above, high, middle)
        middle = 0.5 * (low + high)
    return as_values(high)


def gamma_survival(time: ArrayLike, mean: ArrayLike, cv2: ArrayLike) -> Values:
    """P(S > t) of a gamma law with this mean and squared coefficient of variation (0: constant).

    >>> round(gamma_survival(2.0, 1.0, 1.0), 6)
    0.135335
    """
    t, mean, cv2 = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (time, mean, cv2)))
    shape = 1.0 / np.where(cv2 > 0, cv2, 1.0)
    return as_values(np.where(cv2 > 0, gammaincc(shape, shape * t / mean), t < mean))


def discounted_service(*arguments: Any) -> Any:
    """E[exp(-decay (t - S)); S <= t] of a gamma service law; arguments t, rate, cv2, decay."""
    t, rate, cv2, decay = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in arguments))
    constant = cv2 <= 0
    shape = 1.0 / np.where(constant, 1.0, cv2)
    load, x = shape * rate * t, (shape * rate - decay) * t
    with np.errstate(all="ignore"):
        # x large: the integral is nearly complete. Else Kummer's function: a positive series, or at most 1.
        closed = -shape * np.log1p(-decay / (shape * rate)) - decay * t + np.log(gammainc(shape, x))
        far = -1e3 * (shape + 1.0)  # below it five terms of the asymptotic series are exact
        series = 1.0 + (4.0 - shape) / -x
        for k in (3.0, 2.0, 1.0):
            series = 1.0 + (k - shape) / -x * series
        near = hyp1f1(1.0, shape + 1.0, np.where(x < far, 0.0, np.minimum(x, shape + 1.0)))
        ratio = np.where(x < far, shape / -x * series, near)
        kummer = np.log(ratio) + shape * np.log(load) - load - gammaln(shape + 1.0)
        general = np.exp(np.where(x > shape + 1.0, closed, kummer))
        fixed = np.where(t >= 1.0 / rate, np.exp(-decay * np.maximum(t - 1.0 / rate, 0.0)), 0.0)
    return np.where(constant, fixed, np.where(t > 0, general, 0.0))


class Queue:
    """What follows from a queue's rates, its mean wait and its tails; times in s, rates in 1/s."""

    arrival_rate: Values
    service_rate: Values
    servers: Values
    p_wait: Any
    mean_wait: Any
    p_wait_exceeds: Any
    p_response_exceeds: Any

    @property
    def offered_load(self) -> Values:
        """a = lambda / mu, erlang."""
        return as_values(np.asarray(self.arrival_rate, dtype=float) / self.service_rate)

    @property
    def throughput(self) -> Values:
        """Requests served per s."""
        return self.arrival_rate

    @property
    def utilization(self) -> Values:
        """rho, the busy share of a server: throughput / (c mu)."""
        return as_values(np.asarray(self.throughput) / self.service_rate / self.servers)

    @property
    def mean_response(self) -> Values:
        """W, mean wait plus mean service."""
        return as_values(self.mean_wait + 1.0 / np.asarray(self.service_rate, dtype=float))

    @property
    def mean_queue_length(self) -> Values:
        """Lq, mean number waiting (Little's law on the queue)."""
        return as_values(np.asarray(self.throughput) * self.mean_wait)

    @property
    def mean_in_system(self) -> Values:
        """L, mean number waiting or in service (Little's law on the system)."""
        return as_values(np.asarray(self.throughput) * self.mean_response)

    def wait_quantile(self, percentile: ArrayLike) -> Values:
        """The wait that a share ``percentile`` of the requests does not exceed; 0 if so many do not wait."""
        return invert_survival(self.p_wait_exceeds, percentile, self.mean_response)

    def response_quantile(self, percentile: ArrayLike) -> Values:
        """The wait plus service that a share ``percentile`` of the requests does not exceed."""
        return invert_survival(self.p_response_exceeds, percentile, self.mean_response)
