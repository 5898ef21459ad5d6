"""From measurements, forecast and prices to a plan that has been tried before it is believed."""

from capkit.planning.candidates import Candidate, judge_candidates, linear_servers
from capkit.planning.capacity_plan import CapacityPlan, plan
from capkit.planning.cli import main, plan_from_products
from capkit.planning.estimates import network_bits_s, storage_bytes, transfer_s
from capkit.planning.replay import Replay, mean_of, minute_rates, replay, service_law
from capkit.planning.report import (
    day_table,
    evidence_table,
    plot_plan,
    purchase_table,
    to_html,
    to_markdown,
)  # fmt: skip
from capkit.planning.sizing import (
    SLO,
    carried_rates,
    cpu_options,
    forecast_rates,
    needed_servers,
    on_one_vcpu,
    probability_below,
)  # fmt: skip

__all__ = [
    "SLO", "Candidate", "CapacityPlan", "Replay", "carried_rates", "cpu_options", "day_table",
    "evidence_table", "forecast_rates", "judge_candidates", "linear_servers", "main", "mean_of",
    "minute_rates", "needed_servers", "network_bits_s", "on_one_vcpu", "plan", "plan_from_products",
    "plot_plan", "probability_below", "purchase_table", "replay", "service_law", "storage_bytes",
    "to_html", "to_markdown", "transfer_s",
]  # fmt: skip
