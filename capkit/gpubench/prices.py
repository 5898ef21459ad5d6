"""What a million images cost on an accelerator at a latency limit, beside a published benchmark of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capkit.gpubench.records import NOT_MEASURED, label, of_device, rate_within

RESNET50_GFLOP = 7.6
"""Operations of one image: 3.8e9 multiply-adds, K. He et al., Deep residual learning, CVPR 2016, table 1."""


def usd_per_million(usd_h: float, images_per_s: float) -> float:
    """Cost of a million images on a machine that is always busy.

    >>> usd_per_million(3.6, 1000.0)
    1.0
    """
    return usd_h / (3600 * images_per_s) * 1e6


def price_accelerators(
    records: pd.DataFrame,
    catalogue: pd.DataFrame,
    mlperf: pd.DataFrame,
    accelerators: Sequence[str],
    limit_ms: float,
) -> pd.DataFrame:
    """Cost per million images of the course's CNN by our record, and of ResNet-50 by MLPerf.

    Parameters
    ----------
    records : DataFrame
        From `capkit.gpubench.committed`; an accelerator without a row in it is "not measured".
    catalogue : DataFrame
        Of `capkit.datasets.load_catalogue`; the type with the cheapest such accelerator is taken.
    mlperf : DataFrame
        Of `capkit.datasets.load_mlperf_resnet50`: the median of the results per accelerator.
    accelerators : sequence of str
        Names as in the catalogue.
    limit_ms : float
        Latency limit of our images; MLPerf's own is 15 ms for the p99.

    Returns
    -------
    DataFrame
        Index ``accelerator``, with the record's back end in brackets; ``instance``, ``usd_h`` (of one accelerator), ``images_per_s``,
        ``usd_per_million``, ``gflop_per_s`` of our CNN in float32 by full batches within the limit
        (`rate_within`, copies included), and the same three with ``resnet50_`` in front, by MLPerf.

    Raises
    ------
    ValueError
        An accelerator that the catalogue has no price of, or a limit that no recorded batch meets.
    """
    from capkit.training import count_cnn

    gflop = count_cnn()["flops_per_image"].sum() / 1e9
    rows = []
    for name in accelerators:
        sold = catalogue[(catalogue["accelerator"] == name) & (catalogue["on_demand_usd_h"] > 0)]
        if sold.empty:
            known = ", ".join(sorted(set(catalogue["accelerator"]) - {""}))
            raise ValueError(f"no price of a {name}; accelerators in the catalogue: {known}")
        each = sold["on_demand_usd_h"] / sold["accelerators"]
        row = {
            "accelerator": label(records, name),
            "instance": sold.at[each.idxmin(), "name"],
            "usd_h": each.min(),
        }
        rows.append(row)
        recorded = of_device(records, name, "inference")
        chips = mlperf["accelerator"].str.fullmatch(rf"{name}(?:[- ].*)?")
        rates = {
            "": rate_within(recorded.index, recorded["whole_ms"], limit_ms)
            if len(recorded)
            else np.nan,
            "resnet50_": mlperf.loc[chips, "server_qps_per_accelerator"].median(),
        }
        for prefix, rate in rates.items():
            row[f"{prefix}images_per_s"] = rate
            row[f"{prefix}usd_per_million"] = usd_per_million(row["usd_h"], rate)
            row[f"{prefix}gflop_per_s"] = rate * (RESNET50_GFLOP if prefix else gflop)
    table = pd.DataFrame(rows).set_index("accelerator")
    return table.astype(object).where(table.notna(), NOT_MEASURED)
