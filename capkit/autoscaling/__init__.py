"""Controllers that change the number of servers while demand moves, behind one interface.

A controller sees a `State` once a step and answers with the number of servers it wants; `simulate`
orders and removes them, with the start-up delay, and replays the requests against what was ready.
`manifests` writes the fleet and its controller down for Kubernetes.
"""

from capkit.autoscaling.controllers import (
    HPA,
    SYNC_S,
    Controller,
    Scheduled,
    State,
    Static,
    hpa_replicas,
)
from capkit.autoscaling.manifests import manifests
from capkit.autoscaling.operation import Operation, compare, simulate

__all__ = [
    "HPA",
    "SYNC_S",
    "Controller",
    "Operation",
    "Scheduled",
    "State",
    "Static",
    "compare",
    "hpa_replicas",
    "manifests",
    "simulate",
]
