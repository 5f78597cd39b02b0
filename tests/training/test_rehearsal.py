"""What a new process does once before it joins others."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch.distributed import HashStore  # noqa: E402

from syne_hypersched.training._group import leave_group  # noqa: E402
from syne_hypersched.training._rehearsal import rehearse_step  # noqa: E402


def test_it_leaves_no_group_and_draws_no_random_numbers():
    before = torch.get_rng_state()
    rehearse_step(torch.device("cpu"))
    assert not dist.is_initialized()
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_happens_where_there_is_a_group():
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    group = dist.group.WORLD
    rehearse_step(torch.device("cpu"))
    assert dist.group.WORLD is group
    leave_group([])


def test_groups_can_be_formed_again_while_those_before_end():
    for _ in range(3):
        rehearse_step(torch.device("cpu"))
        dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
        values = torch.ones(2)
        dist.all_reduce(values)
        assert values.tolist() == [1.0, 1.0]
        leave_group([])
