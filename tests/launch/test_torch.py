"""What PyTorch needs of a warm launch: threads to match, workers of a loader, ranks that find each other."""

from __future__ import annotations

import os

import pytest

from syne_hypersched.backends._environment import rank_environments
from syne_hypersched.backends.discovery import find_devices
from syne_hypersched.launch import LaunchSpec, RankSpec

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("no_process_left")

SCRIPT = """
import os, sys
assert "torch" in sys.modules, "not preloaded"
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, TensorDataset

if __name__ == "__main__":
    torch.manual_seed(0)
    data = TensorDataset(torch.arange(32.0)[:, None])
    assert sum(batch.sum().item() for (batch,) in DataLoader(data, 4, num_workers=2)) == 496
    model = torch.nn.Linear(1, 1)
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
        model = torch.nn.parallel.DistributedDataParallel(model)
    # Every rank has another batch; DDP averages the gradients.
    model(torch.full((4, 1), float(os.environ.get("RANK", 5)))).sum().backward()
    print(torch.get_num_threads(), next(model.parameters()).grad.item())
    if dist.is_initialized():
        dist.destroy_process_group()
"""


def test_torch_warm_on_one_device_and_on_two(make_launches):
    launches = make_launches(preload=["torch"])
    script = launches.script(SCRIPT)
    devices = find_devices(2, device_type="cpu")
    for held, expected in ((devices.names[:1], [20.0]), (devices.names, [2.0, 2.0])):
        ranks = tuple(
            RankSpec(env, f"{launches.folder}/out{i}", f"{launches.folder}/err{i}", cores)
            for i, (env, cores) in enumerate(rank_environments(devices, held, True, os.environ))
        )
        launch = launches.launcher.launch(LaunchSpec((script,), ranks, True, 1.0, str(launches.folder)))
        exit_ = launches.exit(launch)
        assert exit_.exit_code == 0, launches.lines(f"err{exit_.first_failed}")
        said = [launches.lines(f"out{i}")[-1].split() for i in range(len(held))]
        assert [float(gradient) for _, gradient in said] == expected
        assert [int(threads) for threads, _ in said] == [len(rank.cores) for rank in ranks]
