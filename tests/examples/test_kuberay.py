"""The manifests for KubeRay are YAML, have what its resource definitions require, and name what exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = EXAMPLES / "kuberay"


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def cluster_specs() -> list[dict[str, Any]]:
    (claim, cluster), (job,) = manifests("raycluster.yaml"), manifests("rayjob.yaml")
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    return [cluster["spec"], job["spec"]["rayClusterSpec"]]


#: Fields of KubeRay 1.6 that the manifests use, those that its definitions require, and the type of each.
CLUSTER = {"headGroupSpec": dict}, {
    "rayVersion": str, "authOptions": dict, "enableInTreeAutoscaling": bool, "autoscalerOptions": dict,
    "workerGroupSpecs": list,
}  # fmt: skip
HEAD = {"template": dict}, {"rayStartParams": dict, "serviceType": str}
WORKERS = {"groupName": str, "template": dict, "minReplicas": int, "maxReplicas": int}, {
    "replicas": int, "rayStartParams": dict,
}  # fmt: skip
JOB = {"rayClusterSpec": dict, "entrypoint": str}, {
    "runtimeEnvYAML": str, "submissionMode": str, "backoffLimit": int, "activeDeadlineSeconds": int,
    "shutdownAfterJobFinishes": bool, "ttlSecondsAfterFinished": int,
}  # fmt: skip


def check_fields(values: dict[str, Any], fields: tuple[dict[str, type], dict[str, type]]) -> None:
    required, optional = fields
    assert required.keys() <= values.keys()
    for name, value in values.items():
        assert isinstance(value, (required | optional)[name]), f"{name}: {value!r}"


@pytest.mark.parametrize("spec", cluster_specs(), ids=["RayCluster", "RayJob"])
def test_a_cluster_has_the_fields_that_kuberay_requires(spec: dict[str, Any]) -> None:
    check_fields(spec, CLUSTER)
    check_fields(spec["headGroupSpec"], HEAD)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    groups = spec["workerGroupSpecs"]
    for group in (spec["headGroupSpec"], *groups):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "numbers must be quoted"
        check_pod(group["template"]["spec"])
    for group in groups:
        check_fields(group, WORKERS)
        assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def check_pod(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert container["name"]
    assert container["image"] == "REGISTRY/hypersched:1"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert container["resources"]["requests"] == container["resources"]["limits"], "GPUs cannot be overcommitted"
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    assert all(isinstance(value, str) for value in environment.values())
    assert environment["SYNETUNE_FOLDER"].startswith(container["volumeMounts"][0]["mountPath"])


@pytest.mark.parametrize("spec", cluster_specs(), ids=["RayCluster", "RayJob"])
def test_a_pod_that_is_to_go_has_time_to_tell_so(spec: dict[str, Any]) -> None:
    (group,) = spec["workerGroupSpecs"]
    pod = group["template"]["spec"]
    command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    options = dict(zip(command[2::2], map(float, command[3::2]), strict=True))
    assert (EXAMPLES / Path(command[1]).relative_to("/app/examples")).is_file()
    assert options["--stay"] < options["--deadline"] < pod["terminationGracePeriodSeconds"]


def test_a_job_has_the_fields_that_kuberay_requires() -> None:
    (job,) = manifests("rayjob.yaml")
    spec = job["spec"]
    check_fields(spec, JOB)
    assert spec["submissionMode"] in ("K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode")
    environment = yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]
    assert all(isinstance(value, str) for value in environment.values())
    assert spec["activeDeadlineSeconds"] > float(environment["DEADLINE_S"])
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    gpus = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
    assert int(environment["NUM_DEVICES"]) == gpus * group["maxReplicas"]
    script = EXAMPLES / Path(spec["entrypoint"].split()[1]).relative_to("/app/examples")
    text = script.read_text(encoding="utf-8")
    assert all(f'"{name}"' in text for name in environment), "the tuner reads these variables"


def test_the_image_has_the_version_of_ray_that_the_manifests_say() -> None:
    image = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    for spec in cluster_specs():
        assert f"rayproject/ray:{spec['rayVersion']}-" in image
