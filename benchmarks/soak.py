"""The embedded server over a long time: half load, then overload, then light load; writes soak.md."""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import psutil
from pages import write_page
from serving import LOAD_CORES, MODEL, REQUESTS, SERVER_CORES, closed

from capkit import loadtest, serving


def soak(minutes: float) -> pd.DataFrame:
    """Long half load, then a fifth of that at 150 %, then light load: memory, codes, recovery."""
    rng, rows = np.random.default_rng(1), []
    with serving.serve(MODEL, backend="embedded", cores=SERVER_CORES) as server:
        limit = closed(server.grpc_target, 16).throughput
        process = psutil.Process(server.pid)
        phases = {"50 %": (0.5, 60 * minutes), "150 %": (1.5, 12 * minutes), "after": (0.3, 10.0)}
        for phase, (share, seconds) in phases.items():
            schedule = loadtest.draw_schedule("poisson", share * limit, seconds, rng)
            before = process.memory_info().rss / 2**20
            result = loadtest.run(server.grpc_target, schedule, REQUESTS, cores=LOAD_CORES)
            errors = ", ".join(f"{name} {count}" for name, count in result.errors.items())
            late = (result.code != 0) | (result.done_s - result.intended_s > 0.05)
            settled = result.done_s[late].max() if late.any() else 0.0
            rows.append(
                {
                    "phase": phase,
                    "seconds": seconds,
                    "offered, 1/s": share * limit,
                    "answered, 1/s": result.throughput,
                    "p99, ms": result.percentile(0.99),
                    "errors": errors or "none",
                    "memory before, MiB": before,
                    "memory after, MiB": process.memory_info().rss / 2**20,
                    "last late or refused, s": settled if phase == "after" else np.nan,
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="at half load")
    table = soak(parser.parse_args().minutes)
    write_page(
        __file__, "The embedded server over a long time", {"Half load, overload, light load": table}
    )


if __name__ == "__main__":
    main()
