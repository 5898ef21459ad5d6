"""Figures of capkit.queueing and capkit.simulation: accuracy against 50 digits, speed beside three peers.

`python benchmarks/queueing.py` writes benchmarks/queueing.md. The peers (mpmath, pyworkforce, Ciw, SimPy) are
installed into a virtual environment of their own, in the user's cache, on first use.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import psutil
from pages import write_page
from peers import environment

from capkit.queueing import MMc, erlang_b, erlang_c, mdc_mean_wait, min_servers
from capkit.simulation import simulate_dispatch, simulate_fcfs, stream_fcfs
from capkit.simulation.dispatch import DISPATCH

PACKAGES = ["mpmath==1.4.1", "pyworkforce==0.5.1", "ciw==3.2.7", "simpy==4.1.2"]
PYTHON = environment("queueing-peers", PACKAGES) / "bin" / "python"
REPEATS = 5
EVALUATIONS = 1_000_000
CUSTOMERS = 5_000_000
PEER_CUSTOMERS = 100_000  # beside Ciw and SimPy, for all three
STREAMED = (1_000_000, 100_000_000, 1_000_000_000)
SERVERS = [1, 2, 5, 10, 63, 64, 100, 1000, 10_000, 100_000, 1_000_000]
UTILIZATIONS = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1 - 1e-6, 1 - 1e-9]

EXACT = """
import json, sys
import mpmath as mp
mp.mp.dps = 50
rows = []
for c, load in json.loads(sys.argv[1]):
    a = mp.mpf(load)
    inverse, term, k = mp.mpf(1), mp.mpf(1), 0  # 1 / B = sum of c! / (c - k)! / a^k
    while k < c and term > inverse * mp.mpf(10) ** -50:
        term *= (c - k) / a
        inverse += term
        k += 1
    b = 1 / inverse
    wait = c * b / (c - a + a * b)
    decay, t = c - a, mp.mpf(2)
    late = mp.e**-t + wait * (t * mp.e**-t if decay == 1 else (mp.e ** (-decay * t) - mp.e**-t) / (1 - decay))
    constant, i = mp.mpf(0), 0
    mp.mp.dps = 50 + int((c * mp.log(c / a) + a - c) / 2)  # the tails are that small
    while c <= 100 and load <= 0.9 * c:
        i += 1
        point = mp.e ** (-i * a + i * c * mp.log(i * a) - mp.loggamma(i * c + 1))
        term = point - (c / a - 1) * (1 - mp.gammainc(i * c + 1, i * a, regularized=True))
        constant += term
        if term < mp.mpf(10) ** -16 * constant:
            break
    mp.mp.dps = 50
    rows.append([mp.nstr(x, 20) for x in (b, wait, wait / decay, wait * mp.e ** (-decay * t), late, constant)])
print(json.dumps(rows))
"""

SIZING = """
import json, sys, time
from pyworkforce.queuing import ErlangC
seconds = []
for load in json.loads(sys.argv[1]):
    started = time.perf_counter()
    model = ErlangC(transactions=load, asa=1 / 9, aht=1.0, interval=1.0)
    found = model.required_positions(service_level=0.8)["positions"]
    seconds.append((time.perf_counter() - started, found))
print(json.dumps(seconds))
"""

SIMULATIONS = """
import json, random, sys, time
import ciw, simpy
customers = int(sys.argv[1])

started = time.perf_counter()
network = ciw.create_network(
    arrival_distributions=[ciw.dists.Exponential(6.8)],
    service_distributions=[ciw.dists.Exponential(1.0)],
    number_of_servers=[8],
)
run = ciw.Simulation(network)
run.simulate_until_max_customers(customers, method="Finish")
waits = [record.waiting_time for record in run.get_all_records()]
ciw_rate = len(waits) / (time.perf_counter() - started)

def customer(env, servers, waits):
    arrived = env.now
    with servers.request() as turn:
        yield turn
        waits.append(env.now - arrived)
        yield env.timeout(random.expovariate(1.0))

def source(env, servers, waits):
    for _ in range(customers):
        yield env.timeout(random.expovariate(6.8))
        env.process(customer(env, servers, waits))

started, env, waits = time.perf_counter(), simpy.Environment(), []
env.process(source(env, simpy.Resource(env, 8), waits))
env.run()
print(json.dumps([ciw_rate, len(waits) / (time.perf_counter() - started)]))
"""


def peer(script: str, argument: Any) -> Any:
    """What a peer's script prints."""
    command = [PYTHON, "-c", script, json.dumps(argument)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def seconds(action: Callable[[], Any]) -> float:
    """Median time of `REPEATS` calls, after one that is not counted."""
    action()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def likely(servers: int, load: float) -> bool:
    """Whether the probability of loss is a number that double precision holds with room to spare."""
    return servers * math.log(load) - load - math.lgamma(servers + 1) > -600.0


def accuracy() -> pd.DataFrame:
    """Largest relative error of each figure over the grid."""
    grid = [(c, c * rho) for c in SERVERS for rho in UTILIZATIONS if likely(c, c * rho)]
    exact = np.array(peer(EXACT, grid), dtype=float).T
    servers, load = np.array([c for c, _ in grid]), np.array([a for _, a in grid])
    queue = MMc(load, 1.0, servers)
    found = {
        "Erlang B": erlang_b(servers, load),
        "Erlang C": erlang_c(servers, load),
        "mean wait, M/M/c": queue.mean_wait,
        "P(wait > 2 services), M/M/c": queue.p_wait_exceeds(2.0),
        "P(response > 2 services), M/M/c": queue.p_response_exceeds(2.0),
        "mean wait, M/D/c (up to 100 servers, rho <= .9)": mdc_mean_wait(
            np.where(exact[5] > 0, load, 0.5), 1.0, servers
        ),
    }
    rows = []
    for (name, values), truth in zip(found.items(), exact, strict=True):
        kept = truth > 1e-290
        error = np.max(np.abs(values[kept] / truth[kept] - 1.0))
        rows.append((name, int(kept.sum()), f"{error:.1e}"))
    return pd.DataFrame(rows, columns=["figure", "points", "largest relative error"])


def erlang_speed() -> pd.DataFrame:
    """Millions of Erlang C a second on one core, arguments as arrays."""
    rng, rows = np.random.default_rng(1), []
    ranges = {
        "1 to 100": (0.0, 2.0),
        "1 to 1,000": (0.0, 3.0),
        "1 to 1,000,000": (0.0, 6.0),
        "1,000,000": (6.0, 6.0),
    }
    for name, (low, high) in ranges.items():
        servers = (10.0 ** rng.uniform(low, high, EVALUATIONS)).astype(int)
        load = servers * rng.uniform(0.3, 0.999, EVALUATIONS)
        took = seconds(lambda c=servers, a=load: erlang_c(c, a))
        rows.append((name, EVALUATIONS / took / 1e6))
    return pd.DataFrame(rows, columns=["servers", "million a second"])


def sizing() -> pd.DataFrame:
    """Servers for 80 % of the waits within a ninth of a service, here and by pyworkforce."""
    loads, rows = [10.0, 100.0, 1000.0, 100_000.0, 1_000_000.0], []
    theirs = [peer(SIZING, loads) for _ in range(3)]
    for i, load in enumerate(loads):
        target = {"percentile": 0.8, "max_wait": 1 / 9}
        mine = seconds(lambda a=load, t=target: min_servers(a, 1.0, **t))
        other = statistics.median(run[i][0] for run in theirs)
        counts = min_servers(load, 1.0, **target), theirs[0][i][1]
        rows.append((f"{load:,.0f}", 1e3 * mine, 1e3 * other, other / mine, *counts))
    columns = ["erlang", "capkit (ms)", "pyworkforce (ms)", "times faster"]
    return pd.DataFrame(rows, columns=[*columns, "servers", "servers, pyworkforce"])


def p99_sizing() -> pd.DataFrame:
    """Milliseconds to size a million erlangs."""
    targets = {
        "p99 of the wait <= 0.001 services": {"max_wait": 0.001},
        "p99 of the response <= 4.7 services": {"max_response": 4.7},
        "p99 of the response <= 2.7 services, service cv2 = 0.3": {
            "max_response": 2.7,
            "service_cv2": 0.3,
        },
    }
    rows = []
    for name, target in targets.items():
        took = seconds(lambda t=target: min_servers(1e6, 1.0, percentile=0.99, **t))
        rows.append((name, 1e3 * took))
    return pd.DataFrame(rows, columns=["target", "ms"])


def draws(rng: np.random.Generator, size: int, load: float = 6.8) -> tuple[Any, Any]:
    """Gaps and service times of M/M."""
    return rng.exponential(1.0 / load, size), rng.exponential(1.0, size)


def simulation_beside_peers() -> pd.DataFrame:
    """Customers a second in M/M/8 at rho = .85: all draws included, and the recursion alone."""
    rng, runs = np.random.default_rng(2), []
    gaps, services = draws(rng, PEER_CUSTOMERS)
    arrivals = np.cumsum(gaps)

    def own() -> None:
        gaps, services = draws(rng, PEER_CUSTOMERS)
        simulate_fcfs(np.cumsum(gaps), services, 8)

    for _ in range(REPEATS):
        mine = PEER_CUSTOMERS / seconds(own)
        alone = PEER_CUSTOMERS / seconds(lambda: simulate_fcfs(arrivals, services, 8))
        runs.append((mine, alone, *peer(SIMULATIONS, PEER_CUSTOMERS)))
    rates = np.array(runs)
    names = ["capkit, with draws", "capkit, draws made before", "Ciw", "SimPy"]
    return pd.DataFrame(
        {
            "simulator": names,
            "thousand customers a second": np.median(rates, axis=0) / 1e3,
            "capkit with draws is times faster": np.median(rates[:, :1] / rates, axis=0),
            "capkit without draws is times faster": np.median(rates[:, 1:2] / rates, axis=0),
        }
    )


def simulation_speed() -> pd.DataFrame:
    """Millions of customers a second, draws not included; the stream includes them."""
    rng, rows = np.random.default_rng(3), []
    for servers in (8, 64, 1024):
        gaps, services = draws(rng, CUSTOMERS, 0.85 * servers)
        arrivals = np.cumsum(gaps)
        took = seconds(lambda t=arrivals, s=services, c=servers: simulate_fcfs(t, s, c))
        rows.append((f"first come first served, {servers} servers", CUSTOMERS / took / 1e6))
    gaps, services = draws(rng, CUSTOMERS)
    arrivals = np.cumsum(gaps)
    for rule in DISPATCH[1:]:
        more = {"connections": 1000} if rule == "pinned" else {}
        took = seconds(lambda r=rule, m=more: simulate_dispatch(arrivals, services, 8, r, rng, **m))
        rows.append((f"8 queues, {rule}", CUSTOMERS / took / 1e6))
    return pd.DataFrame(rows, columns=["what", "million customers a second"])


def streams() -> pd.DataFrame:
    """Customers streamed through 8 servers: time, and the memory that the stream added to the process."""
    rng, rows, process = np.random.default_rng(4), [], psutil.Process()
    exact = float(MMc(6.8, 1.0, 8).wait_quantile(0.99))
    for size in STREAMED:
        before, started = process.memory_info().rss, time.perf_counter()
        waits, _ = stream_fcfs(draws, 8, size, rng)
        took = time.perf_counter() - started
        added = max(process.memory_info().rss - before, 0) / 2**20
        rows.append(
            (f"{size:,}", took, size / took / 1e6, added, float(waits.quantile(0.99)), exact)
        )
    columns = ["customers", "seconds", "million a second", "memory added (MiB)"]
    return pd.DataFrame(rows, columns=[*columns, "p99 of the wait", "exact"])


def main() -> None:
    write_page(
        __file__,
        f"Queueing and simulation: medians of {REPEATS}, beside {', '.join(PACKAGES)}",
        {
            "Against 50-digit arithmetic, 1 to 1,000,000 servers, utilisation .1 to 1 - 1e-9": accuracy(),
            "Erlang C, one core": erlang_speed(),
            "Sizing a million erlangs": p99_sizing(),
            "Sizing beside pyworkforce: 80 % wait at most 1/9 of a service": sizing(),
            f"M/M/8 at rho = .85, {PEER_CUSTOMERS:,} customers": simulation_beside_peers(),
            "Simulation, rho = .85": simulation_speed(),
            "Streams, M/M/8 at rho = .85, draws and histograms included": streams(),
        },
    )


if __name__ == "__main__":
    main()
