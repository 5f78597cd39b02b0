"""PyTorch in a warm launch: number of threads, workers of a loader, communication of ranks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from syne_hypersched.backends.machine.discovery import find_devices
from syne_hypersched.backends.machine.environment import rank_environments
from syne_hypersched.launch import LaunchSpec, RankSpec
from tests.installed import skip_without

skip_without("torch")
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
    dist.init_process_group("gloo")
    model = torch.nn.parallel.DistributedDataParallel(model)
    # Every rank has another batch; DDP averages the gradients.
    model(torch.full((4, 1), float(dist.get_rank()))).sum().backward()
    print(torch.get_num_threads(), next(model.parameters()).grad.item())
    dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def with_torch(make_module_launches):
    """One server for all tests: it takes longer to import PyTorch than they do."""
    return make_module_launches(["torch", "torch._dynamo"])  # as backends preload it


@pytest.fixture
def launches(with_torch, tmp_path, wait_for):
    return with_torch.of_test(tmp_path, wait_for)


def test_torch_warm_on_one_device_and_on_two(launches):
    script = launches.script(SCRIPT)
    devices = find_devices(2, device_type="cpu")
    for held, expected in ((devices.names[:1], [0.0]), (devices.names, [2.0, 2.0])):
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


def test_two_forks_draw_different_numbers(launches):
    script = launches.script("import torch; print(torch.initial_seed(), torch.rand(1).item())")
    for _ in range(2):
        assert launches.run([script]).exit_code == 0, launches.lines("err0")
    first, second = launches.lines("out0")
    assert set(first.split()).isdisjoint(second.split())


#: What `torchrun --nproc-per-node 1` sets for its process.
TORCHRUN = {
    "LOCAL_RANK": "0", "RANK": "0", "GROUP_RANK": "0", "ROLE_RANK": "0", "ROLE_NAME": "default",
    "LOCAL_WORLD_SIZE": "1", "WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "1", "ROLE_WORLD_SIZE": "1",
    "MASTER_ADDR": "localhost", "MASTER_PORT": "1", "TORCHELASTIC_RESTART_COUNT": "0",
    "TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1", "TORCHELASTIC_ERROR_FILE": "/nowhere/error.json",
}  # fmt: skip


def test_ranks_of_a_tuner_that_torchrun_has_started_find_each_other(launches):
    script = launches.script(
        """
        import os
        import torch
        import torch.distributed as dist
        print(sorted(name for name in os.environ if "ELASTIC" in name or "ROLE" in name))
        dist.init_process_group("gloo")
        total = torch.ones(1) * (dist.get_rank() + 1)
        dist.all_reduce(total)
        print(total.item())
        dist.destroy_process_group()
        """
    )
    devices = find_devices(2, device_type="cpu")
    ranks = tuple(
        RankSpec(env, f"{launches.folder}/out{i}", f"{launches.folder}/err{i}", cores)
        for i, (env, cores) in enumerate(rank_environments(devices, devices.names, True, {**os.environ, **TORCHRUN}))
    )
    exit_ = launches.exit(launches.launcher.launch(LaunchSpec((script,), ranks, True, 1.0, str(launches.folder))))
    assert exit_.exit_code == 0, launches.lines(f"err{exit_.first_failed}")
    assert launches.lines("out0") == launches.lines("out1") == ["[]", "3.0"]


@pytest.mark.slow
@pytest.mark.parametrize("num_ranks", [1, 2])
def test_a_tuner_under_torchrun(tmp_path, num_ranks):
    (tmp_path / "train.py").write_text(
        "import torch, torch.distributed as dist\n"
        "from syne_tune import Reporter\n"
        "dist.init_process_group('gloo')\n"
        "total = torch.ones(1)\n"
        "dist.all_reduce(total)\n"
        "Reporter()(epoch=1, loss=total.item())\n"
    )
    (tmp_path / "tune.py").write_text(
        "import os, time\n"
        "from syne_hypersched import ElasticLocalBackend\n"
        "backend = ElasticLocalBackend('train.py', 2, num_devices_per_trial=2, device_type='cpu')\n"
        "backend.set_path('results' + os.environ['RANK'])\n"
        "backend.start_trial({})\n"
        "reports = []\n"
        "while not reports:\n"
        "    time.sleep(0.05)\n"
        "    status, reports = backend.fetch_status_results([0])\n"
        "    assert status[0][1] != 'failed', backend.stderr(0)\n"
        "backend.stop_all()\n"
        "print('loss', reports[0][1]['loss'])\n"
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={num_ranks}",
        "tune.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("loss 2.0") == num_ranks
