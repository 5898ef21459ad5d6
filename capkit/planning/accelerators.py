"""Servers on accelerators: the machines that carry them, and an LLM replica as a server with many places."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from capkit.serving import ServiceProfile

BYTES_A_TOKEN = 4


def accelerator_options(
    catalogue: pd.DataFrame, accelerator: str, *, each: int = 1
) -> pd.DataFrame:
    """Machine types with an accelerator, ``capacity`` in servers that take ``each`` of them.

    Parameters
    ----------
    catalogue : DataFrame
        From `capkit.datasets.load_catalogue`.
    accelerator : str
        Its name there, such as "T4".
    each : int
        Accelerators of one server.

    Raises
    ------
    ValueError
        No such accelerator, or no machine with so many and a price; it names those that there are.

    >>> from capkit.datasets import load_catalogue
    >>> options = accelerator_options(load_catalogue(provider="aws"), "H100", each=4)
    >>> options[["name", "capacity"]].to_numpy().tolist()
    [['p5.48xlarge', 2]]
    """
    if each < 1:
        raise ValueError(f"each must be at least 1 accelerator, got {each}")
    table = catalogue[
        (catalogue["accelerator"] == accelerator) & catalogue["on_demand_usd_h"].gt(0)
    ]
    table = table.assign(capacity=table["accelerators"] // each)
    table = table[table["capacity"] > 0].rename(columns={"on_demand_usd_h": "cost_usd_h"})
    if table.empty:
        known = sorted(set(catalogue["accelerator"]) - {""})
        raise ValueError(
            f"no machine with {each} x {accelerator!r} and a price among the {len(catalogue)} types; "
            f"accelerators there: {', '.join(known) or 'none'}"
        )
    prices = [column for column in table if column.endswith("_usd_h")]
    return table[["name", *prices, "capacity"]].reset_index(drop=True)


@dataclass(frozen=True)
class LLMServer:
    """A replica that works on ``places`` requests at once, as `capkit.planning.plan` takes it."""

    profile: ServiceProfile
    """Its ``overhead_s`` is the time to the first token of a request that finds a place."""
    service_times: pd.DataFrame = field(repr=False)
    """Quantiles of the time that a request holds its place."""
    places: int
    accelerators: int
    first_token_ms: float
    token_ms: float


def llm_server(
    latency: pd.DataFrame,
    context: pd.DataFrame,
    generated: pd.DataFrame,
    *,
    first_token_ms: float,
    token_ms: float,
) -> LLMServer:
    """The replica with the most places whose measured times leave room for both targets.

    A request holds a place from its first token on: time to the first token, and the time per output token
    for each further one, both as measured with all places taken (the unfavourable case).

    Parameters
    ----------
    latency : DataFrame
        Rows of `capkit.datasets.load_llm_latency` of one model, system, precision and back end, with one
        pair of input and output length, and one number of accelerators.
    context, generated : DataFrame
        Histograms of input and output tokens, of `capkit.datasets.load_token_histogram`.
    first_token_ms, token_ms : float
        Targets: half of the first may go to the measured time to the first token, the rest to the wait.

    Raises
    ------
    ValueError
        The rows are of more than one replica, or none of them meets the targets.
    """
    same = ["model", "system", "precision", "backend", "isl", "osl", "tp"]
    kinds = latency[same].drop_duplicates()
    if len(kinds) != 1:
        raise ValueError(
            f"latency must hold one replica by {', '.join(same)}; it holds {len(kinds)}"
        )
    fast = latency[(latency["ttft_ms"] <= first_token_ms / 2.0) & (latency["tpot_ms"] <= token_ms)]
    if fast.empty:
        best = latency[["ttft_ms", "tpot_ms"]].min()
        raise ValueError(
            f"no measured concurrency gives the first token within {first_token_ms / 2.0:g} ms and each "
            f"further one within {token_ms:g} ms; the best are {best['ttft_ms']:g} and {best['tpot_ms']:g} "
            "ms: relax a target, or take another system"
        )
    row = fast.loc[fast["concurrency"].idxmax()]
    tokens = np.append(generated["low_tokens"].iloc[0], generated["high_tokens"]).astype(float)
    probability = np.append(0.0, generated["requests"].cumsum() / generated["requests"].sum())
    service_ms = row["ttft_ms"] + np.maximum(tokens - 1.0, 0.0) * row["tpot_ms"]
    middle, weight = 0.5 * (service_ms[1:] + service_ms[:-1]), np.diff(probability)
    mean_ms = float(middle @ weight)
    variance = float((middle - mean_ms) ** 2 @ weight)
    means = [_mean_tokens(histogram) for histogram in (context, generated)]
    profile = ServiceProfile(
        service_time_s=mean_ms / 1000.0,
        service_cv2=variance / mean_ms**2,
        overhead_s=float(row["ttft_ms"]) / 1000.0,
        fixed_s=float(row["ttft_ms"]) / 1000.0,
        per_image_s=float(row["tpot_ms"]) / 1000.0,
        max_batch_linear=int(row["concurrency"]),
        throughput_rps=1000.0 / mean_ms,
        request_bytes=round(BYTES_A_TOKEN * means[0]),
        response_bytes=round(BYTES_A_TOKEN * means[1]),
        cpu_s_per_request=None,
        memory_mib=None,
        backend=str(row["backend"]),
        device=f"{row['tp']} x {row['system']}",
    )
    times = pd.DataFrame({"probability": probability, "service_ms": service_ms})
    return LLMServer(
        profile,
        times,
        int(row["concurrency"]),
        int(row["tp"]),
        float(row["ttft_ms"]),
        float(row["tpot_ms"]),
    )


def _mean_tokens(histogram: pd.DataFrame) -> float:
    middle = 0.5 * (histogram["low_tokens"] + histogram["high_tokens"] - 1)
    return float((middle * histogram["requests"]).sum() / histogram["requests"].sum())
