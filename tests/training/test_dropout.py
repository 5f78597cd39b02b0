"""Masks depend on the step and the place in the global batch alone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.training import BatchDropout  # noqa: E402
from syne_hypersched.training._dropout import Place, bind_dropout  # noqa: E402


def masks(model, rows, batch_size=8, seed=0):
    bind_dropout(model, lambda: Place(seed, torch.tensor(rows), batch_size))
    return model(torch.ones(len(rows), 4, 3))


def test_rows_have_the_same_masks_wherever_they_are_computed():
    dropout = BatchDropout(0.4)
    whole = masks(dropout, list(range(8)))
    assert torch.equal(masks(dropout, [1, 3, 5, 7]), whole[1::2])
    assert torch.equal(masks(dropout, [6]), whole[6:7])
    assert not torch.equal(masks(dropout, list(range(8)), seed=1), whole)


def test_it_keeps_the_mean():
    dropout = BatchDropout(0.25)
    bind_dropout(dropout, lambda: Place(0, torch.arange(2), 2))
    values = dropout(torch.ones(2, 50_000))
    assert values.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert values.mean().item() == pytest.approx(1.0, abs=0.01)


def test_each_module_of_a_model_has_masks_of_its_own():
    model = torch.nn.ModuleList([BatchDropout(0.5), BatchDropout(0.5)])
    bind_dropout(model, lambda: Place(0, torch.arange(4), 4))
    first, second = (module(torch.ones(4, 20)) for module in model)
    assert not torch.equal(first, second)


def test_without_a_place_it_is_ordinary_dropout():
    torch.manual_seed(0)
    values = BatchDropout(0.5)(torch.ones(1000))
    assert 0 < int((values == 0).sum()) < 1000
    bound = BatchDropout(0.5)
    bind_dropout(bound, lambda: None)
    assert 0 < int((bound(torch.ones(1000)) == 0).sum()) < 1000


@pytest.mark.parametrize("p, training", [(0.0, True), (0.5, False)])
def test_nothing_is_dropped_without_need(p, training):
    dropout = BatchDropout(p).train(training)
    assert torch.equal(masks(dropout, [0, 1]), torch.ones(2, 4, 3))


def test_errors_name_the_parameter():
    for p in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="p must be at least 0 and below 1"):
            BatchDropout(p)
    dropout = BatchDropout(0.5)
    bind_dropout(dropout, lambda: Place(0, torch.arange(3), 3))
    with pytest.raises(ValueError, match=r"must be the 3 samples .* got shape \(5, 3\)"):
        dropout(torch.ones(5, 3))
    assert "p=0.5" in repr(dropout)
