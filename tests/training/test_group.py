"""The processes of a launch on one machine connect where no other process can join."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from syne_hypersched.backends.machine.discovery import find_devices
from syne_hypersched.backends.machine.environment import rank_environments
from tests.forked import ForkedPython
from tests.installed import skip_without

skip_without("torch")

SCRIPT = """
import json, os, sys
import psutil
from syne_hypersched.training._group import ProcessGroup

environments = json.loads(sys.argv[1])
for environment in environments[1:]:  # ranks are forks: importing PyTorch once is enough
    if os.fork() == 0:
        os.environ.update(environment)
        break
else:
    os.environ.update(environments[0])
group = ProcessGroup()
listening = [c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
found = group.gather((group.rank, group.num_ranks, listening))
group.close()
if group.rank == 0:
    os.wait()
    print(json.dumps(found))
"""


def test_ranks_meet_on_the_loopback_interface(forked_torch: ForkedPython, tmp_path: Path) -> None:
    devices = find_devices(2, device_type="cpu")
    environments = [env for env, _ in rank_environments(devices, devices.names, True, os.environ)]
    done = forked_torch.run(["-c", SCRIPT, json.dumps(environments)], tmp_path)
    assert done.returncode == 0, done.stderr
    ranks = json.loads(done.stdout)
    assert [(rank, num_ranks) for rank, num_ranks, _ in ranks] == [(0, 2), (1, 2)]
    assert ranks[0][2], "rank 0 listens"
    assert {address for _, _, listening in ranks for address in listening} == {"127.0.0.1"}


@pytest.mark.parametrize("variable, num_threads", [("1", 1), ("2,1", 2), ("", 3), ("many", 3)])
def test_threads_are_as_many_as_the_variable_says(variable, num_threads, monkeypatch):
    import torch

    from syne_hypersched.training._group import ProcessGroup

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    try:
        ProcessGroup()
        assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)
