from __future__ import annotations

import pytest

from benchmarking.faults import joining_chaos
from tests.installed import skip_without

skip_without("torch")

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_lost_when_processes_are_killed(tmp_path, seed):
    outcome = joining_chaos.run(tmp_path, num_changes=15, seed=seed)
    assert not outcome.wrong
    assert outcome.events["prepare"] > 0
