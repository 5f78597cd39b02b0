"""The description of a cluster for ``ray up`` is what Ray's own schema says."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
jsonschema = pytest.importorskip("jsonschema")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def cluster() -> Any:
    return yaml.safe_load((EXAMPLES / "ray_up" / "cluster.yaml").read_text(encoding="utf-8"))


def schema() -> Any:
    found = importlib.util.find_spec("ray")
    if found is None or found.origin is None:
        pytest.skip("ray is not installed")
    return json.loads((Path(found.origin).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))


def test_it_is_what_the_schema_of_ray_says(cluster: Any) -> None:
    jsonschema.validate(cluster, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "max_worker": 4}, schema())


def test_its_parts_belong_together(cluster: Any) -> None:
    types = cluster["available_node_types"]
    assert cluster["head_node_type"] in types
    assert sum(kind["max_workers"] for kind in types.values()) <= cluster["max_workers"]
    assert types["gpus"]["node_config"]["ImageId"] == types["head"]["node_config"]["ImageId"]
    assert types["gpus"]["node_config"]["InstanceType"] != types["head"]["node_config"]["InstanceType"]


def commands(cluster: Any) -> list[str]:
    return [command for name, value in cluster.items() if name.endswith("_commands") for command in value]


def test_its_commands_are_those_of_a_shell(cluster: Any) -> None:
    for command in commands(cluster):
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), command


def test_all_nodes_ask_for_the_token_and_see_the_scripts(cluster: Any) -> None:
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    starts = [command for command in commands(cluster) if "ray start" in command]
    assert len(starts) == 2
    assert all(command.startswith("source ~/.profile;") for command in starts)
    assert any("RAY_AUTH_MODE=token" in command and ".profile" in command for command in cluster["setup_commands"])
    assert (EXAMPLES.parent / cluster["file_mounts"]["/home/ubuntu/examples"] / "drain_node.py").is_file()
