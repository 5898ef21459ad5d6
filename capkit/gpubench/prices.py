"""What a million images cost on an accelerator at a latency limit, beside a published benchmark of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capkit.gpubench.records import NOT_MEASURED, label, of_device

NONE_WITHIN = "none within the limit"
RESNET50_GFLOP = 7.6
"""Operations of one image: 3.8e9 multiply-adds, K. He et al., Deep residual learning, CVPR 2016, table 1."""


def usd_per_million(usd_h: float, images_per_s: float) -> float:
    """Cost of a million images on a machine that is always busy.

    >>> usd_per_million(3.6, 1000.0)
    1.0
    """
    return usd_h / (3600 * images_per_s) * 1e6


def rate_within(
    batch_sizes: Sequence[float],
    times_ms: Sequence[float],
    p99_ms: Sequence[float],
    limit_ms: float,
) -> float:
    """Images a second that full batches carry while 99 % of the batches are fast enough for a limit (bound).

    An image that comes just after a batch began waits for that batch and then for its own. So a recorded
    size fits whose p99 is at most half of the limit: an image is late only if one of its two batches is among
    the slowest 1 %. The rate is that of the median, the best among the sizes that fit; NaN where none does.
    With less load than that the batches are smaller, and faster.

    Examples
    --------
    >>> rate_within([1, 32, 256], [0.5, 1.0, 20.0], [0.6, 1.5, 30.0], limit_ms=50.0)
    32000.0
    >>> rate_within([1], [0.5], [0.6], limit_ms=1.0)
    nan
    """
    rates = [
        1e3 * size / ms
        for size, ms, slow_ms in zip(batch_sizes, times_ms, p99_ms, strict=True)
        if 2 * slow_ms <= limit_ms
    ]
    return max(rates, default=float("nan"))


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
        Latency limit of our images by `rate_within`; MLPerf's own is 15 ms for the p99.

    Returns
    -------
    DataFrame
        Index ``accelerator``, with the record's back end in brackets; ``instance``, ``usd_h`` (of one
        accelerator), ``images_per_s``, ``usd_per_million``, ``gflop_per_s`` of our CNN in float32 by full
        batches within the limit (copies included; "none within the limit" where no recorded batch is), and
        the same three with ``resnet50_`` in front, by MLPerf.

    Raises
    ------
    ValueError
        An accelerator that the catalogue has no price of.
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
        own = rate_within(recorded.index, recorded["whole_ms"], recorded["whole_p99_ms"], limit_ms)
        published = mlperf.loc[chips, "server_qps_per_accelerator"].median()
        for prefix, rate, gflop_image, without in (
            ("", own, gflop, NONE_WITHIN if len(recorded) else NOT_MEASURED),
            ("resnet50_", published, RESNET50_GFLOP, NOT_MEASURED),
        ):
            figures = {
                "images_per_s": rate,
                "usd_per_million": usd_per_million(row["usd_h"], rate),
                "gflop_per_s": rate * gflop_image,
            }
            row |= {f"{prefix}{name}": without if np.isnan(x) else x for name, x in figures.items()}
    return pd.DataFrame(rows).set_index("accelerator").astype(object)
