"""Sizes of requests, tenants, trend."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from capkit import datasets, queueing, simulation, workload

RNG = np.random.default_rng


# --- sizes


@pytest.mark.parametrize(
    ("law", "shape", "scale"),
    [("lognormal", 0.8, 150.0), ("gamma", 2.5, 90.0), ("weibull", 0.7, 80.0)],
)
def test_the_law_that_made_the_sizes_is_found_with_its_parameters(law, shape, scale):
    draws = {
        "lognormal": lambda rng: rng.lognormal(np.log(scale), shape, 5000),
        "gamma": lambda rng: rng.gamma(shape, scale, 5000),
        "weibull": lambda rng: scale * rng.weibull(shape, 5000),
    }
    sizes = draws[law](RNG(5))
    table = workload.fit_sizes(*workload.size_bins(sizes))
    assert table.index[0] == law
    assert table["pvalue"].iloc[0] > 0.01
    assert (table["pvalue"].iloc[1:] < 0.001).all()
    assert table.loc[law, "shape"] == pytest.approx(shape, rel=0.06)
    assert table.loc[law, "scale"] == pytest.approx(scale, rel=0.06)
    assert table.loc[law, "mean"] == pytest.approx(sizes.mean(), rel=0.05)
    assert table.loc[law, "p99"] == pytest.approx(np.quantile(sizes, 0.99), rel=0.15)


def test_false_alarms_of_the_size_test_are_as_rare_as_stated():
    pvalues = [
        workload.fit_sizes(*workload.size_bins(RNG(seed).gamma(3.0, 1.0, 400))).loc[
            "gamma", "pvalue"
        ]
        for seed in range(60)
    ]
    assert stats.kstest(pvalues, "uniform").pvalue > 0.01


def test_bins_of_chunks_add_up():
    sizes = RNG(6).lognormal(3.0, 1.0, 500)
    edges, counts = workload.size_bins(sizes, per_octave=2)
    assert counts.sum() == 500
    assert np.allclose(np.diff(np.log2(edges)), 0.5)
    with pytest.raises(ValueError, match="above 0"):
        workload.size_bins([1.0, 0.0])


@pytest.mark.parametrize(
    ("edges", "counts", "message"),
    [
        ([1.0, 2.0], [1, 2], "one more than counts"),
        ([1.0, 3.0, 2.0, 4.0, 5.0], [1, 2, 3, 4], "ascend"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], [1, -2, 3, 4], "0 or more"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], [1, 0, 3, 4], "four bins"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], [1, 1, 1, 1], "too few bins"),
    ],
)
def test_bins_that_cannot_be_fitted_are_refused(edges, counts, message):
    with pytest.raises(ValueError, match=message):
        workload.fit_sizes(edges, counts)


def test_sizes_that_move_with_the_load_are_told_from_those_that_do_not():
    rng = RNG(7)
    requests = rng.poisson(20 + 10 * np.sin(np.arange(60) / 6))
    moving = requests * (50 + 5.0 * requests + rng.normal(0, 5, 60))
    correlation, pvalue = workload.size_load_correlation(requests, moving)
    assert correlation > 0.9
    assert pvalue < 0.2  # a slow cycle turned by itself matches itself again
    still = [
        workload.size_load_correlation(rng.poisson(20.0, 60), rng.normal(1e4, 100, 60))[1]
        for _ in range(200)
    ]
    # the sums do not move, so the mean size falls with the count: that is found
    assert np.mean(np.array(still) < 0.05) > 0.95
    drift = np.cumsum(rng.normal(0, 1, (200, 2, 60)), axis=2)
    alarms = [
        workload.size_load_correlation(a, a * b)[1] < 0.05
        for a, b in zip(50 + np.round(drift[:, 0]), 1000 + drift[:, 1], strict=True)
    ]
    assert np.mean(alarms) < 0.2  # an ordinary rank test would refuse most of these walks
    with pytest.raises(ValueError, match="ten windows"):
        workload.size_load_correlation([1, 2], [3, 4])


# --- tenants


def test_tenants_add_up_and_the_one_that_makes_the_peak_is_named():
    table = datasets.load_servegen().pivot(index="t_s", columns="service", values="rate_rps")
    language = table[["m-small", "m-mid", "m-large"]]
    shares = workload.tenant_shares(language)
    for column in ("share_of_requests", "share_of_peak", "share_of_variance"):
        assert shares[column].sum() == pytest.approx(1.0)
    busiest = language.sum(axis=1).idxmax()
    assert shares.index[0] == language.loc[busiest].idxmax()


def test_tenant_counts_are_the_counts_of_the_log():
    rng = RNG(8)
    times = np.sort(rng.uniform(0, 600, 2000))
    who = rng.choice(["a", "b", "c"], 2000, p=[0.6, 0.3, 0.1])
    counts = workload.tenant_counts(times, who, 60.0)
    whole = workload.characterize(times).counts(60.0)
    assert (counts.sum(axis=1).to_numpy() == whole).all()
    assert workload.tenant_shares(counts)["share_of_requests"]["a"] == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"a": [1.0]}, "two windows"),
        ({"a": [1.0, np.nan]}, "finite"),
        ({"a": [1, 2], "b": [2, 1]}, "the same in every window"),
        ({"a": [1, 2], "b": [0, 0]}, "without a request: b"),
    ],
)
def test_tenants_without_a_peak_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        workload.tenant_shares(pd.DataFrame(counts))


# --- trend


def test_the_trend_of_the_application_server_is_its_known_decline():
    hourly = datasets.load_demand()["2016":"2019"]
    change, low, high = (52 * value for value in workload.trend(hourly, 168))
    # 201 to 166 thousand requests an hour from 2016 to 2019: about -6 % a year
    assert low < -0.06 < high
    assert change == pytest.approx(-0.06, abs=0.02)


def test_a_cycle_without_a_trend_has_none():
    noise = RNG(9).normal(0, 1, 24 * 40)
    change, low, high = workload.trend(10 + np.tile(np.arange(24.0), 40) + noise, 24)
    assert low < 0 < high
    assert abs(change) < 0.001
    for series, message in (([1.0] * 10, "five periods"), ([np.nan] * 120, "gaps")):
        with pytest.raises(ValueError, match=message):
            workload.trend(series, 24)
    with pytest.raises(ValueError, match="positive mean"):
        workload.trend(-np.ones(120), 24)


# --- capacity


@pytest.mark.parametrize("seed", range(4))
def test_the_servers_needed_are_those_of_a_search_one_by_one(seed):
    rng = RNG(seed)
    arrivals = np.cumsum(rng.gamma(0.3, 1.0, 800))
    services = rng.exponential(1.5, 800)
    servers, late = 0, np.inf
    while late > 0.4:
        servers += 1
        late = np.quantile(simulation.simulate_fcfs(arrivals, services, servers), 0.95)
    assert workload.servers_needed(arrivals, services, percentile=0.95, max_wait=0.4) == servers


def test_poisson_arrivals_need_what_the_formula_says():
    needed = []
    for seed in range(10):
        rng = RNG(seed)
        arrivals = simulation.poisson_arrivals(8.0, 2000.0, rng)
        services = rng.exponential(1.0, arrivals.size)
        needed.append(workload.servers_needed(arrivals, services, percentile=0.9, max_wait=0.2))
    known = queueing.min_servers(8.0, 1.0, percentile=0.9, max_wait=0.2)
    assert min(needed) <= known <= max(needed)


@pytest.mark.parametrize(
    ("services", "options", "message"),
    [
        ([1.0], {"percentile": 0.5, "max_wait": 0.0}, "one service time"),
        ([1.0, -1.0], {"percentile": 0.5, "max_wait": 0.0}, "0 s or more"),
        ([1.0, 1.0], {"percentile": 99, "max_wait": 0.0}, "0 < percentile < 1"),
    ],
)
def test_a_promise_that_cannot_be_simulated_is_refused(services, options, message):
    with pytest.raises(ValueError, match=message):
        workload.servers_needed([0.0, 1.0], services, **options)
