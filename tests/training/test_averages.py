"""Averages over samples; those over several processes are in test_elastic_processes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.training._averages import Averages  # noqa: E402
from syne_hypersched.training._group import ProcessGroup  # noqa: E402


@pytest.fixture
def averages():
    return Averages(ProcessGroup())


def test_means_are_weighted_by_samples(averages):
    averages.add(3, loss=torch.tensor(1.0, requires_grad=True), accuracy=0.5)
    averages.add(1, loss=torch.tensor([5.0]))
    assert averages.means() == {"loss": 2.0, "accuracy": 0.5}
    averages.clear()
    assert averages.means() == {}


def test_a_part_without_samples_does_not_count_even_if_it_is_not_finite(averages):
    averages.add(2, loss=1.5)
    averages.add(0, loss=float("nan"))
    assert averages.means() == {"loss": 1.5}


def test_they_go_on_from_their_state(averages):
    averages.add(2, loss=1.0)
    other = Averages(ProcessGroup())
    other.load_state_dict(averages.state_dict())
    other.add(2, loss=2.0)
    assert other.means() == {"loss": 1.5}


def test_a_mean_is_one_number(averages):
    with pytest.raises(ValueError, match=r"loss must be a single number, but got a tensor of shape \(2,\)"):
        averages.add(1, loss=torch.ones(2))
    for value, got in ((None, "NoneType"), ("text", "str"), ([object()], "list")):
        with pytest.raises(TypeError, match=f"loss must be a number or a tensor with one, but got {got}"):
            averages.add(1, loss=value)
