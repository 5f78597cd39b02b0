"""The state of a run in one checkpoint."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from syne_hypersched.checkpoint_folder import CheckpointFolder  # noqa: E402
from syne_hypersched.training._group import ProcessGroup  # noqa: E402
from syne_hypersched.training._keeper import Keeper, _copy_to_cpu  # noqa: E402


class Counter:
    """Something with a state."""

    def __init__(self, value=0):
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def make(folder=None, **objects) -> Keeper:
    keeper = Keeper(None if folder is None else CheckpointFolder(str(folder)), ProcessGroup())
    keeper.track(objects)
    return keeper


def never(path, report):
    raise AssertionError("this report was delivered")


def test_all_objects_come_back(tmp_path):
    model = nn.Linear(2, 1)
    keeper = make(tmp_path, model=model, counter=Counter(3))
    path = keeper.save(keeper.gather())
    other = nn.Linear(2, 1)
    again = make(tmp_path, counter=(counter := Counter()), model=other)
    assert again.restore(never)
    assert counter.value == 3
    assert torch.equal(other.weight, model.weight)
    assert path.startswith(str(tmp_path))


def test_the_random_generators_come_back(tmp_path):
    keeper = make(tmp_path)
    keeper.save(keeper.gather())
    drawn = torch.rand(3)
    assert make(tmp_path).restore(never)
    assert torch.equal(torch.rand(3), drawn)


def test_a_report_is_handed_out_until_it_is_marked(tmp_path):
    keeper = make(tmp_path)
    path = keeper.save(keeper.gather(), {"loss": 0.5})
    delivered = []
    for _ in range(2):
        make(tmp_path).restore(lambda path, report: delivered.append((path, report)))
    assert delivered == [(path, {"loss": 0.5})] * 2
    keeper.mark_reported(path)
    assert make(tmp_path).restore(never)


def test_without_a_folder_or_a_checkpoint_nothing_is_restored(tmp_path):
    nowhere = make(counter=Counter())
    assert not nowhere.is_active
    assert nowhere.save(nowhere.gather()) is None
    assert nowhere.snapshot() is None
    assert not nowhere.restore(never)
    nowhere.mark_reported("anything")
    empty = make(tmp_path)
    assert empty.is_active
    assert not empty.restore(never)


def test_a_checkpoint_of_other_objects_is_refused(tmp_path):
    keeper = make(tmp_path, a=Counter(), b=Counter())
    keeper.save(keeper.gather())
    with pytest.raises(RuntimeError, match=r"holds \['a', 'b'\], but this run has \['a', 'c'\]"):
        make(tmp_path, a=Counter(), c=Counter()).restore(never)


def test_what_has_no_state_or_a_name_that_is_taken_is_refused():
    keeper = make(a=Counter())
    with pytest.raises(TypeError, match="b must have state_dict and load_state_dict, but got int"):
        keeper.track({"b": 3})
    with pytest.raises(TypeError, match="c must have state_dict and load_state_dict"):
        keeper.track({"c": SimpleNamespace(load_state_dict=print)})
    with pytest.raises(ValueError, match="'a' must be a name that is not taken"):
        keeper.track({"a": Counter()})


def test_a_state_that_could_not_be_loaded_is_refused_before_it_is_saved(tmp_path):
    keeper = make(tmp_path, counter=Counter(value=object()))
    with pytest.raises(TypeError, match="the state_dict of counter must consist of tensors, numbers"):
        keeper.save(keeper.gather())
    assert CheckpointFolder(str(tmp_path)).newest() is None


def test_a_snapshot_stays_while_the_run_goes_on(tmp_path):
    model = nn.Linear(1, 1)
    keeper = make(tmp_path, model=model)
    snapshot, before = keeper.snapshot(), model.weight.detach().clone()
    with torch.no_grad():
        model.weight += 1
    keeper.save(snapshot)
    assert make(tmp_path, model=model).restore(never)
    assert torch.equal(model.weight, before)


def test_a_copy_has_the_same_containers():
    state = OrderedDict(a=[torch.ones(1), (2, "x")], b={"c": torch.zeros(1)})
    copy = _copy_to_cpu(state)
    assert copy["a"][1] == (2, "x")
    state["a"][0] += 1
    state["b"]["c"] += 1
    assert (copy["a"][0].item(), copy["b"]["c"].item()) == (1.0, 0.0)
