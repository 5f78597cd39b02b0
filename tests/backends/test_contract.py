"""The elastic local backend keeps the contract of elastic backends, warm and cold."""

from __future__ import annotations

import pytest

from syne_hypersched import ElasticLocalBackend
from syne_hypersched.testing import BackendContract

pytestmark = pytest.mark.usefixtures("no_process_left")


class TestElasticLocalBackend(BackendContract):
    def make_backend(self, folder):
        script = self.write_script(folder)
        return ElasticLocalBackend(script, num_devices=self.num_devices, device_type="cpu", grace_s=1.0)


@pytest.mark.slow
class TestColdLaunches(BackendContract):
    def make_backend(self, folder):
        script = self.write_script(folder)
        return ElasticLocalBackend(script, self.num_devices, device_type="cpu", grace_s=1.0, launch="cold")
