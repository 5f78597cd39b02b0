"""What is frozen stays so in the next launch, and what was released stays released."""

from __future__ import annotations

import json

import pytest

from syne_hypersched.integrations._frozen import freeze_again, frozen_notes, release
from tests.installed import skip_without

skip_without("torch")


def make(frozen=()):
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))
    for index in frozen:
        freeze(module[index])
    return module


def freeze(layer):
    layer.requires_grad_(False).eval()
    if hasattr(layer, "track_running_stats"):
        layer.track_running_stats = False


def state(module):
    return [
        [each.requires_grad for each in module.parameters()],
        [each.training for each in module.modules()],
        module[1].track_running_stats,
    ]


@pytest.mark.parametrize("before", [(), (0,), (0, 1), (2,)])
@pytest.mark.parametrize("now", [(), (0, 1)])
def test_a_module_is_frozen_as_it_was(before, now):
    notes = json.loads(json.dumps(frozen_notes(make(before))))
    module = make(now)
    freeze_again(module, notes)
    assert state(module) == state(make(before))


def test_a_release_comes_first_and_freezes_nothing():
    notes = frozen_notes(make((2,)))
    module = make((0,))
    release(module, notes)
    assert all(each.requires_grad for each in module.parameters())
    assert not module[0].training


def test_layers_are_left_alone_after_an_evaluation():
    notes = frozen_notes(make().eval())
    module = make((0,))
    freeze_again(module, notes)
    assert module.training
    assert not module[0].training
    assert module[0].weight.requires_grad


def test_without_notes_nothing_changes():
    module = make((0, 1))
    release(module, {})
    freeze_again(module, {})
    assert state(module) == state(make((0, 1)))


def test_integers_need_no_gradients():
    import torch

    module = make()
    module.codes = torch.nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False)
    release(module, frozen_notes(make()))
    assert not module.codes.requires_grad
