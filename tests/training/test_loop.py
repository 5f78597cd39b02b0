"""Loops over a loader that the script leaves early: nothing is lost or counted twice, and nothing blocks."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.data import Dataset, TensorDataset  # noqa: E402

from syne_hypersched.training import ElasticRun  # noqa: E402


class Counting:
    """A run over the numbers 0 to 10, in order, in steps of 4, and what it has trained with."""

    def __init__(self, folder: Path | None = None, **options: Any) -> None:
        self.reports: list[dict[str, Any]] = []
        self.seen: list[list[int]] = []
        self.run = ElasticRun(folder, reporter=lambda **report: self.reports.append(report))
        self.model = self.run.wrap(nn.Linear(1, 1))
        self.optimizer = self.run.track(optimizer=torch.optim.SGD(self.model.parameters(), lr=0.01))
        self.loader = self.run.loader(TensorDataset(torch.arange(11)), 4, shuffle=False, **options)

    def step(self, batch: Any) -> bool:
        (numbers,) = batch
        self.seen.append(numbers.tolist())
        return self.run.step(self.model(numbers[:, None].float()).mean())


def leave_by_break(counting: Counting, num_steps: int) -> None:
    for number, batch in enumerate(counting.loader, start=1):
        counting.step(batch)
        if number == num_steps:
            break


def leave_by_return(counting: Counting, num_steps: int) -> None:
    def train() -> None:
        for number, batch in enumerate(counting.loader, start=1):
            counting.step(batch)
            if number == num_steps:
                return

    train()


def leave_by_exception(counting: Counting, num_steps: int) -> None:
    try:
        for number, batch in enumerate(counting.loader, start=1):
            counting.step(batch)
            if number == num_steps:
                raise StopAsyncIteration
    except StopAsyncIteration:
        pass


def leave_by_head(counting: Counting, num_steps: int) -> None:
    """A delivered batch without training is not a step."""
    for number, batch in enumerate(counting.loader):
        if number == num_steps:
            break
        counting.step(batch)


KEPT = []


def leave_an_iterator(counting: Counting, num_steps: int) -> None:
    iterator = iter(counting.loader)
    KEPT.append(iterator)
    for _ in range(num_steps):
        counting.step(next(iterator))


WAYS = [leave_by_break, leave_by_return, leave_by_exception, leave_by_head, leave_an_iterator]


@pytest.mark.parametrize("leave", WAYS)
def test_every_step_that_was_taken_counts(leave, tmp_path):
    counting = Counting(tmp_path)
    with counting.run as run:
        for epoch in run.epochs(3):
            leave(counting, 2)
            assert run.num_steps == 2 * epoch
            run.report()
    assert counting.seen == [[0, 1, 2, 3], [4, 5, 6, 7]] * 3
    assert all(report["step_time_s"] > 0 for report in counting.reports), "of the second step, which was left"
    again = Counting(tmp_path)
    with again.run as run:
        assert list(run.epochs(3)) == []
        assert run.num_steps == 6


@pytest.mark.parametrize("leave", WAYS)
def test_rounds_go_on_where_the_script_has_left(leave, tmp_path):
    """In one launch and in one for each round."""
    whole, launches = Counting(), []
    with whole.run as run:
        for _ in run.rounds(4, num_steps=3):
            leave(whole, 2)
    for _ in range(4):
        launches.append(Counting(tmp_path))
        with launches[-1].run as run:
            next(rounds := run.rounds(4, num_steps=3))
            leave(launches[-1], 2)
            run.report()
            rounds.close()
    assert whole.seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]] * 2 + [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [batch for launch in launches for batch in launch.seen] == whole.seen
    assert launches[-1].run.num_steps == whole.run.num_steps == 8


def test_a_glance_at_the_first_batch_takes_nothing_away():
    counting = Counting()
    with counting.run as run:
        for _ in run.epochs(2):
            (numbers,) = next(iter(counting.loader))
            assert numbers.tolist() == [0, 1, 2, 3]
            for batch in counting.loader:
                counting.step(batch)
    assert counting.seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]] * 2
    assert run.num_steps == 6


def test_an_epoch_may_be_trained_in_several_loops():
    counting = Counting()
    with counting.run as run:
        for _ in run.epochs(2):
            leave_by_break(counting, 1)
            leave_by_head(counting, 1)
            leave_by_break(counting, 5)
    assert counting.seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]] * 2


def test_gradients_of_a_step_that_was_left_do_not_get_into_the_next_one():
    def trained(is_left: bool, **options: Any) -> list[float]:
        counting = Counting(max_local_batch_size=2, **options)
        with counting.run as run:
            torch.nn.init.zeros_(counting.model.weight)
            torch.nn.init.zeros_(counting.model.bias)
            for _ in run.epochs(1):
                if is_left:
                    for batch in counting.loader:
                        assert not counting.step(batch)
                        break
                for batch in counting.loader:
                    counting.step(batch)
            assert run.num_steps == 3
        return [weight.item() for weight in counting.model.parameters()]

    assert trained(is_left=True) == trained(is_left=False)
    assert trained(is_left=True, measure_noise=True) == trained(is_left=False, measure_noise=True)


def test_an_old_iterator_cannot_go_on_beside_a_new_one():
    counting = Counting()
    with counting.run as run:
        iterator = None
        for epoch in run.epochs(2):
            if epoch == 2:
                with pytest.raises(RuntimeError, match="in a new one in each epoch, but an older iterator"):
                    next(iterator)
            iterator = iter(counting.loader)
            counting.step(next(iterator))


def test_two_loaders_side_by_side_are_at_the_same_place(tmp_path):
    """Also if the run is ended between the two."""
    seen = []
    for launch in range(4):
        with pytest.raises(SystemExit) if launch < 3 else nullcontext(), ElasticRun(tmp_path, reporter=print) as run:
            model = run.wrap(nn.Linear(1, 1))
            run.track(optimizer=torch.optim.SGD(model.parameters(), lr=0.01))
            one, other = (run.loader(TensorDataset(torch.arange(12) + 100 * n), 4, shuffle=False) for n in range(2))
            for _ in run.epochs(1):
                for (first,), (second,) in zip(one, other, strict=False):
                    seen.append((first[0].item(), second[0].item()))
                    run.step(model(first[:, None].float()).mean())
                    os.kill(os.getpid(), signal.SIGTERM)
            assert run.num_steps == 3
    assert seen == [(0, 100), (4, 104), (8, 108)]


def test_a_validation_inside_a_training_step_leaves_it_as_it_is(tmp_path):
    """Its samples count as they are, and SIGTERM is heeded after the step: nothing is lost."""
    reports: list[dict[str, Any]] = []
    for is_last in (False, True):
        with nullcontext() if is_last else pytest.raises(SystemExit):  # noqa: SIM117
            with ElasticRun(tmp_path, reporter=lambda **report: reports.append(report)) as run:
                model = run.wrap(nn.Linear(1, 1))
                run.track(optimizer=torch.optim.SGD(model.parameters(), lr=0.01))
                batches = run.loader(TensorDataset(torch.arange(11)), 4, shuffle=False)
                val_batches = run.loader(TensorDataset(torch.arange(5)), 5, train=False)
                for _ in run.epochs(1):
                    for (numbers,) in batches:
                        with run.validating():
                            for (validated,) in val_batches:
                                run.add(val_mean=validated.double().mean())
                                os.kill(os.getpid(), signal.SIGTERM) if run.num_steps == 1 else None
                        assert run.step(model(numbers[:, None].float()).mean())
                        run.add(mean=numbers.double().mean())
                    run.report()
    (report,) = reports
    assert report["mean"] == pytest.approx(5.0)
    assert report["val_mean"] == pytest.approx(2.0)
    assert run.num_steps == 3


def test_loops_over_one_validation_set_may_be_nested():
    with ElasticRun(reporter=print) as run:
        loader = run.loader(TensorDataset(torch.arange(5)), 2, train=False)
        pairs = []
        for (outer,) in loader:
            for (inner,) in loader:
                pairs.append((outer.tolist(), inner.tolist()))
                assert run._lifecycle.present_part().num_samples == len(inner)
        assert pairs == [(a, b) for a in ([0, 1], [2, 3], [4]) for b in ([0, 1], [2, 3], [4])]


class Failing(Dataset):
    """Fails at first."""

    def __init__(self) -> None:
        self.num_failures = 2

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        if index == 3 and self.num_failures:
            self.num_failures -= 1
            raise OSError("no such sample")
        return index


def test_a_sample_that_could_not_be_fetched_is_tried_again():
    with ElasticRun(reporter=print) as run:
        loader = run.loader(Failing(), 2, shuffle=False)
        seen = []
        for _ in run.epochs(1):
            for _ in range(2):
                with pytest.raises(OSError, match="no such sample"):
                    seen += [batch.tolist() for batch in loader]
            seen += [batch.tolist() for batch in loader]
        assert run.num_steps == 3


class Growing(Dataset):
    """Gets a sample more whenever one is fetched."""

    def __init__(self) -> None:
        self.size = 4

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        self.size += 1
        return index


def test_a_dataset_may_grow():
    with ElasticRun(reporter=print) as run:
        loader = run.loader(Growing(), 2)
        assert [sum(len(batch) for batch in loader) for _ in run.epochs(2)] == [4, 8]


class Noisy(TensorDataset):
    """Augments single samples."""

    def __getitem__(self, index: int) -> Any:
        (number,) = super().__getitem__(index)
        assert number.ndim == 0
        return number + torch.rand(())


def test_only_a_plain_tensor_dataset_is_indexed_by_batches():
    def noise(**options: Any) -> list[float]:
        with ElasticRun(reporter=print) as run:
            loader = run.loader(Noisy(torch.zeros(11)), 4, **options)
            return [value for _ in run.epochs(1) for batch in loader for value in batch.tolist()]

    assert sorted(noise()) == sorted(noise(max_local_batch_size=1))
    with ElasticRun(reporter=print) as run:
        loader = run.loader(TensorDataset(torch.arange(3)), 2, train=False, collate_fn=list)
        assert list(loader) == [[(torch.tensor(0),), (torch.tensor(1),)], [(torch.tensor(2),)]]


@pytest.mark.parametrize("leave", ["end", "break", "error"])
def test_workers_end_with_the_run(leave, no_process_left):
    loaders = []  # as in a notebook, where they outlive the block
    try:
        with ElasticRun(reporter=print) as run:
            loaders += [
                run.loader(TensorDataset(torch.arange(12)), 2, train=train, num_workers=1) for train in (True, False)
            ]
            for _ in run.epochs(1):
                for _ in loaders[0]:
                    if leave == "break":
                        break
                for _ in loaders[1]:
                    if leave == "error":
                        raise KeyError
    except KeyError:
        assert leave == "error"
    assert loaders


def train_but(counting: Counting, skipped: set[int], max_epochs: int = 3) -> None:
    """Leaves the batches that begin with these numbers by ``continue``."""
    for _ in counting.run.epochs(max_epochs):
        for batch in counting.loader:
            if batch[0][0].item() in skipped:
                continue
            counting.step(batch)
        counting.run.report()


@pytest.mark.parametrize("skipped", [{0}, {4}, {8}, {0, 4}, {0, 4, 8}])
def test_a_batch_that_is_skipped_is_no_step(skipped, tmp_path):
    counting = Counting(tmp_path)
    with counting.run as run:
        train_but(counting, skipped)
        # Nothing shows that a script that never steps does not step by itself.
        expected = 9 if len(skipped) == 3 else 3 * (3 - len(skipped))
        assert run.num_steps == expected
    again = Counting(tmp_path)
    with again.run as run:
        train_but(again, skipped, max_epochs=4)
        assert again.seen == counting.seen[: len(counting.seen) // 3], "a skipped batch is used up"
        assert run.num_steps == expected + expected // 3


def test_what_was_passed_over_before_the_first_step_is_no_step_in_a_later_launch(tmp_path):
    first = Counting(tmp_path)
    with first.run as run:
        train_but(first, {0, 4, 8}, max_epochs=1)
        assert run.num_steps == 3
    second = Counting(tmp_path)
    with second.run as run:
        train_but(second, set(), max_epochs=2)
        assert run.num_steps == 3


def test_a_script_that_steps_by_itself_counts_all_batches():
    counting = Counting()
    with counting.run as run:
        for _ in run.epochs(2):
            for (numbers,) in counting.loader:
                counting.model(numbers[:, None].float()).mean().backward()
                counting.optimizer.step()
        assert run.num_steps == 6


def test_gradients_of_a_step_that_was_skipped_do_not_get_into_the_next_one():
    def trained(skips_after: int) -> list[float]:
        """Skips the first batch of four, before or after the first one of its micro-batches."""
        counting = Counting(max_local_batch_size=2)
        with counting.run as run:
            torch.nn.init.zeros_(counting.model.weight)
            torch.nn.init.zeros_(counting.model.bias)
            for _ in run.epochs(1):
                for number, batch in enumerate(counting.loader):
                    if skips_after <= number < 2:
                        continue
                    counting.step(batch)
            assert run.num_steps == 2
        return [weight.item() for weight in counting.model.parameters()]

    assert trained(skips_after=1) == trained(skips_after=0)
