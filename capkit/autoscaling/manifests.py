"""The fleet and its controller as Kubernetes manifests."""

from __future__ import annotations

MANIFESTS = {
    "deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: topology.kubernetes.io/zone
          minDomains: {zones}
          whenUnsatisfiable: DoNotSchedule
          labelSelector:
            matchLabels: {{app: {name}}}
      containers:
        - name: server
          image: {image}
          args: [--model_name={name}, --model_base_path=/models/{name}]
          ports:
            - {{name: grpc, containerPort: 8500}}
            - {{name: rest, containerPort: 8501}}
          resources:
            requests: {{cpu: "1", memory: {memory_mib}Mi}}
            limits: {{cpu: "1", memory: {memory_mib}Mi}}
          readinessProbe:
            httpGet: {{path: /v1/models/{name}, port: rest}}
""",
    "service.yaml": """\
apiVersion: v1
kind: Service
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  selector: {{app: {name}}}
  ports:
    - {{name: grpc, port: 8500}}
    - {{name: rest, port: 8501}}
""",
    "hpa.yaml": """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}
  minReplicas: {minimum}
  maxReplicas: {maximum}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {{type: Utilization, averageUtilization: {target_percent}}}
""",
}


def manifests(
    name: str,
    *,
    minimum: int,
    maximum: int,
    memory_mib: int,
    target: float = 0.6,
    image: str = "tensorflow/serving:2.19.1",
    zones: int = 2,
) -> dict[str, str]:
    """Kubernetes manifests of a fleet: Deployment, Service and HorizontalPodAutoscaler, as YAML text.

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

    >>> print(manifests("digits", minimum=4, maximum=20, memory_mib=700)["hpa.yaml"].splitlines()[1])
    kind: HorizontalPodAutoscaler
    """
    if not 1 <= zones <= minimum <= maximum:
        raise ValueError(
            f"zones <= minimum <= maximum must hold, got {zones}, {minimum}, {maximum}"
        )
    values = {
        "name": name,
        "minimum": minimum,
        "maximum": maximum,
        "memory_mib": memory_mib,
        "target_percent": round(100.0 * target),
        "image": image,
        "zones": zones,
    }
    return {file: template.format(**values) for file, template in MANIFESTS.items()}
