"""Watching a plan: the server's metrics, detectors of anomalies and drift, hot spots, alert rules.

`Prometheus` runs a real one on the loopback interface where the program is installed; `queries` are the
questions of a plan in its language.
"""

from capkit.monitoring.detectors import Detection, alarms, cusum, judge, robust_z
from capkit.monitoring.drift import mix_drift, service_drift
from capkit.monitoring.hotspots import departures, hot_spots
from capkit.monitoring.metrics import bucket_percentile, histogram_quantile, read_metrics, scrape
from capkit.monitoring.prometheus import Prometheus, free_port
from capkit.monitoring.rules import alert_rules, queries, scrape_config

__all__ = [
    "Detection", "Prometheus", "alarms", "alert_rules", "bucket_percentile", "cusum", "departures", "free_port",
    "histogram_quantile", "hot_spots", "judge", "mix_drift", "queries", "read_metrics", "robust_z",
    "scrape", "scrape_config", "service_drift",
]  # fmt: skip
