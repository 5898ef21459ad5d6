"""From measurements, forecast and prices to a plan that has been tried before it is believed."""

from capkit.planning.accelerators import LLMServer, accelerator_options, llm_server
from capkit.planning.candidates import Candidate, judge_candidates, linear_servers
from capkit.planning.capacity_plan import CapacityPlan
from capkit.planning.cli import ledger_hashes, main, plan_from_products
from capkit.planning.inputs import forecast_table, plan_from_files, read_profile
from capkit.planning.packing import Packing, first_fit_decreasing, least_hosts, pack
from capkit.planning.planner import plan
from capkit.planning.problem import Problem, what_would_change
from capkit.planning.replay import DISPATCH, Replay, mean_of, minute_rates, replay, service_law
from capkit.planning.report import (
    change_table,
    day_table,
    evidence_table,
    plot_plan,
    purchase_table,
    to_html,
    to_json,
    to_markdown,
)  # fmt: skip
from capkit.planning.resources import (
    network_bits_s,
    request_needs,
    round_trip_s,
    storage_bytes,
    transfer_s,
)  # fmt: skip
from capkit.planning.sizing import (
    SLO,
    carried_rates,
    cpu_options,
    forecast_at,
    forecast_rates,
    needed_servers,
    on_one_vcpu,
    probability_below,
)  # fmt: skip
from capkit.planning.training import TrainingPlan, all_reduce_s, plan_training
from capkit.planning.trials import ready_servers, servers_by_zone, starts, zone_failures
from capkit.planning.uncertainty import (
    Outlook,
    Unknown,
    bootstrap_peaks,
    judge_uncertainty,
    lognormal_factors,
    outlook,
)  # fmt: skip
from capkit.planning.variants import judge_variants
from capkit.planning.wrong import wrong_needs, wrong_plans

__all__ = [
    "DISPATCH", "SLO",
    "Candidate",
    "CapacityPlan",
    "LLMServer",
    "Outlook",
    "Packing",
    "Problem",
    "Replay",
    "TrainingPlan",
    "Unknown",
    "accelerator_options",
    "all_reduce_s",
    "bootstrap_peaks",
    "carried_rates",
    "change_table",
    "cpu_options",
    "day_table",
    "evidence_table",
    "first_fit_decreasing",
    "forecast_at",
    "forecast_rates",
    "forecast_table",
    "judge_candidates",
    "judge_uncertainty", "judge_variants",
    "least_hosts", "ledger_hashes",
    "linear_servers",
    "llm_server",
    "lognormal_factors",
    "main",
    "mean_of",
    "minute_rates",
    "needed_servers",
    "network_bits_s",
    "on_one_vcpu",
    "outlook",
    "pack",
    "plan",
    "plan_from_files",
    "plan_from_products",
    "plan_training",
    "plot_plan",
    "probability_below",
    "purchase_table",
    "read_profile",
    "ready_servers",
    "replay",
    "request_needs",
    "round_trip_s",
    "servers_by_zone",
    "service_law",
    "starts",
    "storage_bytes",
    "to_html",
    "to_json",
    "to_markdown",
    "transfer_s",
    "what_would_change",
    "wrong_needs",
    "wrong_plans",
    "zone_failures",
]  # fmt: skip
