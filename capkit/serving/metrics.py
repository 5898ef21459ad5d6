"""Counters and histograms in the Prometheus text form, under TensorFlow Serving's names."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from threading import Lock

PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain"


def exponential_buckets(first: float, growth: float, count: int) -> tuple[float, ...]:
    """Upper limits of the buckets: ``first * growth**i``.

    >>> [f"{limit:.6g}" for limit in exponential_buckets(10, 1.8, 5)]
    ['10', '18', '32.4', '58.32', '104.976']
    """
    return tuple(first * growth**i for i in range(count))


LATENCY = exponential_buckets(10, 1.8, 33)
QUEUING = exponential_buckets(100, 1.2, 52)
SIZES = exponential_buckets(1, 2, 14)

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """A thread-safe set of counters and histograms.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.count(":tensorflow:serving:request_count", model_name="m", status="OK")
    >>> print(metrics.text(), end="")
    # TYPE :tensorflow:serving:request_count counter
    :tensorflow:serving:request_count{model_name="m",status="OK"} 1
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counters: dict[str, dict[Labels, int]] = {}
        self._histograms: dict[str, dict[Labels, list[float]]] = {}
        self._limits: dict[str, Sequence[float]] = {}

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter."""
        key = tuple(labels.items())
        with self._lock:
            series = self._counters.setdefault(name, {})
            series[key] = series.get(key, 0) + 1

    def observe(self, name: str, value: float, limits: Sequence[float], **labels: str) -> None:
        """Put a value into a histogram with these upper limits."""
        key = tuple(labels.items())
        with self._lock:
            self._limits[name] = limits
            series = self._histograms.setdefault(name, {})
            cells = series.setdefault(key, [0.0] * (len(limits) + 2))
            cells[bisect_left(limits, value)] += 1
            cells[-1] += value

    def text(self) -> str:
        """All series, as the path `PATH` answers."""
        lines: list[str] = []
        with self._lock:
            for name, counters in self._counters.items():
                lines.append(f"# TYPE {name} counter")
                lines += [f"{name}{_braces(key)} {value}" for key, value in counters.items()]
            for name, histograms in self._histograms.items():
                lines.append(f"# TYPE {name} histogram")
                for key, cells in histograms.items():
                    total = 0
                    limits = [f"{limit:.6g}" for limit in self._limits[name]] + ["+Inf"]
                    for limit, cell in zip(limits, cells, strict=False):
                        total += int(cell)
                        lines.append(f"{name}_bucket{_braces((*key, ('le', limit)))} {total}")
                    lines.append(f"{name}_sum{_braces(key)} {cells[-1]:.6g}")
                    lines.append(f"{name}_count{_braces(key)} {total}")
        return "\n".join(lines) + "\n"


def _braces(labels: Labels) -> str:
    escaped = (
        (k, v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for k, v in labels
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
