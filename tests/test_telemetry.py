"""The machine's description and the sampler, with a GPU played by a fake NVML."""

import math
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from capkit import telemetry


class FakeNVMLError(Exception):
    pass


def fake_nvml(*, gpus=1, power=True, driver=True, refused=(), utilizations=None):
    """The part of pynvml that is used, for a GPU at 37 %, 1,980 MHz, with 2,048 MiB in use and 312.5 W.

    GPU 1 has another energy counter than the others; those ``refused`` may not be opened.
    """
    percents = iter(utilizations or ())

    def by_index(index):
        if index in refused:
            raise FakeNVMLError("Insufficient Permissions")
        return f"handle {index}"

    def used(handle):
        percent = next(percents) if utilizations else 37
        if percent is None:
            raise FakeNVMLError("GPU is lost")
        return SimpleNamespace(gpu=percent, memory=5)

    def init():
        if not driver:
            raise FakeNVMLError("Driver Not Loaded")

    def power_mw(handle):
        if not power:
            raise FakeNVMLError("Not Supported")
        return 312_500

    def energy_mj(handle):
        if not power:
            raise FakeNVMLError("Not Supported")
        return 9_000 if handle in ("handle 1", "handle GPU-1") else 4_500

    return SimpleNamespace(
        NVMLError=FakeNVMLError,
        nvmlInit=init,
        nvmlDeviceGetCount=lambda: gpus,
        nvmlDeviceGetHandleByIndex=by_index,
        nvmlDeviceGetHandleByUUID=lambda uuid: f"handle {uuid}",
        nvmlDeviceGetName=lambda handle: "NVIDIA Test GPU",
        nvmlSystemGetDriverVersion=lambda: "580.1",
        nvmlDeviceGetUtilizationRates=used,
        NVML_CLOCK_SM=1,
        nvmlDeviceGetClockInfo=lambda handle, clock: {1: 1980}[clock],
        nvmlDeviceGetTotalEnergyConsumption=energy_mj,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=2048 * 2**20),
        nvmlDeviceGetPowerUsage=power_mw,
    )


@pytest.fixture
def nvml(monkeypatch):
    def install(**behaviour):
        monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(**behaviour))

    return install


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_machine_has_a_gpu_only_where_nvml_has_one(nvml):
    nvml()
    assert telemetry.machine()["gpu"] == "NVIDIA Test GPU (driver 580.1)"
    nvml(gpus=8)
    assert telemetry.machine()["gpu"] == "8 x NVIDIA Test GPU (driver 580.1)"
    nvml(gpus=0)
    assert telemetry.machine()["gpu"] is None
    nvml(driver=False)
    here = telemetry.machine()
    assert here["gpu"] is None
    assert here["cores"] >= 1
    assert here["memory_gib"] > 0
    assert here["cpu"]


def test_gpu_columns_carry_their_units(nvml):
    nvml()
    with telemetry.Sampler(interval_s=0.01) as sampler:
        busy(0.05)
    frame = sampler.frame()
    assert (frame["gpu_percent"] == 37).all()
    assert (frame["gpu_clock_mhz"] == 1980).all()
    assert (frame["gpu_memory_mib"] == 2048).all()
    assert (frame["gpu_power_w"] == 312.5).all()


def test_what_the_gpu_cannot_report_is_no_column(nvml):
    nvml(power=False)
    with telemetry.Sampler(interval_s=0.01) as sampler:
        busy(0.03)
    assert list(sampler.frame().columns) == [
        "t_s",
        "cpu_percent",
        "memory_mib",
        "sent_mib_s",
        "gpu_percent",
        "gpu_clock_mhz",
        "gpu_memory_mib",
    ]


def test_energy_is_there_only_where_the_gpu_counts_it(nvml):
    nvml()
    assert telemetry.gpu_energy_j() == 4.5
    for lacking in ({"power": False}, {"gpus": 0}, {"driver": False}):
        nvml(**lacking)
        assert telemetry.gpu_energy_j() is None


def test_the_gpu_that_the_process_may_use_is_the_one_that_is_watched(nvml, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml(gpus=2, refused=[0])
    assert telemetry.gpu_energy_j() == 9.0
    nvml(gpus=2, refused=[0, 1])
    assert telemetry.gpu_energy_j() is None
    assert telemetry.machine()["gpu"] is None
    for visible, joule in {"1,0": 9.0, "GPU-1": 9.0, "0": 4.5, "": 4.5}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        nvml(gpus=2)
        assert telemetry.gpu_energy_j() == joule


def test_a_reading_that_fails_once_ends_nothing(nvml):
    nvml(utilizations=[37, None, *[37] * 1000])
    with telemetry.Sampler(interval_s=0.01) as sampler:
        busy(0.05)
    percent = sampler.frame()["gpu_percent"]
    assert math.isnan(percent.iloc[0])
    assert (percent.iloc[1:] == 37).all()
    assert len(percent) > 1


def test_cpu_seconds_of_the_samples_are_the_process_s(nvml):
    nvml(driver=False)
    before = time.process_time()
    with telemetry.Sampler(interval_s=0.02) as sampler:
        busy(0.2)
    spent = time.process_time() - before
    frame = sampler.frame()
    intervals = frame["t_s"].diff().fillna(frame["t_s"].iloc[0])
    sampled = (intervals * frame["cpu_percent"] / 100).sum()
    assert sampled == pytest.approx(spent, abs=0.03)
    assert frame["t_s"].is_monotonic_increasing
    assert (frame["memory_mib"] > 10).all()
    assert list(frame.columns) == ["t_s", "cpu_percent", "memory_mib", "sent_mib_s"]


def test_peak_memory_keeps_what_was_given_back():
    before = telemetry.peak_mib()
    block = np.ones(2**24)
    del block
    assert telemetry.peak_mib() >= before
    with telemetry.Sampler(interval_s=0.01) as sampler:
        busy(0.02)
    assert telemetry.peak_mib() >= sampler.frame()["memory_mib"].max()


def test_the_whole_machine_is_every_core_and_the_disks(nvml, tmp_path):
    nvml(driver=False)
    with telemetry.Sampler(interval_s=0.05, whole_machine=True) as sampler:
        busy(0.4)
    frame = sampler.frame()
    cores = frame.filter(regex=r"core\d+_percent")
    assert cores.shape[1] == psutil.cpu_count()
    seconds = frame["t_s"].diff().fillna(frame["t_s"].iloc[0])
    assert (cores.sum(axis=1) * seconds / 100).sum() > 0.3  # the 0.4 s are among them
    disks = {"read_mib_s", "written_mib_s"}
    assert disks <= set(frame) or psutil.disk_io_counters() is None
    assert (frame.filter(regex="mib") >= 0).all(axis=None)


def test_a_machine_without_disk_counters_has_no_such_columns(nvml, monkeypatch):
    nvml(driver=False)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    with telemetry.Sampler(interval_s=0.01, whole_machine=True) as sampler:
        busy(0.02)
    assert not {"read_mib_s", "written_mib_s"} & set(sampler.frame())


def test_what_goes_over_loopback_is_counted(nvml):
    nvml(driver=False)
    size = 20 * 2**20
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = threading.Thread(target=_read_all, args=(server,))
        reader.start()
        with telemetry.Sampler(interval_s=0.02, whole_machine=True) as sampler:
            with socket.create_connection(server.getsockname()) as sender:
                sender.sendall(bytes(size))
            reader.join()
    frame = sampler.frame()
    sent = (frame["t_s"].diff().fillna(frame["t_s"].iloc[0]) * frame["sent_mib_s"]).sum()
    assert 0.9 < sent / (size / 2**20) < 1.9  # counted, once; other programs send over loopback too
    assert frame["received_mib_s"].max() > 0


def _read_all(server):
    connection, _ = server.accept()
    with connection:
        while connection.recv(1 << 20):
            pass


def test_its_own_cost_is_reported(nvml):
    nvml(driver=False)
    with telemetry.Sampler(interval_s=0.01) as sampler:
        busy(0.1)
    assert 0 < sampler.cost_cpu_s < 0.1


def test_another_process_is_watched_until_it_ends(sleeper):
    with telemetry.Sampler(interval_s=0.02, pid=sleeper.pid) as sampler:
        while len(sampler.frame()) < 3:
            time.sleep(0.01)
        sleeper.kill()
        sleeper.wait()
        time.sleep(0.05)
        seen = len(sampler.frame())
        time.sleep(0.05)
    assert len(sampler.frame()) == seen
    assert sampler.frame()["cpu_percent"].between(0, 1000).all()


def test_wrong_input_is_refused(sleeper):
    with pytest.raises(ValueError, match=r"at least 0\.01 s, got 0"):
        telemetry.Sampler(interval_s=0)
    with pytest.raises(ValueError, match="at least"):
        telemetry.Sampler(interval_s=float("nan"))
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(ValueError, match=f"running process, got {sleeper.pid}"):
        telemetry.Sampler(pid=sleeper.pid)
