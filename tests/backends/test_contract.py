"""The elastic local backend keeps the contract of elastic backends, warm and cold."""

from __future__ import annotations

import pytest

from syne_hypersched import ElasticLocalBackend
from syne_hypersched.testing import BackendContract
from tests.thoroughness import keep_only

pytestmark = pytest.mark.usefixtures("no_process_left")


class TestElasticLocalBackend(BackendContract):
    def make_backend(self, folder):
        # Each server of launches would import pandas, half of what the test costs. The classes below use Syne Tune's.
        script = self.write_script(folder)
        text = script.read_text()
        light = text.replace("from syne_tune import Reporter", "from tests.reporter import Reporter")
        assert light != text
        script.write_text(light)
        return ElasticLocalBackend(script, num_devices=self.num_devices, device_type="cpu", grace_s=20.0)


class TestMoreDevices(BackendContract):
    """Another number of devices is another backend that keeps the contract: what depends on the number."""

    num_devices = 6

    def make_backend(self, folder):
        return ElasticLocalBackend(self.write_script(folder), self.num_devices, device_type="cpu", grace_s=20.0)


# The others do not depend on it.
keep_only(
    TestMoreDevices,
    "test_a_request_that_makes_no_sense_is_an_error",
    "test_more_trials_than_devices_is_an_error",
    "test_a_trial_trains_on_until_devices_are_free",
)


@pytest.mark.slow
class TestColdLaunches(BackendContract):
    def make_backend(self, folder):
        script = self.write_script(folder)
        return ElasticLocalBackend(script, self.num_devices, device_type="cpu", grace_s=20.0, launch="cold")
