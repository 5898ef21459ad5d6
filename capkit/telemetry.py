"""What the machine is, and what a process uses of it while it runs: CPU, memory, and a GPU if any.

psutil reads the process, NVML (nvidia-ml-py) one GPU: the first that ``CUDA_VISIBLE_DEVICES`` names, else
the first that this process may open. Where NVML is not there, the columns of the GPU are not there either:
a missing figure is never a zero.
"""

from __future__ import annotations

import math
import os
import platform
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import psutil

MIB = 2**20
GIB = 2**30


def _cpu_model() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count() or 1


def _open_gpu() -> tuple[Any, Any] | None:
    """NVML and the GPU that is watched, or None without a library, a driver or a GPU that may be opened.

    In a container NVML counts GPUs that it then refuses to open.
    """
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    try:
        pynvml.nvmlInit()
        if named.startswith("GPU-"):
            return pynvml, pynvml.nvmlDeviceGetHandleByUUID(named)
        indices = [int(named)] if named.isdigit() else range(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return None
    for index in indices:
        try:
            return pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError:
            continue
    return None


def _gpu() -> str | None:
    opened = _open_gpu()
    if opened is None:
        return None
    nvml, device = opened
    count = nvml.nvmlDeviceGetCount()
    several = f"{count} x " if count > 1 else ""
    return f"{several}{nvml.nvmlDeviceGetName(device)} (driver {nvml.nvmlSystemGetDriverVersion()})"


def machine() -> dict[str, Any]:
    """Describe this machine: ``cpu``, ``cores``, ``memory_gib``, ``gpu`` (or None), ``python``.

    ``cores`` counts the logical processors that this process may use. ``gpu`` is the GPU that
    is watched, with its driver.

    Examples
    --------
    >>> sorted(machine())
    ['cores', 'cpu', 'gpu', 'memory_gib', 'python']
    """
    return {
        "cpu": _cpu_model(),
        "cores": _cores(),
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "gpu": _gpu(),
        "python": platform.python_version(),
    }


def _gpu_readings() -> dict[str, Callable[[], float]]:
    """One function a GPU column (NaN where one reading fails); what this GPU cannot report is left out."""
    opened = _open_gpu()
    if opened is None:
        return {}
    nvml, device = opened
    readings: dict[str, Callable[[], float]] = {
        "gpu_percent": lambda: float(nvml.nvmlDeviceGetUtilizationRates(device).gpu),
        "gpu_clock_mhz": lambda: float(nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM)),
        "gpu_memory_mib": lambda: nvml.nvmlDeviceGetMemoryInfo(device).used / MIB,
        "gpu_power_w": lambda: nvml.nvmlDeviceGetPowerUsage(device) / 1000,
    }

    def reading(read: Callable[[], float]) -> float:
        try:
            return read()
        except nvml.NVMLError:
            return math.nan

    return {
        column: partial(reading, read)
        for column, read in readings.items()
        if not math.isnan(reading(read))
    }


def gpu_energy_j() -> float | None:
    """Energy that the watched GPU has used since its driver was loaded (J); None where NVML has no such counter.

    The difference of two readings is the energy of what ran between them, idle power included. A reading of
    ``gpu_power_w`` is a mean over up to a second, so that sums of it lag behind short work.

    >>> gpu_energy_j() is None or gpu_energy_j() > 0
    True
    """
    opened = _open_gpu()
    if opened is None:
        return None
    nvml, device = opened
    try:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(device)) / 1000
    except nvml.NVMLError:
        return None


def peak_mib() -> float:
    """Largest resident memory of this process so far, by the operating system's own record (MiB).

    >>> peak_mib() > 1
    True
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(found.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if platform.system() == "Darwin" else 1024)


def _machine_readings() -> tuple[dict[str, float], dict[str, float]]:
    """Counters of the whole machine: (CPU seconds busy by core), (bytes); what it lacks is left out."""
    busy = {
        f"core{index}_percent": sum(times) - times.idle - getattr(times, "iowait", 0.0)
        for index, times in enumerate(psutil.cpu_times(percpu=True))
    }
    networks = psutil.net_io_counters(pernic=True).values()
    moved: dict[str, float] = {"received_mib_s": sum(nic.bytes_recv for nic in networks)}
    disks = psutil.disk_io_counters()
    if disks is not None:
        moved |= {"read_mib_s": disks.read_bytes, "written_mib_s": disks.write_bytes}
    return busy, moved


def _rates(before: dict[str, float], now: dict[str, float], unit: float) -> dict[str, float]:
    return {name: (now[name] - before[name]) / unit for name in now}


class Sampler:
    """Sample a process at a steady interval from a thread of this one, as a context manager.

    Parameters
    ----------
    interval_s : float
        Seconds between samples, at least 0.01.
    pid : int, optional
        The process to watch; this one without it. Sampling stops quietly when it ends.
    whole_machine : bool
        Sample every core, the disks and what the networks receive, too.

    Attributes
    ----------
    cost_cpu_s : float
        CPU seconds that the sampling itself took; part of the figures if this process is watched.

    Raises
    ------
    ValueError
        The interval is too short, or there is no such process.

    Examples
    --------
    >>> with Sampler(interval_s=0.02) as sampler:
    ...     total = sum(range(2_000_000))
    >>> list(sampler.frame().columns[:3])
    ['t_s', 'cpu_percent', 'memory_mib']
    """

    def __init__(
        self, interval_s: float = 0.1, pid: int | None = None, *, whole_machine: bool = False
    ) -> None:
        if not interval_s >= 0.01:
            raise ValueError(
                f"interval_s must be at least 0.01 s, got {interval_s}: sampling faster would "
                "load the machine that it measures"
            )
        try:
            self._process = psutil.Process(pid)
        except (psutil.NoSuchProcess, ValueError) as error:
            raise ValueError(f"pid must be a running process, got {pid}") from error
        self.interval_s = interval_s
        self._machine = _machine_readings if whole_machine else lambda: ({}, {})
        self.cost_cpu_s = 0.0
        self._rows: list[dict[str, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def __enter__(self) -> Sampler:
        self._begin, self._begin_cpu_s = time.perf_counter(), self._cpu_s()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _cpu_s(self) -> float:
        if self._process.pid == os.getpid():
            return time.process_time()
        times = self._process.cpu_times()
        return float(times.user + times.system)

    @staticmethod
    def _sent() -> int:
        """Bytes that this machine has sent, over loopback too."""
        return sum(nic.bytes_sent for nic in psutil.net_io_counters(pernic=True).values())

    def _run(self) -> None:
        gpu = _gpu_readings()
        try:
            before_t, before_cpu, before_sent = self._begin, self._begin_cpu_s, self._sent()
            before_busy, before_moved = self._machine()
            stopped = False
            while not stopped:
                stopped = self._stop.wait(self.interval_s)
                now, cpu_s, sent = time.perf_counter(), self._cpu_s(), self._sent()
                busy, moved = self._machine()
                if stopped and self._rows and now - before_t < self.interval_s / 2:
                    break
                self._rows.append(
                    {
                        "t_s": now - self._begin,
                        "cpu_percent": 100 * (cpu_s - before_cpu) / (now - before_t),
                        "memory_mib": self._process.memory_info().rss / MIB,
                        "sent_mib_s": (sent - before_sent) / MIB / (now - before_t),
                        **_rates(before_busy, busy, (now - before_t) / 100),
                        **_rates(before_moved, moved, (now - before_t) * MIB),
                        **{column: read() for column, read in gpu.items()},
                    }
                )
                before_t, before_cpu, before_sent = now, cpu_s, sent
                before_busy, before_moved = busy, moved
        except psutil.NoSuchProcess:
            pass
        finally:
            self.cost_cpu_s = time.thread_time()

    def frame(self) -> pd.DataFrame:
        """The samples so far.

        Returns
        -------
        DataFrame
            ``t_s`` since the start; ``cpu_percent`` over the interval that ends there (100 = one core
            busy; another process is counted in ticks of 10 ms); ``memory_mib`` resident; ``sent_mib_s``, what
            the machine sent on all its networks, loopback included; with
            ``whole_machine`` also ``core0_percent`` and so on, every core's use by all processes (in ticks of
            10 ms), ``received_mib_s`` and, where the system counts them, ``read_mib_s`` and ``written_mib_s`` of
            the disks; and, where NVML reports them,
            ``gpu_percent`` (share of the time with some kernel running: one that fills a single block and one
            that fills the device read the same), ``gpu_clock_mhz`` of its processors, ``gpu_memory_mib`` and
            ``gpu_power_w`` of the whole GPU.
        """
        names = ["t_s", "cpu_percent", "memory_mib", "sent_mib_s"]
        return pd.DataFrame(self._rows, columns=None if self._rows else names)
