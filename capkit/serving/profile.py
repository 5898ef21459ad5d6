"""What a server can do, as the later chapters need it: the `ServiceProfile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import pandas as pd

LEAST_ROWS = 30
LONGEST_MS = 60_000.0
LINE_ERROR = 0.15


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


def read_times(path: str | Path, time_column: str, images_column: str | None) -> pd.DataFrame:
    """Times of a CSV file, one row a request or batch: columns ``images`` (1 without one) and ``ms``.

    A missing file or column, a value that is no number above 0, a part of an image, and a median above
    a minute raise `ValueError`, which names the row or the column.
    """
    import pandas as pd

    from capkit.datasets.own import _numbers, _read, _refuse

    file, columns = Path(path), [name for name in (time_column, images_column) if name]
    table = _read(file, columns)
    numbers = {name: _numbers(file, table[name]) for name in columns}
    for name in columns:
        unit = " (ms)" if name == time_column else ""
        _refuse(file, name, numbers[name] <= 0, table[name], f"a number above 0 is needed{unit}")
    images = numbers[images_column] if images_column else pd.Series(1.0, table.index)
    _refuse(file, str(images_column), images % 1 != 0, images, "a whole number is needed")
    ms = numbers[time_column]
    if ms.median() > LONGEST_MS:
        raise ValueError(
            f"{file}, column {time_column!r}: the median, {ms.median():,.0f} ms, is above a minute; "
            "milliseconds are needed: divide microseconds by 1,000"
        )
    return pd.DataFrame({"images": images.astype(int), "ms": ms})


def _line_or_share(means_s: pd.Series) -> tuple[float, float]:
    """``fixed_s, per_image_s`` as `ServiceProfile.from_csv` says, from the mean time of each size."""
    sizes, smallest = means_s.index.to_numpy(), means_s.iloc[0]
    if sizes.size >= 3:
        line = fit_batches(sizes, means_s.to_numpy())
        near = abs(line.predict(sizes[0]) / smallest - 1.0) <= LINE_ERROR
        if near and line.fixed_s >= 0 and line.per_image_s > 0:
            return line.fixed_s, line.per_image_s
    return 0.0, float(smallest / sizes[0])


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

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        latency_column: str = "latency_ms",
        images_column: str | None = None,
    ) -> ServiceProfile:
        """Profile of a server whose latencies were written down, one request or batch at a time.

        The whole latency counts as service, so ``overhead_s`` is 0: what waited for others must not be
        in the file. ``service_time_s`` is the mean of the rows of one image, or what the line says where
        there are none; ``service_cv2`` is that of the most frequent size. The line is fitted to the
        means of three or more sizes; with fewer, or if no line with positive parts comes within 15 % of
        the smallest size, nothing is gained by a batch: the fixed part is 0 and each image takes its
        share of the smallest batch. ``throughput_rps`` and ``cpu_s_per_request`` are those of one slot
        that is always busy. A file cannot know the size of the messages (0) and the memory (None);
        `dataclasses.replace` sets what you know.

        Parameters
        ----------
        path : str or Path
            CSV file with a header.
        latency_column, images_column : str
            Columns of the time in ms and of the images in the request; one image each without the latter.

        Raises
        ------
        ValueError
            No such file or column; a value that is no number above 0; fewer than 30 rows of the most
            frequent size; a median above a minute.
        """
        table = read_times(path, latency_column, images_column)
        size = table["images"].mode()[0]
        frequent = table.loc[table["images"] == size, "ms"]
        if len(frequent) < LEAST_ROWS:
            raise ValueError(
                f"{path} holds {len(frequent)} row(s) of its most frequent size, {size} image(s); a "
                f"variance needs {LEAST_ROWS}: give one row a request, not a summary"
            )
        means_s = table.groupby("images")["ms"].mean() / 1e3
        fixed_s, per_image_s = _line_or_share(means_s)
        error = (fixed_s + per_image_s * means_s.index) / means_s - 1.0
        service_time_s = float(means_s.get(1, fixed_s + per_image_s))
        return cls(
            service_time_s=service_time_s,
            service_cv2=float(frequent.var() / frequent.mean() ** 2),
            overhead_s=0.0,
            fixed_s=fixed_s,
            per_image_s=per_image_s,
            max_batch_linear=int(means_s.index[error.abs().le(LINE_ERROR).cummin()].max()),
            throughput_rps=1.0 / service_time_s,
            request_bytes=0,
            response_bytes=0,
            cpu_s_per_request=service_time_s,
            memory_mib=None,
            backend=f"recorded in {Path(path).name}",
            device="recorded",
        )
