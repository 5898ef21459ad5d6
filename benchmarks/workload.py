"""Figures of the workload room, written to benchmarks/workload.md.

Speed and memory of the description of long logs; how well the generators keep the two Azure traces. The
traces are the originals, time stamps of 100 ns (`capkit.datasets.fetch`).
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_page

from capkit import datasets, workload
from capkit.workload import BlockBootstrap, MarkovModulated, MovingRate

ROWS, CHUNK, RATE = 100_000_000, 1_000_000, 1000.0
WINDOWS_S = (0.1, 1.0, 10.0, 60.0, 600.0)
SERVICE_S, MAX_WAIT_S, PERCENTILE = 2.0, 0.5, 0.99


def measured(run: Callable[[], object]) -> tuple[object, float, float, float]:
    """Result, seconds, CPU seconds, and MB by which the memory rises at most."""
    kept: list[object] = []
    started, used = time.perf_counter(), time.process_time()
    peak = workload.peak_bytes(lambda: kept.append(run()))
    return kept[0], time.perf_counter() - started, time.process_time() - used, peak / 1e6


def by_pandas(times: np.ndarray) -> list[float]:
    """The same IDC by the usual means: time stamps, resample, variance over mean."""
    series = pd.Series(1, pd.to_datetime(times - times[0], unit="s"))
    counts = (series.resample(f"{1000 * w:.0f}ms").sum()[:-1] for w in WINDOWS_S)
    return [float(c.var() / c.mean()) for c in counts]


def stamps(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The stamps of a Poisson log of `ROWS` rows, whole milliseconds in s."""
    last = 0.0
    for _ in range(ROWS // CHUNK):
        times = last + np.cumsum(rng.exponential(1 / RATE, CHUNK))
        last = float(times[-1])
        yield np.floor(1000 * times) / 1000


def write_log(path: Path, rng: np.random.Generator) -> None:
    """A CSV file of the stamps, digit by digit: seconds, point, three decimals."""
    powers = 10 ** np.arange(9, -1, -1)
    with path.open("wb") as file:
        file.write(b"timestamp\n")
        for times in stamps(rng):
            digits = np.round(1000 * times).astype(np.int64)[:, None] // powers % 10 + ord("0")
            point, end = np.full((CHUNK, 1), ord(".")), np.full((CHUNK, 1), ord("\n"))
            row = np.hstack([digits[:, :7], point, digits[:, 7:], end])
            file.write(row.astype(np.uint8).tobytes())


def speed() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.exponential(1 / RATE, ROWS // 10))
    rows = []

    def add(what: str, requests: int, run: Callable[[], object]) -> object:
        result, seconds, cpu, mb = measured(run)
        rows.append((what, f"{requests:.0e}", seconds, cpu, requests / cpu / 1e6, mb))
        return result

    log = add("characterize", times.size, lambda: workload.characterize(times))
    curve = add(
        "the IDC at five windows", times.size, lambda: [log.dispersion(w) for w in WINDOWS_S]
    )
    peer = add("the same IDC by pandas: resample", times.size, lambda: by_pandas(times))
    if not np.allclose(curve, peer, rtol=0.02):
        raise SystemExit(f"pandas counts otherwise: {curve} and {peer}")
    add(
        "characterize and the whole summary",
        times.size,
        lambda: workload.characterize(times).to_dict(),
    )
    add(
        "characterize_stream, arrays (drawing them included)",
        ROWS,
        lambda: workload.characterize_stream(stamps(rng)),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        write_log(path, rng)
        size = path.stat().st_size / 1e9
        streamed = add(
            f"characterize_stream, a CSV file of {size:.2g} GB",
            ROWS,
            lambda: workload.characterize_stream(c.times for c in datasets.stream_log(path)),
        )
    if streamed.requests != ROWS:
        raise SystemExit(f"{streamed.requests} rows were read")
    columns = ["what", "requests", "seconds", "CPU seconds", "million a CPU second", "memory, MB"]
    return pd.DataFrame(rows, columns=columns)


@functools.cache
def trace_times(trace: str) -> np.ndarray:
    log = datasets.read_log(datasets.fetch(f"azure_llm_2023_{trace}"), time_column="TIMESTAMP")
    return log.times


def generators(trace: str) -> dict[str, Callable[[float, np.random.Generator], np.ndarray]]:
    times = trace_times(trace)
    log = workload.characterize(times)
    step_s, cv2 = {"chat": (60.0, 1.1), "code": (1.0, 1.2)}[trace]
    constant = np.array([log.rate])
    return {
        "Poisson, constant rate": MovingRate(constant, log.duration_s).draw,
        "gamma gaps with the log's CV2, constant rate": MovingRate(
            constant, log.duration_s, log.interarrival_cv2
        ).draw,
        f"Poisson, rate by {step_s:g} s": MovingRate.of(log, step_s).draw,
        f"gamma gaps of CV2 {cv2}, rate by {step_s:g} s": MovingRate.of(log, step_s, cv2=cv2).draw,
        "Markov-modulated Poisson": MarkovModulated.of(log).draw,
        "block bootstrap, 300 s": BlockBootstrap(times, log.duration_s, 300.0).draw,
    }


def fidelity(trace: str) -> pd.DataFrame:
    log = workload.characterize(trace_times(trace))
    rows = []
    for name, draw in generators(trace).items():
        table = workload.check_generator(
            log, draw, np.random.default_rng(2), windows_s=(0.1, 1.0, 10.0, 60.0), replicas=200
        )
        errors = table["error"].map("{:+.1%}".format)
        judged = table.loc[[f"IDC at {w} s" for w in (1, 10, 60)], "error"].abs().max() <= 0.15
        rows.append((name, *errors, "yes" if judged else "no"))
    columns = ["generator", *table.index, "IDC at 1, 10, 60 s within 15 %"]
    return pd.DataFrame(rows, columns=columns)


def capacity() -> pd.DataFrame:
    """Servers for the same promise: the log, and what each generator would make one buy."""
    rows = []
    for trace in ("chat", "code"):
        times, rng = trace_times(trace), np.random.default_rng(3)
        duration_s = float(times[-1])
        sources = {"the log itself": lambda *_, times=times: times, **generators(trace)}
        for name, draw in sources.items():
            needed = []
            for _ in range(15):
                arrivals = draw(duration_s, rng)
                services = rng.exponential(SERVICE_S, arrivals.size)
                needed.append(
                    workload.servers_needed(
                        arrivals, services, percentile=PERCENTILE, max_wait=MAX_WAIT_S
                    )
                )
            rows.append((trace, name, int(np.median(needed)), f"{min(needed)} to {max(needed)}"))
    table = pd.DataFrame(rows, columns=["trace", "arrivals", "servers, median of 15", "range"])
    poisson = table[table["arrivals"] == "Poisson, constant rate"].set_index("trace")
    base = table["trace"].map(poisson["servers, median of 15"])
    table["times those of Poisson"] = table["servers, median of 15"] / base
    return table


def main() -> None:
    write_page(
        __file__,
        "Workload: long logs, generators",
        {
            "Long logs, one process, Poisson at 1,000 requests/s; memory above the start": speed(),
            "Chat trace: generated over original, mean of 200 logs": fidelity("chat"),
            "Code trace: generated over original, mean of 200 logs": fidelity("code"),
            "Servers so that 99 % wait 0.5 s at most, service 2 s (exponential)": capacity(),
        },
    )


if __name__ == "__main__":
    main()
