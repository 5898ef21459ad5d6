"""Queueing formulas, exact where an exact one exists: Erlang, M/M/c and its relatives, sizing, closed systems."""

from capkit.queueing.constant import MDc, mdc_mean_wait
from capkit.queueing.erlang import (
    erlang_b,
    erlang_b_load,
    erlang_b_servers,
    erlang_c,
    erlang_c_load,
    erlang_c_servers,
    servers_for_stability,
)
from capkit.queueing.finite import MMcK
from capkit.queueing.ledger import (
    Calibration,
    error_table,
    latency_figures,
    ledger_rows,
    predicted_figures,
    staircase,
)
from capkit.queueing.models import GGc, MGc, MMc
from capkit.queueing.networks import USL, ClosedNetwork, fit_usl, mva
from capkit.queueing.single import MG1
from capkit.queueing.sizing import Target, halfin_whitt, max_rate, min_servers, square_root_servers
from capkit.queueing.varying import pointwise_wait

__all__ = [
    "MG1", "USL", "Calibration", "ClosedNetwork", "GGc", "MDc", "MGc", "MMc", "MMcK", "Target", "erlang_b",
    "erlang_b_load", "erlang_b_servers", "erlang_c", "erlang_c_load", "erlang_c_servers", "error_table",
    "fit_usl", "halfin_whitt", "latency_figures", "ledger_rows", "max_rate", "mdc_mean_wait",
    "min_servers", "mva", "pointwise_wait", "predicted_figures", "servers_for_stability", "square_root_servers", "staircase",
]  # fmt: skip
