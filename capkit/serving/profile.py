"""What a server can do, as the later chapters need it: the `ServiceProfile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class BatchLine:
    """Service time of b images: ``fixed_s + per_image_s * b``, with 95 % intervals of both."""

    fixed_s: float
    per_image_s: float
    fixed_interval_s: tuple[float, float]
    per_image_interval_s: tuple[float, float]

    def predict(self, images: ArrayLike) -> Any:
        """Seconds that a batch of ``images`` takes (v)."""
        return self.fixed_s + self.per_image_s * np.asarray(images, dtype=float)


def fit_batches(images: ArrayLike, service_s: ArrayLike) -> BatchLine:
    """Fit t = alpha + beta b by least squares of the relative error.

    Times scatter in proportion to their size: unweighted, the largest batch alone would decide.

    Parameters
    ----------
    images, service_s : array_like of shape (n,)
        Batch sizes, three or more different ones, and the service time of each.

    >>> line = fit_batches([1, 2, 4, 8], [1.1, 1.2, 1.4, 1.8])
    >>> round(line.fixed_s, 6), round(line.per_image_s, 6)
    (1.0, 0.1)
    """
    from scipy.stats import t as student

    sizes, times = np.asarray(images, dtype=float), np.asarray(service_s, dtype=float)
    if np.unique(sizes).size < 3 or sizes.shape != times.shape or not (times > 0).all():
        raise ValueError(
            f"needs a positive time for each of three or more sizes, got {sizes}, {times}"
        )
    design = np.column_stack([np.ones_like(sizes), sizes]) / times[:, None]
    best = np.linalg.lstsq(design, np.ones_like(times), rcond=None)[0]
    residual, freedom = 1.0 - design @ best, sizes.size - 2
    covariance = np.linalg.inv(design.T @ design) * (residual @ residual) / freedom
    half = student.ppf(0.975, freedom) * np.sqrt(np.diag(covariance))
    (low, low_each), (high, high_each) = (best - half).tolist(), (best + half).tolist()
    return BatchLine(float(best[0]), float(best[1]), (low, high), (low_each, high_each))


@dataclass(frozen=True)
class ServiceProfile:
    """The measured service of one server: what chapters 06 to 10 plan with.

    Attributes
    ----------
    service_time_s, service_cv2 : float
        Mean and squared coefficient of variation of the time that one request of one image occupies
        the server's one slot, measured in place while the server is saturated.
    overhead_s : float
        Latency of a request at light load beyond one service time.
    fixed_s, per_image_s : float
        Service time of a batch of b images: ``fixed_s + per_image_s * b``.
    max_batch_linear : int
        Largest measured batch that the line still describes.
    throughput_rps : float
        Requests of one image a second, closed loop, one server saturated.
    request_bytes, response_bytes : int
        Sizes of the two messages.
    cpu_s_per_request, memory_mib : float or None
        CPU time of the server per request, its resident memory; None where its process was not seen.
    backend, device : str
        Which server answered; ``cpu`` or the emulated device.
    """

    service_time_s: float
    service_cv2: float
    overhead_s: float
    fixed_s: float
    per_image_s: float
    max_batch_linear: int
    throughput_rps: float
    request_bytes: int
    response_bytes: int
    cpu_s_per_request: float | None
    memory_mib: float | None
    backend: str
    device: str

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            positive = name in ("service_time_s", "throughput_rps", "per_image_s")
            if isinstance(value, float | int) and not (value > 0 if positive else value >= 0):
                what = "positive" if positive else "zero or more"
                raise ValueError(f"{name} must be {what}, got {value}")

    @property
    def service_rate(self) -> float:
        """Requests a second that one busy slot completes (mu)."""
        return 1.0 / self.service_time_s

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON content, four significant digits."""
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ServiceProfile:
        """Read a profile back; other keys are left to their reader, a missing one is `ValueError`."""
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in content]:
            raise ValueError(f"a service profile needs {', '.join(missing)} too")
        return cls(**{name: content[name] for name in names})
