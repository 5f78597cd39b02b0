"""The backend asks Ray's own autoscaler for nodes and hands them back; it starts and ends raylets on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from syne_hypersched import ElasticRayBackend
from syne_hypersched.contract import ST_NUM_DEVICES
from syne_hypersched.experiments._nodes import attendance_of
from syne_hypersched.filenames import EVENTS_FILENAME
from syne_hypersched.records.events import read_events
from tests.installed import skip_without

skip_without("ray")

HEAD_ID = "f" * 51 + "00000"
MEMORY = 80 * 1024 * 1024
#: Tries to start the head: its port may be taken meanwhile, or the machine may be busy.
_TRIES = 3
#: Ray's own provider for tests. By its name it needs a file that the wheels of Ray do not have.
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"

SCRIPT = """
import argparse, os, time
from pathlib import Path
from syne_tune import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--epochs", type=int)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
state = args.st_checkpoint_dir / "epoch"
done = int(state.read_text()) if state.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    time.sleep(0.05)
    if os.environ.get("RANK", "0") == "0":
        args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
        (args.st_checkpoint_dir / "new").write_text(str(epoch))
        os.replace(args.st_checkpoint_dir / "new", state)
    report(epoch=epoch, loss=1 / epoch)
"""


@pytest.fixture
def autoscaled() -> Iterator[tuple[str, Path]]:
    """Address and folder of a head without devices, whose autoscaler starts up to three nodes with two slots each.

    Only what belongs to this head is ended: ``ray stop`` would end all Ray processes of the machine.
    """
    ip, folder = _ip(), Path(tempfile.mkdtemp(prefix="hs", dir="/tmp"))
    try:
        for _ in range(_TRIES):
            address = _start_head(ip, folder)
            if address is not None:
                break
            _end_processes(folder)
        assert address is not None, f"no head after {_TRIES} tries"
        yield address, folder
    finally:
        _end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _start_head(ip: str, folder: Path) -> str | None:
    """Starts the head; returns its address, or None if it has not started: Ray waits for its parts for 30 s only."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "cluster_name": "fake", "max_workers": 3, "upscaling_speed": 10.0, "idle_timeout_minutes": 0.02,
        "provider": {
            "type": "external", "module": PROVIDER, "use_node_id_as_ip": True, "disable_node_updaters": True,
            "disable_launch_config_check": True, "launch_multiple": True, "head_node_id": HEAD_ID,
            "gcs_address": f"{ip}:{port}",
        },
        "available_node_types": {
            "ray.head.default": {
                "resources": {"CPU": 0, "object_store_memory": MEMORY}, "node_config": {}, "max_workers": 0,
            },
            "slots": {
                "resources": {"CPU": 0, "slot": 2, "object_store_memory": MEMORY}, "node_config": {},
                "min_workers": 0, "max_workers": 3,
            },
        },
        "head_node_type": "ray.head.default", "auth": {}, "docker": {}, "file_mounts": {}, "cluster_synced_files": [],
        "file_mounts_sync_continuously": False, "rsync_exclude": [], "rsync_filter": [], "initialization_commands": [],
        "setup_commands": [], "head_setup_commands": [], "worker_setup_commands": [], "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }  # fmt: skip
    (folder / "cluster.json").write_text(json.dumps(config))
    environment = {
        **os.environ, "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1", "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "disabled",  # else the head asks for a token on machines that have one
        "RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": HEAD_ID, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}", f"--node-ip-address={ip}",
        f"--temp-dir={folder}", f"--autoscaling-config={folder / 'cluster.json'}", "--num-cpus=0", "--num-gpus=0",
        f"--object-store-memory={MEMORY}", "--include-dashboard=false", "--include-log-monitor=false",
    ]  # fmt: skip
    ended = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
    return f"{ip}:{port}" if ended.returncode == 0 else None


def _end_processes(folder: Path) -> None:
    for process, _ in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)


def processes_of(folder: Path) -> Iterator[tuple[psutil.Process, list[str]]]:
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if any(str(folder) in word for word in command):
            yield process, command


def num_nodes(folder: Path) -> int:
    """Nodes that Ray runs beside the head."""
    return sum(Path(command[0]).name == "raylet" for _, command in processes_of(folder)) - 1


def _ip() -> str:
    import ray

    return str(ray.util.get_node_ip_address())


def test_autoscaling_needs_the_number_of_devices_that_are_used_at_most(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    with pytest.raises(ValueError, match="num_devices must be given with autoscale=True"):
        ElasticRayBackend(script, devices_of="slot", autoscale=True, address="127.0.0.1:1")


@pytest.mark.slow
@pytest.mark.timeout(900)  # three nodes are started, one after the other
def test_nodes_come_when_trials_can_use_them_and_go_when_they_cannot(
    autoscaled: tuple[str, Path], tmp_path: Path, wait_for: Any
) -> None:
    script, (address, folder) = tmp_path / "train.py", autoscaled
    script.write_text(SCRIPT)
    assert num_nodes(folder) == 0
    backend = ElasticRayBackend(
        script, 4, devices_of="slot", address=address, insecure=True, autoscale=True, start_timeout_s=120.0,
        grace_s=2.0, lease_s=20.0,
    )  # fmt: skip
    try:
        backend.set_path(results_root=str(tmp_path / "run"))
        assert backend._autoscaling is not None
        backend._autoscaling.idle_s = 3.0
        reports: dict[int, list[dict[str, Any]]] = {0: [], 1: []}

        def poll() -> None:
            _, new = backend.fetch_status_results(trial_ids=list(range(len(backend.trial_ids))))
            for trial_id, report in new:
                reports[trial_id].append(report)

        def until(condition: Any) -> None:
            wait_for(lambda: (poll(), condition())[1], timeout_s=180.0)

        trial = backend.start_trial(config={"x": 1.0, "epochs": 100_000})
        trial.follow("epoch")
        trial.resize(4)
        until(lambda: reports[0] and reports[0][-1][ST_NUM_DEVICES] == 4)
        assert num_nodes(folder) == 2
        trial.resize(1)
        until(lambda: backend._fleet.pool.num_present == 2 and len(backend._cluster.nodes) == 1)
        until(lambda: num_nodes(folder) == 1)
        # The autoscaler has ended the node that nobody used: a new one comes when it is needed again.
        trial.resize(3)
        until(lambda: reports[0][-1][ST_NUM_DEVICES] == 3)
    finally:
        backend.stop_all()
    wait_for(lambda: num_nodes(folder) == 0, timeout_s=120.0)
    epochs = [report["epoch"] for report in reports[0]]
    assert epochs == list(range(1, len(epochs) + 1))
    events = read_events(tmp_path / "run" / EVENTS_FILENAME)
    given = [event for event in events if event.event == "retire"]
    assert [len(event.devices) for event in given] == [2]
    assert "is released: trials can use at most 2 devices" in given[0].reason
    assert any(absence.how == "given back" for absence in attendance_of(events).absences())
