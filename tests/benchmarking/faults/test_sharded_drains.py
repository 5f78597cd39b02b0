from __future__ import annotations

import pytest

pytest.importorskip("torch")

from benchmarking.faults import sharded_drains

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_epoch_is_lost_when_a_sharded_training_is_drained(tmp_path):
    found = sharded_drains.run(tmp_path, num_drains=4, seed=0)
    assert not found.wrong
    assert found.ends["drained"] >= 4
    assert found.num_torn == 0
