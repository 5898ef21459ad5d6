"""What a server can do, as the later chapters need it: the `ServiceProfile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class BatchLine:
    """Service time against batch size, ``fixed_s + per_image_s * images``, with 95 % intervals."""

    fixed_s: float
    per_image_s: float
    fixed_interval_s: tuple[float, float]
    per_image_interval_s: tuple[float, float]

    def predict(self, images: ArrayLike) -> Any:
        """Seconds that a batch of ``images`` takes on the line (v)."""
        return self.fixed_s + self.per_image_s * np.asarray(images, dtype=float)


def fit_batches(images: ArrayLike, service_s: ArrayLike) -> BatchLine:
    """Fit t = alpha + beta b by least squares of the relative error.

    Each point is weighed by ``1/t`` because times scatter in proportion to their size: without
    weights the largest batch alone would decide the fixed part.

    Parameters
    ----------
    images : array_like of shape (n,)
        Batch sizes; at least three different ones.
    service_s : array_like of shape (n,)
        Service time of each batch.

    Raises
    ------
    ValueError
        Fewer than three batch sizes, or a time that is not positive.

    Examples
    --------
    >>> line = fit_batches([1, 2, 4, 8], [1.1, 1.2, 1.4, 1.8])
    >>> round(line.fixed_s, 6), round(line.per_image_s, 6)
    (1.0, 0.1)
    """
    from scipy.stats import t as student

    sizes, times = np.asarray(images, dtype=float), np.asarray(service_s, dtype=float)
    if np.unique(sizes).size < 3 or sizes.shape != times.shape:
        raise ValueError(
            f"a line needs one time for each of three or more batch sizes, got {sizes}"
        )
    if not (times > 0).all():
        raise ValueError(f"service times must be positive, got {times.min()}")
    design = np.column_stack([np.ones_like(sizes), sizes]) / times[:, None]
    coefficients, _, _, _ = np.linalg.lstsq(design, np.ones_like(times), rcond=None)
    residual = 1.0 - design @ coefficients
    freedom = sizes.size - 2
    covariance = np.linalg.inv(design.T @ design) * (residual @ residual) / freedom
    half = student.ppf(0.975, freedom) * np.sqrt(np.diag(covariance))
    low, high = coefficients - half, coefficients + half
    return BatchLine(
        float(coefficients[0]),
        float(coefficients[1]),
        (float(low[0]), float(high[0])),
        (float(low[1]), float(high[1])),
    )


@dataclass(frozen=True)
class ServiceProfile:
    """The measured service of one server: what chapters 06 to 10 plan with.

    Attributes
    ----------
    service_time_s, service_cv2 : float
        Mean and squared coefficient of variation of the time that one request of one image occupies
        the server's one slot, measured in place under load.
    overhead_s : float
        Latency of a request on an idle server that does not occupy the slot (network, gRPC).
    fixed_s, per_image_s : float
        Service time of a batch of b images: ``fixed_s + per_image_s * b``.
    max_batch_linear : int
        Largest measured batch that the line still describes.
    throughput_rps : float
        Requests of one image a second, closed loop, one server saturated.
    request_bytes, response_bytes : int
        Sizes of the two messages.
    cpu_s_per_request, memory_mib : float or None
        CPU time of the server process per request; its resident memory. None for a server whose
        process could not be seen.
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
        positive = ("service_time_s", "throughput_rps", "per_image_s")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("service_cv2", "overhead_s", "fixed_s", "cpu_s_per_request", "memory_mib"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be zero or more, got {value}")

    @property
    def service_rate(self) -> float:
        """Requests a second that one busy slot completes (mu, 服务率)."""
        return 1.0 / self.service_time_s

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON content, four significant digits."""
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ServiceProfile:
        """Read a profile back; keys that it does not know are left to their reader.

        Raises
        ------
        ValueError
            A field is missing.

        Examples
        --------
        >>> profile = ServiceProfile(
        ...     5e-4, 0.1, 4e-4, 4.9e-4, 1e-5, 64, 1800.0, 3200, 110, 6e-4, 600.0, "embedded stand-in", "cpu"
        ... )
        >>> ServiceProfile.from_dict(profile.to_dict()) == profile
        True
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in content]
        if missing:
            raise ValueError(f"a service profile needs {', '.join(missing)} too")
        return cls(**{name: content[name] for name in names})
