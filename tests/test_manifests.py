"""Manifests and alert rules: they fit together, fit Kubernetes' schemas, and ring when they should."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import require

from capkit.autoscaling import HPA, Policy, Rules, batch_settings, manifests
from capkit.monitoring import alert_rules, scrape_config
from capkit.planning import SLO
from capkit.serving import ServiceProfile
from capkit.serving.batching import Batching
from capkit.serving.metrics import Monitoring
from capkit.simulation import poisson_arrivals, simulate_batches

GOAL = SLO(0.99, 0.05)
PROFILE = ServiceProfile(
    8e-4, 0.3, 1e-3, 6e-4, 2e-5, 64, 1000.0, 3200, 110, 9e-4, 600.0, "x", "cpu"
)
SETTINGS = batch_settings(PROFILE, GOAL, 4000.0)
SLOW = Rules((Policy("Pods", 5, 600.0),), select="Min", stabilization_s=600.0)
FILES = manifests(
    "digits", minimum=4, maximum=20, memory_mib=700, batching=SETTINGS, down=SLOW, target=0.55
)


def test_manifests_fit_together() -> None:
    parsed = {file: yaml.safe_load(text) for file, text in FILES.items()}
    deployment, service, hpa, config, budget = (
        parsed[f"{n}.yaml"] for n in ("deployment", "service", "hpa", "configmap", "pdb")
    )
    pod = deployment["spec"]["template"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"] == {"app": "digits"}
    assert deployment["spec"]["selector"]["matchLabels"] == {"app": "digits"}
    assert budget["spec"]["selector"]["matchLabels"] == {"app": "digits"}
    assert hpa["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (4, 20)
    assert hpa["spec"]["behavior"]["scaleDown"] == {
        "stabilizationWindowSeconds": 600,
        "selectPolicy": "Min",
        "policies": [{"type": "Pods", "value": 5, "periodSeconds": 600}],
    }
    container = pod["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "700Mi"}
    ports = {port["name"] for port in container["ports"]}
    assert ports == {"grpc", "rest"}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] == 240
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
    assert config["metadata"]["name"] == pod["spec"]["volumes"][1]["configMap"]["name"]
    for flag in ("--monitoring_config_file=", "--batching_parameters_file="):
        path = next(a.removeprefix(flag) for a in container["args"] if a.startswith(flag))
        assert Path(path).name in config["data"]


def test_the_servers_files_are_read_back_as_they_were_meant() -> None:
    files = yaml.safe_load(FILES["configmap.yaml"])["data"]
    assert Batching.parse(files["batching.txt"]) == SETTINGS
    assert Monitoring.parse(files["monitoring.txt"]) == Monitoring()
    plain = manifests("m", minimum=2, maximum=2, memory_mib=100)
    assert "batching" not in plain["configmap.yaml"] + plain["deployment.yaml"]


def test_zones_and_bounds_are_checked() -> None:
    with pytest.raises(ValueError, match="zones"):
        manifests("m", minimum=1, maximum=5, memory_mib=100, zones=2)


@pytest.mark.parametrize("rate", [300.0, 2000.0, 9000.0])
def test_batch_settings_carry_their_rate_in_simulation(rate: float) -> None:
    settings = batch_settings(PROFILE, GOAL, rate)
    arrivals = poisson_arrivals(rate, 20_000 / rate, np.random.default_rng(1))
    waits, services = simulate_batches(
        arrivals,
        fixed_s=PROFILE.fixed_s,
        per_request_s=PROFILE.per_image_s,
        max_batch=settings.max_batch_size,
        timeout_s=settings.batch_timeout_micros / 1e6,
    )
    assert np.quantile(waits + services, 0.99) + PROFILE.overhead_s < GOAL.latency_s
    busy_s = PROFILE.fixed_s + PROFILE.per_image_s * settings.max_batch_size
    assert rate * busy_s <= 0.6 * settings.max_batch_size
    assert settings.max_batch_size == settings.allowed_batch_sizes[-1]


def test_a_rate_that_no_batch_carries_is_refused() -> None:
    with pytest.raises(ValueError, match="more servers"):
        batch_settings(PROFILE, GOAL, 50_000.0)
    with pytest.raises(ValueError, match="positive"):
        batch_settings(PROFILE, GOAL, 0.0)


@pytest.mark.more
@pytest.mark.parametrize("file", sorted(FILES))
@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_manifests_fit_kubernetes_published_schemas(file: str, version: str) -> None:
    present = importlib.util.find_spec("kubernetes_validate") is not None
    require(present, "kubernetes-validate", "pip install kubernetes-validate")
    import kubernetes_validate

    document = yaml.safe_load(FILES[file])
    assert kubernetes_validate.validate(document, version, strict=True)
    document["spec" if "spec" in document else "data"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, version, strict=True)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    require(program is not None, "promtool", "apt-get install prometheus")
    return subprocess.run([str(program), *arguments], capture_output=True, text=True)


def series(metric: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f":tensorflow:serving:{metric}{{{labels}}}", "values": values}


def load(late_percent: float, rate: int = 10) -> list[dict[str, str]]:
    """A day of one server, minute by minute: latencies, and how many stay within the last bucket limit."""
    minute = 60 * rate
    good = round(minute * (1.0 - late_percent / 100.0))
    name = 'model_name="digits"'
    return [
        series("request_latency_bucket", f'{name},le="37481.3"', f"0+{good}x1440"),
        series("request_latency_count", name, f"0+{minute}x1440"),
        series("request_count", f'{name},status="OK",instance="a"', f"0+{minute}x1440"),
        series("request_count", f'{name},status="OK",instance="b"', f"0+{minute}x1440"),
    ]


@pytest.mark.more
def test_alert_rules_ring_when_they_should_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(alert_rules(GOAL, name="digits", planned_rate=50.0))
    skewed = load(0)
    skewed[3] = series(
        "request_count", 'model_name="digits",status="OK",instance="b"', "0+6000x1440"
    )
    skewed.append(
        series("request_count", 'model_name="digits",status="OK",instance="c"', "0+600x1440")
    )
    cases = {
        "calm": (load(0), set()),
        "within the budget": (load(0.5), set()),
        "burns slowly": (load(2), {"LatencyBudgetBurnsSlowly"}),
        "burns steadily": (load(8), {"LatencyBudgetBurnsSlowly", "LatencyBudgetBurnsSteadily"}),
        "burns fast": (
            load(20),
            {"LatencyBudgetBurnsSlowly", "LatencyBudgetBurnsSteadily", "LatencyBudgetBurnsFast"},
        ),
        "too much demand": (load(0, rate=30), {"DemandAbovePlan"}),
        "hot replica": (skewed, {"HotReplica", "DemandAbovePlan"}),
    }
    rules = yaml.safe_load((tmp_path / "alerts.yaml").read_text())["groups"][0]["rules"]
    checks = []
    for inputs, ringing in cases.values():
        asked = []
        for rule in rules:
            who = {"instance": "b"} if rule["alert"] == "HotReplica" else {}
            summary = rule["annotations"]["summary"].replace("{{ $labels.instance }}", "b")
            alert = {
                "exp_labels": {**rule["labels"], **who},
                "exp_annotations": {"summary": summary},
            }
            expected = [alert] if rule["alert"] in ringing else []
            asked.append({"eval_time": "12h", "alertname": rule["alert"], "exp_alerts": expected})
        checks.append({"interval": "1m", "input_series": inputs, "alert_rule_test": asked})
    unit = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": checks}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(unit))
    result = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.more
def test_promtool_accepts_rules_and_configuration(tmp_path: Path) -> None:
    for slo in (GOAL, SLO(0.5, 1.0)):
        (tmp_path / "alerts.yaml").write_text(alert_rules(slo, name="digits", planned_rate=5.0))
        result = promtool("check", "rules", str(tmp_path / "alerts.yaml"))
        assert result.returncode == 0 and "5 rules" in result.stdout, result.stdout + result.stderr
    config = scrape_config({"a": "127.0.0.1:8501"}, rule_files=["alerts.yaml"])
    (tmp_path / "prometheus.yml").write_text(config)
    result = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_default_behaviour_is_kubernetes_own() -> None:
    behaviour = yaml.safe_load(manifests("m", minimum=2, maximum=9, memory_mib=100)["hpa.yaml"])[
        "spec"
    ]["behavior"]
    assert behaviour["scaleUp"]["policies"] == [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]
    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert HPA().up.to_dict() == behaviour["scaleUp"]
