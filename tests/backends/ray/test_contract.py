"""The Ray backend keeps the contract of elastic backends, on a real cluster of two nodes."""

from __future__ import annotations

import pytest

from syne_hypersched import ElasticRayBackend
from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.experiments import read_events
from syne_hypersched.filenames import EVENTS_FILENAME
from syne_hypersched.testing import BackendContract
from tests.installed import skip_without

skip_without("ray")


@pytest.mark.slow
class TestElasticRayBackend(BackendContract):
    patience_s = 250.0
    where = ("checkpoint_path", "shared")

    @pytest.fixture(autouse=True)
    def _cluster(self, ray_cluster):
        self.address = ray_cluster.address

    def make_backend(self, folder):
        option, name = self.where
        return ElasticRayBackend(
            self.write_script(folder), self.num_devices, address=self.address, devices_of="slot", insecure=True,
            grace_s=20.0, lease_s=20.0, start_timeout_s=self.patience_s, **{option: folder / name},
        )  # fmt: skip


class TestWithoutASharedFolder(TestElasticRayBackend):
    """Checkpoints go from node to node."""

    where = ("node_path", "disks")

    def test_checkpoints_that_come_last_go_as_well(self, backend):
        """Nothing arrives on the tuner's disk once the checkpoints of a trial were removed there."""
        self.start(backend)
        self.poll_until(backend, [0], lambda reports: len(reports[0]) >= 2)
        backend.stop_trial(trial_id=0)
        backend.delete_checkpoint(trial_id=0)
        events = backend.local_path / EVENTS_FILENAME
        self.poll_until(backend, [0], lambda _: "remove_checkpoint" in {event.event for event in read_events(events)})
        backend.stop_all()
        folder = backend.checkpoint_trial_path(trial_id=0)
        assert not folder.exists()
        assert GenerationStore(folder).numbers() == []
