"""Controllers over a week: every request simulated, and the hybrid beside the oracle; writes autoscaling.md."""

from __future__ import annotations

import multiprocessing
import resource
import time
from typing import Any

import numpy as np
import pandas as pd
from pages import write_page

from capkit import autoscaling, course, planning, serving
from capkit.autoscaling import DOWN, HPA, Hybrid, Rules, Scheduled
from capkit.planning import SLO

GOAL = SLO(0.99, 0.05)
WEEK_H = np.arange(168 * 240) / 240.0
DAILY = 1000.0 * (1.0 + 0.6 * np.sin(2 * np.pi * (WEEK_H - 9.0) / 24.0))  # mean 1,000 requests/s


def timed(service_ms: float, dispatch: str, every_request: bool, hours: int) -> dict[str, Any]:
    """A stretch under the autoscaler in a process of its own: seconds and peak memory."""
    law = service_ms / 1000.0 * np.linspace(0.5, 1.5, 2001)
    slo = SLO(0.99, 0.02 + 5 * law[-1])
    most = int(DAILY.max() * service_ms / 1000.0 / 0.5)

    def run(rates: Any) -> Any:
        rng = np.random.default_rng(1)
        terms = {"startup_s": 120.0, "initial": most, "dispatch": dispatch}
        return autoscaling.simulate(
            HPA(0.65), rates, law, slo, rng, every_request=every_request, **terms
        )

    run(DAILY[:240])  # compiles
    start, used = time.perf_counter(), time.process_time()
    week = run(DAILY[: 240 * hours])
    return {
        "service, ms": service_ms,
        "dispatch": dispatch,
        "requests": "every one" if every_request else "a sample",
        "servers": f"{week.ready[240:].min()} to {week.ready[240:].max()}",
        "million requests": week.replay.hours["requests"].sum() / 1e6,
        "seconds": time.perf_counter() - start,
        "of CPU": time.process_time() - used,
        "peak memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        "server-hours": week.server_hours,
        "late, %": 100.0 * week.replay.late_share,
    }


def apart(cases: list[tuple[float, str, bool, int]]) -> pd.DataFrame:
    """Each case in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pd.DataFrame([pool.apply(timed, case) for case in cases])


def controllers() -> pd.DataFrame:
    """HPA and hybrid on the reference week, by start-up time and window, in units of the oracle."""
    log, bench, forecast = (
        course.reference(c)
        for c in ("03_workload_analysis", "05_serving_benchmark", "07_forecasting")
    )
    factors = log.table("minute_factors")["factor"].to_numpy()
    factors = factors / factors.mean()
    measured = serving.ServiceProfile.from_dict(bench.data)
    service = planning.on_one_vcpu(measured)
    law = planning.service_law(measured, bench.table("service_times"))
    actual = forecast.table("actual")["requests_per_s"].to_numpy()
    minutes = planning.minute_rates(actual, factors, np.random.default_rng(1))
    mean_rps = forecast.table("forecast")["mean_rps"].to_numpy()
    floor = planning.needed_servers(np.quantile(factors, 0.8) * mean_rps, service, GOAL)
    by_ten, by_hour = (
        planning.needed_servers(minutes.reshape(-1, m).max(axis=1), service, GOAL) for m in (10, 60)
    )
    most = int(2 * by_hour.max())

    def row(controller: Any, startup_s: float, window_s: float | None) -> dict[str, Any]:
        terms = {"startup_s": startup_s, "initial": most, "maximum": most}
        terms["overhead_s"] = service.overhead_s
        rng = np.random.default_rng(1)
        week = autoscaling.simulate(controller, np.repeat(minutes, 4), law, GOAL, rng, **terms)
        return {
            "controller": controller.name,
            "start-up, s": startup_s,
            "window, s": window_s,
            "server-hours": week.server_hours,
            "late, %": 100.0 * week.replay.late_share,
            "hours missed": week.replay.hours_missed,
        }

    rows = [
        row(Scheduled(by_ten, 600.0, 120.0, name="oracle, 10 min"), 120.0, None),
        row(Scheduled(by_hour, 3600.0, 120.0, name="oracle, 1 h"), 120.0, None),
    ]
    for startup_s, window_s in ((120.0, 300.0), (15.0, 300.0), (15.0, 60.0)):
        ahead = Scheduled(floor, 3600.0, startup_s)
        for aim in (0.65, 0.75, 0.8):
            alone = HPA(
                aim, down=Rules(DOWN.policies, stabilization_s=window_s), name=f"HPA {aim:.0%}"
            )
            for controller in (alone, Hybrid(ahead, alone, name=f"hybrid {aim:.0%}")):
                rows.append(row(controller, startup_s, window_s))
    table = pd.DataFrame(rows)
    table.insert(4, "of the oracle", table["server-hours"] / table["server-hours"].iloc[0])
    return table


def main() -> None:
    week = [(10.0, "random", True, 168), (10.0, "random", False, 168), (10.0, "central", True, 24)]
    write_page(
        __file__,
        "Controllers over a week",
        {
            "1,000 requests/s under a controller (at most 120 s for a week; one core)": apart(week),
            "The reference week, about 8,000 requests/s: hybrid against oracle": controllers(),
        },
    )


if __name__ == "__main__":
    main()
