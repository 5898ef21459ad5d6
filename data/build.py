"""Derive the tables that ship from the originals: ``CAPKIT_DATA=folder python data/build.py``.

The folder holds the originals under the names that data/README.md gives. The same originals give
the same bytes; ``manifest.json`` records size and sha256 of each table.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

TRACES = {"chat": "azure_llm_2023_conv.csv.gz", "code": "azure_llm_2023_code.csv.gz"}
TAIL_RANKS = 250  # the longest gaps are kept one by one: they carry the variance
BODY_RANKS = 600
BINS_PER_OCTAVE = 4
DIGITS_PER_CLASS = 500
HELD_OUT_PER_CLASS = 100

# Watts of one vCPU at full load: Cloud Carbon Footprint, Methodology, average or median by cloud.
VCPU_WATTS = {"aws": 3.5, "gcp": 4.26, "azure": 3.76}
# Board limit by accelerator as the price list names it: (file, row).
BOARD = {
    "T4": ("gpu_specs_techpowerup.csv", "Tesla T4"),
    "A10": ("gpu_specs_techpowerup.csv", "A10 PCIe"),
    "A10G": ("gpu_specs_techpowerup.csv", "A10G"),
    "V100": ("gpu_specs_techpowerup.csv", "Tesla V100 SXM2 16 GB"),
    "L4": ("gpu_specs_tensor.csv", "l4"),
    "L40S": ("gpu_specs_tensor.csv", "l40s"),
    "A100": ("gpu_specs_tensor.csv", "a100_sxm"),
    "H100": ("gpu_specs_tensor.csv", "h100_sxm"),
}
BOARD_OF_INSTANCE = {
    "NC24ads_A100_v4": ("gpu_specs_tensor.csv", "a100_pcie"),
    "NC40ads_H100_v5": ("gpu_specs_techpowerup.csv", "H100 NVL 94 GB"),
}


def read_trace(originals: Path, trace: str) -> pd.DataFrame:
    """Arrival times in s from the first request, and tokens, sorted by time."""
    table = pd.read_csv(originals / TRACES[trace])
    clock = pd.to_datetime(table["TIMESTAMP"], format="%Y-%m-%d %H:%M:%S.%f")
    nanoseconds = (clock - clock.min()).to_numpy().astype("timedelta64[ns]").astype(np.int64)
    table["time_ns"] = nanoseconds
    return table.sort_values("time_ns", kind="stable", ignore_index=True)


def arrivals_per_second(originals: Path, trace: str) -> pd.DataFrame:
    """Requests and token sums of every second, empty ones included."""
    table = read_trace(originals, trace)
    second = (table["time_ns"] // 10**9).rename("second")
    sums = table.groupby(second).agg(
        requests=("time_ns", "size"),
        context_tokens=("ContextTokens", "sum"),
        generated_tokens=("GeneratedTokens", "sum"),
    )
    return sums.reindex(range(int(second.max()) + 1), fill_value=0).reset_index(names="second")


def arrivals_per_tenth(originals: Path) -> pd.DataFrame:
    """Requests of every tenth of a second that has any."""
    parts = []
    for trace in TRACES:
        tenth = read_trace(originals, trace)["time_ns"] // 10**8
        counts = tenth.value_counts().sort_index()
        parts.append(
            pd.DataFrame({"trace": trace, "tenth": counts.index, "requests": counts.to_numpy()})
        )
    return pd.concat(parts, ignore_index=True)


def gap_quantiles(originals: Path) -> pd.DataFrame:
    """Gaps between requests at ``probability = (rank + 1/2) / count``; both ends repeated at 0, 1.

    With the trapezoid rule over the probability every kept gap of the tail weighs 1 / count.
    """
    parts = []
    for trace in TRACES:
        gaps = np.sort(np.diff(read_trace(originals, trace)["time_ns"])) / 1e9
        last = gaps.size - 1
        body = np.linspace(0, last, BODY_RANKS).round().astype(int)
        ranks = np.union1d(body, np.arange(last - TAIL_RANKS, last + 1))
        probability = np.concatenate([[0.0], (ranks + 0.5) / gaps.size, [1.0]])
        gap_s = gaps[np.concatenate([[0], ranks, [last]])]
        parts.append(
            pd.DataFrame(
                {"trace": trace, "probability": probability.round(8), "gap_s": gap_s.round(7)}
            )
        )
    return pd.concat(parts, ignore_index=True)


def token_histogram(originals: Path) -> pd.DataFrame:
    """Requests by token count in bins that are about equally wide on a log scale."""
    parts = []
    for trace in TRACES:
        table = read_trace(originals, trace)
        for kind, column in (("context", "ContextTokens"), ("generated", "GeneratedTokens")):
            tokens = table[column].to_numpy()
            octaves = np.arange(0, np.log2(tokens.max()) + 2, 1 / BINS_PER_OCTAVE)
            edges = np.unique(np.append(0, np.round(2.0**octaves).astype(int)))
            edges = edges[: np.searchsorted(edges, tokens.max(), side="right") + 1]
            requests, _ = np.histogram(tokens, edges)
            parts.append(
                pd.DataFrame(
                    {
                        "trace": trace,
                        "kind": kind,
                        "low_tokens": edges[:-1],
                        "high_tokens": edges[1:],
                        "requests": requests,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def appserver_hourly(originals: Path) -> pd.DataFrame:
    """Hourly requests from 2016 on (2015 is a ramp-up); missing hours stay missing here."""
    table = pd.read_csv(originals / "appserver_requests_hourly.csv.gz")
    time = pd.to_datetime(table[["year", "month", "day", "hour"]])
    keep = time >= "2016-01-01"
    return pd.DataFrame(
        {"time": time[keep].dt.strftime("%Y-%m-%d %H:%M"), "requests": table["requests"][keep]}
    )


def servegen_rates(originals: Path) -> pd.DataFrame:
    """Request rate of five model services in 10-minute windows, as released."""
    return pd.read_csv(originals / "servegen_service_rates_10min.csv.gz")


def asg_cpu(originals: Path) -> pd.DataFrame:
    """CPU of an autoscaling group, with the window that the benchmark labels as an anomaly."""
    table = pd.read_csv(originals / "nab_cpu_utilization_asg_5min.csv.gz")
    labels = json.loads((originals / "nab_anomaly_windows.json").read_text(encoding="utf-8"))
    time = pd.to_datetime(table["timestamp"])
    anomaly = pd.Series(False, index=table.index)
    for start, end in labels["realKnownCause/cpu_utilization_asg_misconfiguration.csv"]:
        anomaly |= time.between(pd.Timestamp(start), pd.Timestamp(end))
    return pd.DataFrame(
        {
            "time": time.dt.strftime("%Y-%m-%d %H:%M"),
            "cpu_percent": table["value"],
            "anomaly": anomaly.astype(int),
        }
    )


def board_watts(originals: Path, instance: str, accelerator: str) -> float:
    file, row = BOARD_OF_INSTANCE.get(instance, BOARD[accelerator])
    table = pd.read_csv(originals / file)
    column, key = ("power_w", "system") if "tensor" in file else ("thermal_design_power_w", "name")
    return float(table.loc[table[key] == row, column].iloc[0])


def catalogue(originals: Path) -> pd.DataFrame:
    """Instance types with dated list prices; the 1-year price is an average discount."""
    table = pd.read_csv(originals / "cloud_prices.csv")
    table = table[table["as_of"].notna() & (table["on_demand_usd_h"] > 0)]
    tiers = json.loads((originals / "commitment_discount_tiers.json").read_text(encoding="utf-8"))
    discount = table["provider"].map(
        {cloud: rates["1yr_no_upfront"] for cloud, rates in tiers["rates_by_cloud"].items()}
    )
    boards = [
        0.0 if pd.isna(accelerator) else board_watts(originals, instance, accelerator)
        for instance, accelerator in zip(table["instance"], table["accelerator"], strict=True)
    ]
    power = table["vcpus"] * table["provider"].map(VCPU_WATTS) + table["accelerators"] * boards
    source = table["source"] + (
        "; 1 year: on demand less " + (100 * discount).map("{:.0f}".format) + " % (average)"
    )
    three_years = np.where(
        table["reserved_3yr_usd_h"].notna(), "; 3 years: service-capacity-modeling 2026-06", ""
    )
    return pd.DataFrame(
        {
            "name": table["instance"],
            "provider": table["provider"],
            "region": table["region"],
            "vcpus": table["vcpus"],
            "memory_gib": table["mem_gib"],
            "accelerator": table["accelerator"],
            "accelerators": table["accelerators"],
            "accelerator_memory_gib": table["accelerator_mem_gib"],
            "power_w": power.round(1),
            "on_demand_usd_h": table["on_demand_usd_h"].round(6),
            "reserved_1y_usd_h": (table["on_demand_usd_h"] * (1 - discount)).round(6),
            "reserved_3y_usd_h": table["reserved_3yr_usd_h"].round(6),
            "spot_usd_h": table["spot_usd_h"].round(6),
            "as_of": table["as_of"],
            "source": source + three_years,
        }
    )


def mlperf_resnet50(originals: Path) -> pd.DataFrame:
    """Valid server runs of ResNet-50 on whole accelerators of systems that could be bought."""
    table = pd.read_csv(originals / "mlperf_inference_closed_runs.csv.gz")
    name = table["accelerator"].fillna("")
    whole = (name != "") & ~name.str.contains("MIG|GRID|-24Q")
    keep = (
        table["model"].isin(["resnet", "resnet50"])
        & (table["scenario"] == "server")
        & table["valid"]
        & (table["status"] == "available")
        & whole
    )
    table = table[keep]
    accelerators = (table["accelerators_per_node"] * table["nodes"]).astype(int)
    result = pd.DataFrame(
        {
            "accelerator": table["accelerator"]
            .str.replace(r"^(NVIDIA )?(Tesla )?", "", regex=True)
            .str.replace("PCIE", "PCIe"),
            "accelerators": accelerators,
            "round": table["round"],
            "submitter": table["submitter"],
            "system": table["system"],
            "server_qps": table["samples_per_s"].round(2),
            "server_qps_per_accelerator": (table["samples_per_s"] / accelerators).round(1),
            "mean_ms": table["mean_ms"].round(3),
            "p50_ms": table["p50_ms"].round(3),
            "p99_ms": table["p99_ms"].round(3),
            "latency_limit_ms": table["target_latency_ms"],
        }
    )
    return result.sort_values(["accelerator", "round", "submitter", "system", "server_qps"])


def llm_latency(originals: Path) -> pd.DataFrame:
    """Dated runs of aggregated replicas: concurrency known, no data parallelism inside."""
    table = pd.read_csv(originals / "llm_serving_measured_ttft_tpot.csv.gz", low_memory=False)
    keep = (
        (table["mode"] == "agg")
        & table["concurrency"].notna()
        & table["precision"].notna()
        & table["measured_on"].notna()
        & (table["attention_dp_size"].fillna(1) <= 1)
    )
    table = table[keep]
    result = pd.DataFrame(
        {
            "model": table["model_path"],
            "system": table["system"],
            "precision": table["precision"],
            "backend": table["backend"],
            "backend_version": table["backend_version"],
            "isl": table["isl"].astype(int),
            "osl": table["osl"].astype(int),
            "tp": table["tp_size"].astype(int),
            "ep": table["moe_ep_size"].fillna(1).astype(int),
            "concurrency": table["concurrency"].astype(int),
            "ttft_ms": table["silicon_ttft_ms"].round(2),
            "tpot_ms": table["silicon_tpot_ms"].round(3),
            "measured_on": table["measured_on"],
        }
    )
    return result.drop_duplicates().sort_values(list(result.columns))


def read_idx(path: Path, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def mnist_digits(originals: Path) -> bytes:
    """The first 500 digits of each class of MNIST's training part, 100 a class held out."""
    folder = originals / "mnist"
    images = read_idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz", 8)
    chosen = np.array([np.flatnonzero(labels == digit)[:DIGITS_PER_CLASS] for digit in range(10)])
    held_out = DIGITS_PER_CLASS - HELD_OUT_PER_CLASS
    train, test = np.sort(chosen[:, :held_out], axis=None), np.sort(chosen[:, held_out:], axis=None)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
    )
    return buffer.getvalue()


def csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def csv_gz(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as file:
        file.write(csv(table))
    return buffer.getvalue()


TABLES: dict[str, Callable[[Path], bytes]] = {
    "azure_llm_2023_chat_per_second.csv.gz": lambda o: csv_gz(arrivals_per_second(o, "chat")),
    "azure_llm_2023_code_per_second.csv.gz": lambda o: csv_gz(arrivals_per_second(o, "code")),
    "azure_llm_2023_per_tenth.csv.gz": lambda o: csv_gz(arrivals_per_tenth(o)),
    "azure_llm_2023_gap_quantiles.csv.gz": lambda o: csv_gz(gap_quantiles(o)),
    "azure_llm_2023_token_histogram.csv": lambda o: csv(token_histogram(o)),
    "appserver_requests_hourly.csv.gz": lambda o: csv_gz(appserver_hourly(o)),
    "servegen_service_rates_10min.csv.gz": lambda o: csv_gz(servegen_rates(o)),
    "asg_cpu_5min.csv.gz": lambda o: csv_gz(asg_cpu(o)),
    "catalogue.csv": lambda o: csv(catalogue(o)),
    "mlperf_resnet50_server.csv": lambda o: csv(mlperf_resnet50(o)),
    "llm_serving_latency.csv.gz": lambda o: csv_gz(llm_latency(o)),
    "mnist_5000.npz": mnist_digits,
}


def build(originals: Path, target: Path) -> None:
    """Write every table and the manifest into ``target``."""
    manifest = {}
    for name, make in TABLES.items():
        content = make(originals)
        (target / name).write_bytes(content)
        manifest[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        print(f"{len(content):>9,} bytes  {name}")
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    (target / "manifest.json").write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=Path(__file__).resolve().parent)
    target = parser.parse_args().target
    folder = os.environ.get("CAPKIT_DATA")
    if not folder:
        parser.error("set the environment variable CAPKIT_DATA to the folder of the originals")
    build(Path(folder), target)


if __name__ == "__main__":
    main()
