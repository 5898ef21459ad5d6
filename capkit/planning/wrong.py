"""Five ways to plan wrongly, each of which differs from the right plan in one thing."""

from __future__ import annotations

import numpy as np

from capkit.planning.candidates import Candidate, linear_servers
from capkit.planning.problem import Problem
from capkit.planning.sizing import Counts, latency_budget_s
from capkit.queueing import min_servers


def wrong_needs(problem: Problem, *, arrival_cv2: float) -> dict[str, Counts]:
    """Servers of every hour, by five mistakes; zones, purchases and machines stay those of the plan.

    1. *The mean*: mean demand of the week over one over the mean slot time.
    2. *Peak throughput*: what the largest measured batch gives, images over its time, as a server's rate.
    3. *A closed-loop benchmark*: its highest throughput. Its clients wait for each other, so its
       percentile looks fine at a rate at which an open queue has none.
    4. *CV2 while the rate drifts*: the hour's planned mean with the CV2 of the gaps of the whole log. It
       counts the drift from minute to minute as noise, which many servers average out; they do not.
    5. *M/M/c behind random dispatch*: the busiest minute, for one queue that all servers share.

    Parameters
    ----------
    problem : Problem
        What the plan was asked for; one place a server.
    arrival_cv2 : float
        Squared coefficient of variation of the gaps of the whole log.
    """
    if problem.places != 1:
        raise ValueError(f"the mistakes are those of servers with one place, got {problem.places}")
    measured, planned = problem.measured, problem.planned_rps
    busiest = planned * problem.peak_factor
    batch = measured.max_batch_linear
    batch_rps = batch / (measured.fixed_s + measured.per_image_s * batch)
    rate = 1.0 / problem.service.service_time_s
    goal = {
        "percentile": problem.slo.percentile,
        "max_response": latency_budget_s(problem.service, problem.slo),
    }
    drifting = {
        "arrival_cv2": arrival_cv2,
        "service_cv2": problem.service.service_cv2,
        "dispatch": problem.dispatch,
    }
    mean_rps = problem.forecast["mean_rps"].mean()
    return {
        "1 the mean": np.repeat(
            linear_servers(mean_rps, 1.0 / measured.service_time_s), planned.size
        ),
        "2 peak throughput": linear_servers(busiest, batch_rps),
        "3 closed-loop benchmark": linear_servers(busiest, measured.throughput_rps),
        "4 CV2 while the rate drifts": _each(planned, rate, **goal, **drifting),
        "5 M/M/c behind random dispatch": _each(busiest, rate, **goal),
    }


def wrong_plans(problem: Problem, *, arrival_cv2: float) -> list[Candidate]:
    """The cheapest fleets for `wrong_needs`, to be judged by `judge_candidates`."""
    needs = wrong_needs(problem, arrival_cv2=arrival_cv2)
    return [
        Candidate.from_fleet(name, problem.fleet(needed), needed.size)
        for name, needed in needs.items()
    ]


def _each(rates: np.ndarray, service_rate: float, **goal: object) -> Counts:
    distinct, place = np.unique(rates, return_inverse=True)
    return np.array([min_servers(float(r), service_rate, **goal) for r in distinct])[place]
