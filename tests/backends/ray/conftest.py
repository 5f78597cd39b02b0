"""A Ray cluster of two nodes on this machine, without root, for all tests that need one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

NODE = {"num_cpus": 0, "num_gpus": 0, "object_store_memory": 80 * 1024 * 1024}
SLOTS = 2


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[object]:
    """A head without devices, and two nodes with two slots each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_ENABLE_AUTOSCALER_V2", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        head = {**NODE, "include_dashboard": False, "include_log_monitor": False}
        handler = signal.getsignal(signal.SIGTERM)
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(**NODE, resources={"slot": SLOTS}, include_log_monitor=False, wait=False)
        signal.signal(signal.SIGTERM, handler)  # else other tests in this process have that of the cluster
        yield cluster
        cluster.shutdown()
        os.environ.pop("RAY_ADDRESS", None)
