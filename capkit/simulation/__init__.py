"""Simulated queues: arrivals, first come first served with several servers, intervals for the results."""

from capkit.simulation.draws import draw_gamma, modulated_poisson, poisson_arrivals
from capkit.simulation.intervals import mean_interval, percentile_interval, replicate
from capkit.simulation.queues import simulate_fcfs, simulate_loss, simulate_varying

__all__ = [
    "draw_gamma", "mean_interval", "modulated_poisson", "percentile_interval", "poisson_arrivals",
    "replicate", "simulate_fcfs", "simulate_loss", "simulate_varying",
]  # fmt: skip
