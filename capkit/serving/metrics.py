"""What the server reports: refusals with TensorFlow Serving's texts, and Prometheus metrics."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

PATH = "/monitoring/prometheus/metrics"
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class ServingError(Exception):
    """A refusal: the gRPC code's name, and a text that is cut at 1,024 characters.

    >>> ServingError("NOT_FOUND", "Servable not found for request: Latest(m)").http_status
    404
    """

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text if len(text) <= 1024 else text[:1024] + "...TRUNCATED"
        self.http_status = HTTP_STATUS.get(code, 500)
        super().__init__(self.text)


def parse_text(text: str, what: str, messages: Mapping[str, Mapping[str, str]]) -> Any:
    """Read protobuf's text form of the last of ``messages``: its fields by name, each with its type.

    The package ``tensorflow-serving-api`` does not ship the messages of the server's config files.
    A text of another form raises `ValueError`, which says that it is not ``what``.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    file = descriptor_pb2.FileDescriptorProto(name="capkit.proto", syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, (field, declared) in enumerate(fields.items(), 1):
            repeated, _, kind = declared.rpartition(" ")
            added = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in messages:
                added.type_name = f".{kind}"
            else:
                added.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = message_factory.GetMessageClass(pool.FindMessageTypeByName(list(messages)[-1]))
    try:
        return text_format.Parse(text, found())
    except text_format.ParseError as error:
        raise ValueError(f"not {what}: {error}") from None


@dataclass(frozen=True)
class Monitoring:
    """Whether the REST port shows metrics, and where: TensorFlow Serving's monitoring config.

    >>> Monitoring.parse('prometheus_config { enable: true path: "/metrics" }').path
    '/metrics'
    """

    enable: bool = True
    path: str = PATH

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError(f"the path of the metrics must begin with /, got {self.path!r}")

    @classmethod
    def parse(cls, text: str) -> Monitoring:
        """Read the text form; without ``enable: true`` there are no metrics.

        What is not of that form raises `ValueError`.
        """
        fields = {"enable": "bool", "path": "string"}
        root = {"prometheus_config": "PrometheusConfig"}
        messages = {"PrometheusConfig": fields, "MonitoringConfig": root}
        found = parse_text(text, "a monitoring config file", messages).prometheus_config
        return cls(found.enable, found.path or PATH)

    def to_text(self) -> str:
        """The text form, as ``--monitoring_config_file`` reads it."""
        enable = str(self.enable).lower()
        return f"prometheus_config {{ enable: {enable} path: {json.dumps(self.path)} }}\n"


def exponential_buckets(first: float, growth: float, count: int) -> tuple[float, ...]:
    """Upper limits of the buckets: ``first * growth**i``."""
    return tuple(first * growth**i for i in range(count))


LATENCY = exponential_buckets(10, 1.8, 33)
QUEUING = exponential_buckets(100, 1.2, 52)
SIZES = exponential_buckets(1, 2, 14)


Labels = tuple[tuple[str, str], ...]


class Metrics:
    """A thread-safe set of counters and histograms.

    >>> metrics = Metrics()
    >>> metrics.count(":tensorflow:serving:request_count", model_name="m", status="OK")
    >>> print(metrics.text(), end="")
    # TYPE :tensorflow:serving:request_count counter
    :tensorflow:serving:request_count{model_name="m",status="OK"} 1
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counters: dict[str, dict[Labels, int]] = {}
        self._histograms: dict[str, tuple[Sequence[float], dict[Labels, list[float]]]] = {}

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter."""
        key = tuple(labels.items())
        with self._lock:
            series = self._counters.setdefault(name, {})
            series[key] = series.get(key, 0) + 1

    def observe(self, name: str, value: float, limits: Sequence[float], **labels: str) -> None:
        """Put a value into a histogram with these upper limits.

        As in TensorFlow Serving, a value that equals a limit counts in the bucket above it.
        """
        key = tuple(labels.items())
        with self._lock:
            _, series = self._histograms.setdefault(name, (limits, {}))
            if (cells := series.get(key)) is None:
                cells = series[key] = [0.0] * (len(limits) + 2)
            cells[bisect_right(limits, value)] += 1
            cells[-1] += value

    def text(self) -> str:
        """All series in the Prometheus text form."""
        lines: list[str] = []
        with self._lock:
            for name, counters in self._counters.items():
                lines.append(f"# TYPE {name} counter")
                lines += [f"{name}{{{_pairs(key)}}} {value}" for key, value in counters.items()]
            for name, (limits, histograms) in self._histograms.items():
                lines.append(f"# TYPE {name} histogram")
                for key, cells in histograms.items():
                    pairs, total = _pairs(key), 0
                    comma = "," if pairs else ""
                    for limit, cell in zip([*limits, float("inf")], cells, strict=False):
                        total += int(cell)
                        edge = "+Inf" if limit == float("inf") else f"{limit:.6g}"
                        lines.append(f'{name}_bucket{{{pairs}{comma}le="{edge}"}} {total}')
                    lines.append(f"{name}_sum{{{pairs}}} {cells[-1]:.6g}")
                    lines.append(f"{name}_count{{{pairs}}} {total}")
        return "\n".join(lines) + "\n"


def _pairs(labels: Labels) -> str:
    quoted = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    return ",".join(f'{name}="{value.translate(quoted)}"' for name, value in labels)
