"""Drift, hot spots, and Prometheus: PromQL against the page it scraped."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import require

from capkit.datasets import load_servegen
from capkit.monitoring import (
    Prometheus,
    alarms,
    cusum,
    departures,
    histogram_quantile,
    hot_spots,
    judge,
    mix_drift,
    queries,
    read_metrics,
    service_drift,
)
from capkit.monitoring.rules import bucket_limit_us
from capkit.serving.metrics import LATENCY, Metrics


def test_service_drift_is_standard_while_nothing_changes() -> None:
    rng = np.random.default_rng(1)
    seconds = np.array([rng.gamma(2.0, 0.001, 500).sum() for _ in range(2000)])
    score = service_drift(np.full(2000, 500), seconds, baseline_s=0.002, cv2=0.5, noise=0.0)
    assert abs(score.mean()) < 0.1 and score.std() == pytest.approx(1.0, abs=0.05)


def test_a_slower_version_rings_within_minutes_and_not_before() -> None:
    rng = np.random.default_rng(2)
    slower = np.arange(240) >= 120
    seconds = 6000 * 0.002 * rng.normal(1.0, 0.03, 240) * np.where(slower, 1.1, 1.0)
    score = service_drift(np.full(240, 6000), seconds, baseline_s=0.002, cv2=1.0)
    ring = alarms(cusum(score, allowance=1.0, ceiling=10.0, upward=True), 5.0)
    found = judge(ring, slower, step_s=60.0)
    assert found.delay_h is not None and found.delay_h * 60.0 <= 5.0
    assert found.false_episodes == 0 and found.recall > 0.9


def test_mix_drift_measures_what_moved() -> None:
    table = mix_drift([[90, 10], [80, 20], [0, 100]], [0.9, 0.1])
    assert table["moved_share"].tolist() == pytest.approx([0.0, 0.1, 0.9])
    chance = mix_drift(
        np.random.default_rng(3).multinomial(500, [0.6, 0.3, 0.1], 2000), [0.6, 0.3, 0.1]
    )
    assert (chance["p_value"] < 0.05).mean() == pytest.approx(0.05, abs=0.02)


def test_drift_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        mix_drift([[1, 2]], [0.5, 0.4])
    with pytest.raises(ValueError, match="none empty"):
        mix_drift([[0, 0]], [0.5, 0.5])
    with pytest.raises(ValueError, match="must match"):
        service_drift([1, 2], [1.0], baseline_s=1.0, cv2=1.0)
    with pytest.raises(ValueError, match="at least 3 replicas"):
        hot_spots([1, 2])
    with pytest.raises(ValueError, match="one length"):
        departures([1.0, 2.0], [1.0])


def test_a_hot_replica_is_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(4)
    calm = [hot_spots(rng.poisson(1000.0, 8))["hot"].any() for _ in range(300)]
    assert sum(calm) == 0
    loads = np.full(8, 1000.0)
    loads[3] = 1500.0
    found = [hot_spots(rng.poisson(loads)) for _ in range(100)]
    assert all(t["hot"].sum() == 1 and t["replica"].iloc[0] == 3 for t in found)


def test_servegens_large_clients_show_when_they_leave() -> None:
    table = load_servegen()
    small = table[table["service"] == "m-small"]
    found = departures(small["rate_rps"], small["active_clients"])
    assert found["share"].iloc[0] > 0.5 and found["clients"].iloc[0] > 15
    assert found["share"].is_monotonic_decreasing and found["share"].min() >= 0.25
    assert (found["rate_after"] > 0.0).all()  # gaps in the data are no departures


def test_the_alerts_bucket_limit_is_one_of_the_servers() -> None:
    for latency_s in (0.005, 0.05, 0.1, 1.0):
        limit = bucket_limit_us(latency_s)
        assert min(abs(limit / edge - 1.0) for edge in LATENCY) < 1e-5
        assert limit <= latency_s * 1e6 < 1.8 * limit


@pytest.mark.more
def test_prometheus_answers_as_the_page_says() -> None:
    require(Prometheus.installed(), "prometheus", "apt-get install prometheus")
    metrics, lock, rng = Metrics(), threading.Lock(), np.random.default_rng(5)
    pages = [""]

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with lock:
                for value in rng.lognormal(6.5, 0.6, 20):
                    labels = {"model_name": "m", "API": "Predict"}
                    metrics.observe(":tensorflow:serving:request_latency", value, LATENCY, **labels)
                    metrics.observe(":tensorflow:serving:runtime_latency", value, LATENCY, **labels)
                    metrics.count(":tensorflow:serving:request_count", model_name="m", status="OK")
                pages[0] = metrics.text()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(pages[0].encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Prometheus({"one": f"http://127.0.0.1:{server.server_port}"}, scrape_s=0.2) as watched:
            watched.wait()
            threading.Event().wait(4.0)
            asked = queries("m", 0.95, window="3s")
            rate = watched.query(asked["rate"])
            assert rate["instance"].tolist() == ["one"]
            assert rate["value"].iloc[0] == pytest.approx(100.0, rel=0.1)
            samples = read_metrics(pages[0])
            ours = histogram_quantile(samples, ":tensorflow:serving:request_latency", 0.95)
            assert watched.value(asked["percentile_us"]) == pytest.approx(ours, rel=0.25)
            assert watched.value(asked["mean_us"]) == pytest.approx(np.exp(6.5 + 0.18), rel=0.15)
            assert watched.value(asked["busy"]) == pytest.approx(100 * np.exp(6.68) / 1e6, rel=0.2)
            assert watched.value(asked["share"]) == 1.0
            assert watched.value(asked["errors"]) == 0.0
            whole = f"histogram_quantile(0.95, {':tensorflow:serving:request_latency'}_bucket)"
            threading.Event().wait(0.3)
            server.shutdown()
            assert watched.value(whole) == pytest.approx(
                histogram_quantile(
                    read_metrics(pages[0]), ":tensorflow:serving:request_latency", 0.95
                ),
                rel=0.02,
            )
            with pytest.raises(ValueError, match="parse error"):
                watched.query("rate(")
            with pytest.raises(ValueError, match="not one"):
                watched.value("nothing_here")
    finally:
        server.server_close()


@pytest.mark.more
def test_prometheus_says_why_it_did_not_start() -> None:
    require(Prometheus.installed(), "prometheus", "apt-get install prometheus")
    with pytest.raises(RuntimeError, match="did not get ready"):
        Prometheus({}, rules="groups: 7")
