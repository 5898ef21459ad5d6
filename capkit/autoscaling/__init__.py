"""Controllers that change the number of servers while demand moves, behind one interface.

A controller sees a `State` once a step and answers with the number of servers it wants; `simulate`
orders and removes them, with the start-up delay, and serves the requests with what is ready.
`rollout` and `zone_loss` move load; `manifests` writes the fleet and its controller down for Kubernetes.
"""

from capkit.autoscaling.controllers import (
    HPA,
    SYNC_S,
    Controller,
    Hybrid,
    QueueLength,
    Scheduled,
    State,
    Static,
)
from capkit.autoscaling.hpa import (
    DOWN,
    UP,
    Pod,
    Policy,
    Rules,
    combined,
    external_replicas,
    group_pods,
    hpa_replicas,
    limited,
    stabilized,
)
from capkit.autoscaling.manifests import batch_settings, manifests
from capkit.autoscaling.migration import Migration, pool_move, rollout, servers_needed, zone_loss
from capkit.autoscaling.operation import Operation, compare, pareto, simulate

__all__ = [
    "DOWN", "HPA", "SYNC_S", "UP", "Controller", "Hybrid", "Migration", "Operation", "Pod",
    "Policy", "QueueLength", "Rules", "Scheduled", "State", "Static", "batch_settings", "combined",
    "compare", "external_replicas", "group_pods", "hpa_replicas", "limited", "manifests", "pareto", "pool_move",
    "rollout", "servers_needed", "simulate", "stabilized", "zone_loss",
]  # fmt: skip
