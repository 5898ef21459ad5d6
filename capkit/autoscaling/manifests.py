"""The fleet and its controller as Kubernetes manifests, with the server's own configuration files."""

from __future__ import annotations

import math
from typing import Any

from capkit.autoscaling.hpa import DOWN, UP, Rules
from capkit.planning import SLO
from capkit.serving import ServiceProfile
from capkit.serving.batching import Batching
from capkit.serving.metrics import Monitoring


def batch_settings(
    service: ServiceProfile, slo: SLO, rate: float, *, utilization: float = 0.6
) -> Batching:
    """Batching of one server, from its profile: the smallest batch that carries the rate in time.

    A batch of b takes ``fixed_s + per_image_s * b`` seconds and fills in ``(b - 1) / rate``; a request is
    taken to meet the filling, a batch in execution, and its own. What queues beyond that,
    `capkit.simulation.simulate_batches` knows.

    Parameters
    ----------
    service : ServiceProfile
        Its batch line and the latency outside the server.
    slo : SLO
        Latency target.
    rate : float
        Requests a second of this server; `ValueError` if no batch on the measured line carries it.
    utilization : float
        Highest busy share at that rate.

    >>> profile = ServiceProfile(8e-4, 0.3, 1e-3, 6e-4, 2e-5, 64, 1000.0, 3200, 110, 9e-4, 600.0, "x", "cpu")
    >>> settings = batch_settings(profile, SLO(0.99, 0.05), 4000.0)
    >>> settings.max_batch_size, settings.batch_timeout_micros, settings.allowed_batch_sizes
    (8, 1750, (1, 2, 4, 8))
    """
    if not rate > 0.0:
        raise ValueError(f"rate must be positive, got {rate}")
    sizes = [2**k for k in range(int(math.log2(service.max_batch_linear)) + 1)]
    for place, size in enumerate(sizes):
        busy_s = service.fixed_s + service.per_image_s * size
        fill_s = (size - 1) / rate
        in_time = fill_s + 2.0 * busy_s + service.overhead_s <= slo.latency_s
        if in_time and rate * busy_s <= utilization * size:
            return Batching(
                max_batch_size=size,
                batch_timeout_micros=round(1e6 * fill_s),
                max_enqueued_batches=max(math.ceil(slo.latency_s / busy_s), 1),
                num_batch_threads=1,
                allowed_batch_sizes=tuple(sizes[: place + 1]),
            )
    most = sizes[-1] / (service.fixed_s + service.per_image_s * sizes[-1])
    raise ValueError(
        f"no batch up to {sizes[-1]} carries {rate:.6g} requests/s at {utilization:.0%} within "
        f"{1000 * slo.latency_s:.3g} ms; the largest does {most:.6g} requests/s when always busy: more servers"
    )


def manifests(
    name: str,
    *,
    minimum: int,
    maximum: int,
    memory_mib: int,
    target: float = 0.6,
    image: str = "tensorflow/serving:2.19.1",
    zones: int = 2,
    startup_s: float = 120.0,
    drain_s: float = 30.0,
    batching: Batching | None = None,
    up: Rules = UP,
    down: Rules = DOWN,
) -> dict[str, str]:
    """Kubernetes manifests of a fleet, as YAML text by file name, to be applied together.

    A Deployment whose pods have probes, resources and a place in every zone; its Service; a ConfigMap with
    TensorFlow Serving's batching and monitoring files; a PodDisruptionBudget; a HorizontalPodAutoscaler.
    The model is read from the PersistentVolumeClaim ``NAME-model``.

    Parameters
    ----------
    name : str
        Name of the service and of the model it serves.
    minimum, maximum : int
        Replicas, one a planned server: the plan's smallest and largest hour.
    memory_mib : int
        Memory of one replica; it takes one CPU.
    target : float
        Mean CPU utilisation that the autoscaler holds.
    image : str
        Container image of the server.
    zones : int
        Zones that the replicas are spread over evenly; `ValueError` if there are fewer replicas.
    startup_s, drain_s : float
        A pod may take twice the start-up before it is killed; a pod that stops has so long to answer.
    batching : Batching, optional
        Batching parameters (`batch_settings`); none without it.
    up, down : Rules
        The autoscaler's behaviour.

    >>> files = manifests("digits", minimum=4, maximum=20, memory_mib=700)
    >>> sorted(files)
    ['configmap.yaml', 'deployment.yaml', 'hpa.yaml', 'pdb.yaml', 'service.yaml']
    >>> print(files["pdb.yaml"].splitlines()[1])
    kind: PodDisruptionBudget
    """
    if not 1 <= zones <= minimum <= maximum:
        raise ValueError(
            f"zones <= minimum <= maximum must hold, got {zones}, {minimum}, {maximum}"
        )
    labels = {"app": name}
    selector = {"matchLabels": labels}
    files = {"monitoring.txt": Monitoring().to_text()}
    arguments = [
        f"--model_name={name}",
        f"--model_base_path=/models/{name}",
        "--monitoring_config_file=/config/monitoring.txt",
        "--tensorflow_intra_op_parallelism=1",
        "--tensorflow_inter_op_parallelism=1",
    ]
    if batching:
        files["batching.txt"] = batching.to_text()
        arguments += ["--enable_batching", "--batching_parameters_file=/config/batching.txt"]
    share = {"cpu": "1", "memory": f"{memory_mib}Mi"}
    answers: dict[str, Any] = {"httpGet": {"path": f"/v1/models/{name}", "port": "rest"}}
    container = {
        "name": "server",
        "image": image,
        "args": arguments,
        "ports": [
            {"name": "grpc", "containerPort": 8500},
            {"name": "rest", "containerPort": 8501},
        ],
        "resources": {"requests": share, "limits": share},
        "startupProbe": answers
        | {"periodSeconds": 5, "failureThreshold": math.ceil(2 * startup_s / 5) or 1},
        "readinessProbe": answers | {"periodSeconds": 5},
        "livenessProbe": answers | {"periodSeconds": 10, "failureThreshold": 6},
        # the Service forgets a pod a moment after it is told to stop
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        "volumeMounts": [
            {"name": "model", "mountPath": f"/models/{name}", "readOnly": True},
            {"name": "config", "mountPath": "/config", "readOnly": True},
        ],
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "minDomains": zones,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": selector,
    }
    claim = {"claimName": f"{name}-model", "readOnly": True}
    pod = {
        "terminationGracePeriodSeconds": math.ceil(drain_s) + 5,
        "topologySpreadConstraints": [spread],
        "containers": [container],
        "volumes": [
            {"name": "model", "persistentVolumeClaim": claim},
            {"name": "config", "configMap": {"name": name}},
        ],
    }
    deployment = {
        "selector": selector,
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    ports = [{"name": "grpc", "port": 8500}, {"name": "rest", "port": 8501}]
    aim = {"type": "Utilization", "averageUtilization": round(100.0 * target)}
    scaling = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": minimum,
        "maxReplicas": maximum,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": aim}}],
        "behavior": {"scaleUp": up.to_dict(), "scaleDown": down.to_dict()},
    }
    budget = {"maxUnavailable": 1, "selector": selector}
    return {
        "configmap.yaml": _document("v1", "ConfigMap", name, data=files),
        "deployment.yaml": _document("apps/v1", "Deployment", name, spec=deployment),
        "service.yaml": _document("v1", "Service", name, spec={"selector": labels, "ports": ports}),
        "hpa.yaml": _document("autoscaling/v2", "HorizontalPodAutoscaler", name, spec=scaling),
        "pdb.yaml": _document("policy/v1", "PodDisruptionBudget", name, spec=budget),
    }


def _document(version: str, kind: str, name: str, **body: Any) -> str:
    """One manifest as YAML, texts of several lines as they are, no aliases."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    head = {"apiVersion": version, "kind": kind}
    metadata = {"name": name, "labels": {"app": name}}
    content = {**head, "metadata": metadata, **body}
    return str(yaml.dump(content, Dumper=Dumper, sort_keys=False, width=1000))
