"""The Ray backend keeps the contract of elastic backends, on a real cluster of two nodes."""

from __future__ import annotations

import pytest

from syne_hypersched import ElasticRayBackend
from syne_hypersched.testing import BackendContract
from tests.installed import skip_without

skip_without("ray")


@pytest.mark.slow
class TestElasticRayBackend(BackendContract):
    patience_s = 100.0
    where = ("checkpoint_path", "shared")

    @pytest.fixture(autouse=True)
    def _cluster(self, ray_cluster):
        self.address = ray_cluster.address

    def make_backend(self, folder):
        option, name = self.where
        return ElasticRayBackend(
            self.write_script(folder), self.num_devices, address=self.address, devices_of="slot", insecure=True,
            grace_s=1.0, lease_s=20.0, **{option: folder / name},
        )  # fmt: skip


class TestWithoutASharedFolder(TestElasticRayBackend):
    """Checkpoints go from node to node."""

    where = ("node_path", "disks")
