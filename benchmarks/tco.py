"""The fleet optimiser: the usual sizes, what PuLP adds to HiGHS, and a large plan with its proven gap."""

import multiprocessing
import resource
import time

import highspy
import numpy as np
import pandas as pd
from pages import write_page

from capkit.datasets import load_catalogue
from capkit.tco import optimize
from capkit.tco.formulation import formulate
from capkit.tco.inputs import Terms, read_options, read_tenants
from capkit.tco.solvers import quiet, solve

PURCHASES = ("on_demand", "reserved_1y", "reserved_3y", "spot")
GAP, LIMIT_S = 0.005, 60.0


def measured_types(types: int, seed: int = 1) -> pd.DataFrame:
    """Types whose capacities were measured: no two are multiples of each other, no grid fits them."""
    rng = np.random.default_rng(seed)
    vcpus = rng.choice([2, 4, 8, 16], types)
    price = 0.0425 * vcpus * rng.uniform(0.8, 1.5, types)
    shares = {"reserved_1y": (0.6, 0.7), "reserved_3y": (0.36, 0.45), "spot": (0.3, 0.6)}
    prices = {f"{p}_usd_h": (price * rng.uniform(*s, types)).round(4) for p, s in shares.items()}
    capacity = np.round(vcpus * rng.uniform(0.7, 1.3, types), 2)
    names = [f"type {n}" for n in range(types)]
    return pd.DataFrame(
        {"name": names, "cost_usd_h": price.round(4), **prices, "capacity": capacity}
    )


def listed_types() -> pd.DataFrame:
    """Ten types of the catalogue that ships, in vCPUs."""
    table = load_catalogue(provider="aws").rename(
        columns={"on_demand_usd_h": "cost_usd_h", "vcpus": "capacity"}
    )
    return table[table["name"].str.match(r"[mcr]5\.")].reset_index(drop=True)


def week(peak: float, hours: int, seed: int = 2) -> np.ndarray:
    """Demand by the hour, with a day and a weekend."""
    hour = np.arange(hours)
    day = 0.55 - 0.35 * np.cos(2 * np.pi * hour / 24)
    noise = np.random.default_rng(seed).uniform(0.9, 1.1, hours)
    return np.round(peak * day * np.where(hour // 24 % 7 >= 5, 0.7, 1.0) * noise, 2)


def written(options: pd.DataFrame, demand: np.ndarray, zones: int):
    """The program with every variable: nothing left out, nothing solved by parts."""
    terms = Terms(
        purchases=PURCHASES, without=(), period_h=1.0, zones=zones, lost_zones=min(1, zones - 1),
        zone_share=1.0, spare_machines=0, spot_share=0.3, minimum_each=0, minimum_run=1, carried={},
        apart=(), caps={}, budgets={},
    )  # fmt: skip
    return formulate(
        read_options(options, ["capacity"], terms), read_tenants(demand, ()), terms
    ).program


def directly(program, gap: float) -> float:
    """Build and solve with highspy alone; seconds."""
    start = time.perf_counter()
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", gap)
    solver.setOptionValue("time_limit", LIMIT_S)
    size = program.costs.size
    solver.addVars(size, np.zeros(size), np.full(size, highspy.kHighsInf))
    solver.changeColsCost(size, np.arange(size, dtype=np.int32), program.costs)
    whole = np.full(size, highspy.HighsVarType.kInteger)
    solver.changeColsIntegrality(size, np.arange(size, dtype=np.int32), whole)
    matrix = program.matrix
    lower = np.array([row.lower for row in program.rows])
    solver.addRows(
        lower.size, lower, np.full(lower.size, highspy.kHighsInf), matrix.nnz,
        matrix.indptr[:-1].astype(np.int32), matrix.indices.astype(np.int32), matrix.data,
    )  # fmt: skip
    solver.run()
    return time.perf_counter() - start


def usual_sizes() -> pd.DataFrame:
    rows = []
    purchases = ("on_demand", "reserved_3y", "spot")
    for name, options, peak in (
        ("catalogue", listed_types(), 300),
        ("measured capacities", measured_types(10), 300),
    ):
        for zones in (1, 2, 3):
            demand = week(peak, 24)
            start = time.perf_counter()
            fleet = optimize(options, demand, purchases=purchases, zones=zones, time_limit_s=20.0)
            seconds = time.perf_counter() - start
            rows.append((name, zones, seconds, 100 * fleet.gap, fleet.proven))
    columns = ["10 types x 3 purchases x 24 periods", "zones", "s", "gap (%)", "0.01 % proven"]
    return pd.DataFrame(rows, columns=columns)


def pulp_and_highspy() -> pd.DataFrame:
    rows = []
    for name, options in (
        ("catalogue", listed_types()),
        ("measured capacities", measured_types(10)),
    ):
        program = written(options, week(300, 24), 1)
        pairs = []
        for _ in range(5):
            start = time.perf_counter()
            solve(program, "highs", gap=0.01)
            pulp_s = time.perf_counter() - start
            with quiet():
                pairs.append((pulp_s, directly(program, 0.01)))
        pulp_s, direct_s = np.median(pairs, axis=0)
        ratio = np.median([one / other for one, other in pairs])
        rows.append((name, program.costs.size, pulp_s, direct_s, ratio))
    columns = ["types", "variables", "PuLP (s)", "highspy (s)", "ratio, median of 5"]
    return pd.DataFrame(rows, columns=columns)


def large(way: str, peak: float) -> tuple:
    """One way to solve the large plan, in a process of its own: its peak memory is the way's."""
    options, demand = measured_types(30), week(peak, 168)
    start = time.perf_counter()
    if way == "obvious":
        program = written(options, demand, 3)
        answer = solve(program, "highs", gap=GAP, time_limit_s=LIMIT_S)
        cost, variables = float(program.costs @ answer.values), program.costs.size
    else:
        answer = optimize(
            options, demand, purchases=PURCHASES, zones=3, gap=GAP, time_limit_s=LIMIT_S
        )
        cost, variables = answer.total_cost_usd, None
    seconds = time.perf_counter() - start
    memory_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return way, peak, variables, cost, 100 * answer.gap, seconds, memory_gib


def large_plan() -> pd.DataFrame:
    rows = []
    for way in ("obvious", "by groups of periods"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(large, (way, 600.0)))
    columns = ["way", "highest hour", "variables", "USD/week", "gap (%)", "s", "memory (GiB)"]
    return pd.DataFrame(rows, columns=columns)


if __name__ == "__main__":
    write_page(
        __file__,
        "The fleet optimiser",
        {
            "The usual sizes": usual_sizes(),
            "What PuLP costs": pulp_and_highspy(),
            "30 types x 4 purchases x 168 periods x 3 zones, N+1, spot at most 30 %": large_plan(),
        },
    )
