"""The elastic backend for functions: its contract, what it refuses, and functions under the stock tuner."""

from __future__ import annotations

import pytest

from syne_hypersched import ElasticPythonBackend
from syne_hypersched.testing import BackendContract

pytestmark = pytest.mark.usefixtures("no_process_left")


def make_train(epoch_s):
    """The function of the contract's script; what it uses comes from here, as from a notebook's cells."""
    import json
    import os
    import time
    from pathlib import Path

    def train(x, epochs, st_checkpoint_dir):
        from syne_tune import Reporter

        folder = Path(st_checkpoint_dir)
        checkpoint = folder / "epoch.json"
        done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
        report = Reporter()
        for epoch in range(done + 1, epochs + 1):
            time.sleep(epoch_s / int(os.environ.get("WORLD_SIZE", 1)))
            if os.environ.get("RANK", "0") == "0":
                report(epoch=epoch, loss=x + 1 / epoch)
                folder.mkdir(parents=True, exist_ok=True)
                checkpoint.with_suffix(".new").write_text(json.dumps(epoch))
                os.replace(checkpoint.with_suffix(".new"), checkpoint)

    return train


def make_backend(function, config_space, num_devices=4, **options):
    return ElasticPythonBackend(
        function, config_space, num_devices, **{"device_type": "cpu", "grace_s": 1.0, **options}
    )


class TestElasticPythonBackend(BackendContract):
    def make_backend(self, folder):
        return make_backend(make_train(self.epoch_s), {"x": 1.0, "epochs": 1000}, self.num_devices)


@pytest.mark.slow
class TestColdLaunches(BackendContract):
    def make_backend(self, folder):
        return make_backend(make_train(self.epoch_s), {"x": 1.0, "epochs": 1000}, self.num_devices, launch="cold")
