"""The arithmetic of the Kubernetes HorizontalPodAutoscaler (autoscaling/v2), step by step.

Facts from the Kubernetes documentation, "Horizontal Pod Autoscaling", and from the behaviour that the
tests of ``pkg/controller/podautoscaler`` fix: which pods count, the ratio, several metrics, the
stabilisation windows, the scaling policies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pod:
    """What the autoscaler knows of one pod.

    Parameters
    ----------
    usage : float or None
        CPU use as a share of the request; None without a metric.
    ready : bool
        Whether its readiness probe succeeds.
    age_s : float
        Seconds since it started.
    unchanged_s : float
        Seconds since its readiness last changed.
    pending : bool
        Not started yet.
    window_s, sample_age_s : float
        The metric covers so many seconds, and ended so many seconds ago.
    """

    usage: float | None
    ready: bool = True
    age_s: float = math.inf
    unchanged_s: float = math.inf
    pending: bool = False
    window_s: float = 15.0
    sample_age_s: float = 0.0


def group_pods(
    pods: Sequence[Pod], *, initialization_s: float = 300.0, initial_delay_s: float = 30.0
) -> tuple[list[float], int, int]:
    """Sort pods as the autoscaler does for CPU: use of those that count, how many are unready, how many
    lack a metric. Failed and deleted pods are to be left out.

    Parameters
    ----------
    pods : sequence of Pod
        All pods.
    initialization_s : float
        CPU of a pod younger than this counts only while it is ready, and only if it was for a whole window.
    initial_delay_s : float
        A pod past that time counts, ready or not, if it was ever ready: its readiness changed later than
        so many seconds after its start.

    >>> group_pods([Pod(0.5), Pod(0.9, ready=False, age_s=60.0, unchanged_s=60.0), Pod(None)])
    ([0.5], 1, 1)
    """
    usage, unready, missing = list[float](), 0, 0
    for pod in pods:
        if pod.pending:
            unready += 1
        elif pod.usage is None:
            missing += 1
        elif pod.age_s < initialization_s:
            fresh = pod.ready and pod.unchanged_s - pod.sample_age_s >= pod.window_s
            usage += [pod.usage] * fresh
            unready += not fresh
        else:
            never = not pod.ready and pod.age_s - pod.unchanged_s < initial_delay_s
            usage += [pod.usage] * (not never)
            unready += never
    return usage, unready, missing


def hpa_replicas(
    usage: Sequence[float],
    target: float,
    *,
    unready: int = 0,
    missing: int = 0,
    tolerance: float = 0.1,
) -> int:
    """Replicas that the autoscaler wants for CPU, before stabilisation and limits.

    ``ceil(pods * use / target)``. Use and target are whole percents there, cut off, and so here.

    Parameters
    ----------
    usage : sequence of float
        CPU use of each ready pod that has a metric, as a share of its request; `ValueError` if empty.
    target : float
        Wanted mean use, as a share of the request.
    unready, missing : int
        Pods not ready yet: left out when scaling down, idle when scaling up. Ready pods without a
        metric: fully used (at the target, if that is higher) when scaling down, idle when scaling up.
    tolerance : float
        No change while the ratio of use to target is this close to 1.

    The documentation's own: 200m against 100m doubles, 50m halves, and within a tenth nothing happens.

    >>> hpa_replicas([0.2, 0.2], 0.1), hpa_replicas([0.05, 0.05], 0.1), hpa_replicas([0.54], 0.5)
    (4, 1, 1)
    """
    if not usage or not target > 0.0:
        raise ValueError(
            f"a ready pod with a metric and a positive target are needed, got {target}"
        )
    pods = len(usage) + missing + unready

    def ratio(values: Sequence[float]) -> float:
        percent = math.floor(100.0 * math.fsum(values) / len(values) + 1e-9)
        return percent / math.floor(100.0 * target + 1e-9)

    first, counted = ratio(usage), list(usage)
    if missing and first != 1.0:
        counted += [max(1.0, target) if first < 1.0 else 0.0] * missing
    if unready and first > 1.0:
        counted += [0.0] * unready
    second = ratio(counted)
    turned = (first - 1.0) * (second - 1.0) < 0.0
    if turned or abs(1.0 - second) <= tolerance + 1e-12:
        return pods
    wanted = math.ceil(second * len(counted))
    return pods if (second - 1.0) * (wanted - pods) < 0.0 else wanted


def external_replicas(value: float, per_pod: float, current: int, *, tolerance: float = 0.1) -> int:
    """Replicas for a metric of the whole service with a target a pod (an AverageValue), as KEDA hands over.

    ``ceil(value / per_pod)``, and no change while ``value`` is within the tolerance of ``current * per_pod``.

    >>> external_replicas(20_000, 5_000, 3), external_replicas(20_166, 5_000, 4)
    (4, 4)
    """
    if not per_pod > 0.0:
        raise ValueError(f"per_pod must be positive, got {per_pod}")
    if current and abs(1.0 - value / (per_pod * current)) <= tolerance:
        return current
    return math.ceil(value / per_pod - 1e-9)


def combined(proposals: Sequence[int | None], current: int) -> int:
    """The largest proposal of several metrics; None is a metric that could not be read.

    A missing metric may hide a need: nothing is removed then, and nothing changes if all are missing.

    >>> combined([3, 7], 5), combined([3, None], 5), combined([7, None], 5), combined([None], 5)
    (7, 5, 7, 5)
    """
    known = [count for count in proposals if count is not None]
    if len(known) == len(proposals):
        return max(known)
    return max([current, *known])


@dataclass(frozen=True)
class Policy:
    """At most ``value`` pods, or percent of them, in any ``period_s`` seconds.

    >>> Policy("Furlongs", 1, 60.0)
    Traceback (most recent call last):
    ValueError: kind must be 'Pods' or 'Percent', got 'Furlongs'
    """

    kind: str
    value: int
    period_s: float

    def __post_init__(self) -> None:
        if self.kind not in ("Pods", "Percent"):
            raise ValueError(f"kind must be 'Pods' or 'Percent', got {self.kind!r}")


@dataclass(frozen=True)
class Rules:
    """``behavior.scaleUp`` or ``behavior.scaleDown``: policies, which of them wins, the window.

    Parameters
    ----------
    policies : tuple of Policy
        Limits on the change.
    select : str
        "Max" takes the policy that allows most, "Min" the one that allows least, "Disabled" no change.
    stabilization_s : float
        Follow the most cautious recommendation of so many seconds.
    """

    policies: tuple[Policy, ...]
    select: str = "Max"
    stabilization_s: float = 0.0

    def __post_init__(self) -> None:
        if self.select not in ("Max", "Min", "Disabled") or not self.policies:
            raise ValueError(
                "rules need a policy and select 'Max', 'Min' or 'Disabled', "
                f"got {len(self.policies)} and {self.select!r}"
            )

    def to_dict(self) -> dict[str, object]:
        """The rules as they stand in a manifest."""
        policies = [
            {"type": p.kind, "value": p.value, "periodSeconds": round(p.period_s)}
            for p in self.policies
        ]
        return {
            "stabilizationWindowSeconds": round(self.stabilization_s),
            "selectPolicy": self.select,
            "policies": policies,
        }


#: the defaults of autoscaling/v2
UP = Rules((Policy("Pods", 4, 15.0), Policy("Percent", 100, 15.0)))
DOWN = Rules((Policy("Percent", 100, 15.0),), stabilization_s=300.0)

Aged = Sequence[tuple[float, int]]


def stabilized(
    current: int, wanted: int, recommended: Aged, *, up_s: float = 0.0, down_s: float = 300.0
) -> int:
    """The count after the windows: not above the lowest recommendation of the last ``up_s`` seconds, not
    below the highest of the last ``down_s``.

    Parameters
    ----------
    current, wanted : int
        Replicas now, and the newest recommendation.
    recommended : sequence of (float, int)
        Earlier recommendations: age in seconds, replicas.

    >>> stabilized(10, 4, [(60.0, 8), (400.0, 10)])
    8
    """
    lowest = min([wanted, *(count for age, count in recommended if age <= up_s)])
    highest = max([wanted, *(count for age, count in recommended if age <= down_s)])
    return min(max(current, lowest), highest)


def limited(
    current: int, wanted: int, changes: Aged = (), *, up: Rules = UP, down: Rules = DOWN
) -> int:
    """The count that the scaling policies allow.

    Parameters
    ----------
    current, wanted : int
        Replicas now and wanted.
    changes : sequence of (float, int)
        Earlier changes: age in seconds, replicas added (negative: removed).

    >>> limited(1, 50), limited(10, 50), limited(10, 0)
    (5, 20, 0)
    """
    rules = up if wanted > current else down
    if rules.select == "Disabled":
        return current
    allowed = []
    for policy in rules.policies:
        before = current - sum(change for age, change in changes if age < policy.period_s)
        sign = 1 if wanted > current else -1
        if policy.kind == "Pods":
            allowed.append(before + sign * policy.value)
        else:
            share = before * (1.0 + sign * policy.value / 100.0)
            allowed.append(math.ceil(share - 1e-9) if sign > 0 else int(share + 1e-9))
    if wanted > current:
        most = max(allowed) if rules.select == "Max" else min(allowed)
        return min(wanted, max(most, current))
    least = min(allowed) if rules.select == "Max" else max(allowed)
    return max(wanted, min(least, current))
