"""Simulated queues: arrivals, first come first served with several servers, intervals for the results."""

from capkit.simulation.batches import simulate_batches
from capkit.simulation.dispatch import simulate_dispatch
from capkit.simulation.draws import (
    draw_gamma,
    gamma_arrivals,
    mmpp_arrivals,
    modulated_poisson,
    poisson_arrivals,
)
from capkit.simulation.failures import failing_servers
from capkit.simulation.intervals import (
    ShortRunError,
    correlated_percentile_interval,
    mean_interval,
    mser,
    percentile_interval,
    replicate,
    trend_pvalue,
)
from capkit.simulation.precision import compare, replicate_until
from capkit.simulation.queues import simulate_fcfs, simulate_loss, simulate_varying
from capkit.simulation.streaming import LogHistogram, stream_fcfs

__all__ = [
    "LogHistogram", "ShortRunError", "compare", "correlated_percentile_interval", "draw_gamma", "failing_servers",
    "gamma_arrivals", "mean_interval", "mmpp_arrivals", "modulated_poisson", "mser",
    "percentile_interval", "poisson_arrivals", "replicate", "replicate_until", "simulate_batches",
    "simulate_dispatch", "simulate_fcfs", "simulate_loss", "simulate_varying", "stream_fcfs",
    "trend_pvalue",
]  # fmt: skip
