"""A machine that is to go tells Ray so, on a real cluster; the notice of EC2 comes from a server of the test."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "drain_node.py"


class Metadata(http.server.BaseHTTPRequestHandler):
    """EC2's service: nothing is planned at first, then the instance is to be terminated."""

    num_asked = 0

    def do_PUT(self) -> None:
        self._answer(200, b"a-token")

    def do_GET(self) -> None:
        type(self).num_asked += 1
        assert self.headers["X-aws-ec2-metadata-token"] == "a-token"
        assert self.path == "/latest/meta-data/spot/instance-action"
        if type(self).num_asked < 3:
            self._answer(404, b"")
        else:
            self._answer(200, json.dumps({"action": "terminate", "time": "2027-01-01T00:00:00Z"}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[str]:
    Metadata.num_asked = 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_waits_for_the_notice_of_ec2(metadata: str) -> None:
    spec = importlib.util.spec_from_file_location("drain_node", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.wait_for_notice(metadata, pause_s=0.01) == "terminate"
    assert Metadata.num_asked == 3


@pytest.mark.slow
def test_the_node_of_this_machine_is_drained(metadata: str, wait_for: Any) -> None:
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        node = {"num_cpus": 0, "num_gpus": 0, "object_store_memory": 80 * 1024 * 1024, "include_log_monitor": False}
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            environment = {**os.environ, "RAY_ADDRESS": cluster.address}
            done = subprocess.run(
                [sys.executable, str(SCRIPT), "--spot", "--metadata", metadata, "--deadline", "600"],
                env=environment, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            # It is idle, so that Ray ends it at once instead of at the end of the deadline.
            wait_for(lambda: not cluster.head_node.remaining_processes_alive())
        finally:
            cluster.shutdown()
            os.environ.pop("RAY_ADDRESS", None)
