"""What happens between the steps and rounds of a run of one process; ``test_run.py`` has whole trainings."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syne_hypersched.checkpoint_folder import CheckpointFolder
from syne_hypersched.contract import EXIT_DRAINED

torch = pytest.importorskip("torch")

from syne_hypersched.training._batching import Batching  # noqa: E402
from syne_hypersched.training._division import Part, divide  # noqa: E402
from syne_hypersched.training._interruptions import Demand  # noqa: E402
from syne_hypersched.training._lifecycle import Lifecycle  # noqa: E402

PART: Part = divide(8, 0, 1, 1)[0]


class Loop:
    """A loop over a loader, as a lifecycle knows it, whose body is the test."""

    def __init__(self, is_for_training: bool = True) -> None:
        self.is_for_training = is_for_training
        self.is_in_step = False
        self.is_between_steps = True
        self.batching = Batching("fixed", 8, 1)
        self.rounds: list[tuple[int, int | None]] = []
        self.num_ended = 0

    def begin_round(self, epoch: int, num_steps: int | None) -> None:
        self.rounds.append((epoch, num_steps))

    def has_open(self, part: Part) -> bool:
        return True

    def end_step(self) -> None:
        self.num_ended += 1

    def finish_measuring(self) -> None:
        pass

    def resize(self, num_devices: int) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def reports() -> list[dict[str, Any]]:
    return []


class Run:
    """Makes lifecycles, each as a new launch would, and closes them."""

    def __init__(self, folder: Path, reports: list[dict[str, Any]]) -> None:
        self.folder, self.reports = folder, reports
        self.made: list[Lifecycle] = []

    def launch(self, keeps: bool = True, checkpoint_every_s: float | None = None) -> tuple[Lifecycle, Loop]:
        folder = CheckpointFolder(self.folder, 1) if keeps else None
        life = Lifecycle(folder, 0, checkpoint_every_s, None, lambda **report: self.reports.append(report))
        loop = Loop()
        life.loops.append(loop)
        self.made.append(life)
        return life, loop


@pytest.fixture
def run(tmp_path: Path, reports: list[dict[str, Any]]) -> Iterator[Run]:
    run = Run(tmp_path / "checkpoints", reports)
    yield run
    for life in run.made:
        life.close()


def test_rounds_are_counted_and_reported(run: Run, reports: list[dict[str, Any]]) -> None:
    life, loop = run.launch()
    for number in life.rounds(3, num_steps=5):
        life.report({"loss": 1.0 / number})
    assert [report["epoch"] for report in reports] == [1, 2, 3]
    assert [report["loss"] for report in reports] == [1.0, 0.5, pytest.approx(1 / 3)]
    assert loop.rounds == [(1, 5), (2, 5), (3, 5)]
    assert not life.is_inside


def test_a_launch_goes_on_after_the_last_round_that_was_reported(run: Run, reports: list[dict[str, Any]]) -> None:
    life, _ = run.launch()
    for number in life.rounds(5, None):
        assert life.pass_over()
        life.report({"loss": 1.0})
        if number == 2:
            break
    life.close()
    again, loop = run.launch()
    left = []
    for number in again.rounds(4, None):
        left.append(number)
        again.report({"loss": 1.0})
    assert left == [3, 4]
    assert loop.rounds == [(3, None), (4, None)]
    assert again.steps.num == 2
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4]


def test_a_round_without_a_report_ends_with_its_body(run: Run, reports: list[dict[str, Any]]) -> None:
    life, _ = run.launch()
    assert list(life.rounds(2, None)) == [1, 2]
    life.close()
    again, _ = run.launch()
    assert list(again.rounds(3, None)) == [3]
    assert reports == []


def test_a_report_belongs_to_a_round(run: Run) -> None:
    life, _ = run.launch()
    with pytest.raises(RuntimeError, match=r"report\(\) must be called once in each epoch"):
        life.report({"loss": 1.0})
    for _ in life.rounds(1, None):
        life.report({"loss": 1.0})
        with pytest.raises(RuntimeError, match=r"report\(\) must be called once in each epoch"):
            life.report({"loss": 1.0})


def test_a_wrong_report_ends_nothing(run: Run, reports: list[dict[str, Any]]) -> None:
    life, _ = run.launch()
    for _ in life.rounds(1, None):
        with pytest.raises(TypeError, match="loss must be a number"):
            life.report({"loss": None})
        assert life.is_inside
        life.report({"loss": 1.0})
    assert len(reports) == 1


def test_steps_belong_to_a_loop_that_trains(run: Run) -> None:
    life, loop = run.launch()
    with pytest.raises(RuntimeError, match="must be called inside a loop over a loader of this run, but none runs"):
        life.present_part()
    assert life.place() is None
    validation = Loop(is_for_training=False)
    life.enter(validation, PART)
    assert life.present_part() is PART
    assert life.place() is None
    with pytest.raises(RuntimeError, match="of this run that trains"):
        life.step(torch.zeros((), requires_grad=True), None)
    life.enter(loop, PART)
    place = life.place()
    assert place is not None
    assert place.batch_size == 8
    first = place.seed
    assert life.pass_over()
    place = life.place()
    assert place is not None
    assert place.seed != first
    assert (life.steps.num, loop.num_ended) == (1, 1)


def test_a_validation_inside_a_step_returns_to_that_step(run: Run) -> None:
    life, loop = run.launch()
    life.enter(loop, PART)
    before, loop.is_in_step = life.present, True
    validation = Loop(is_for_training=False)
    life.enter(validation, PART)
    life.leave_validation(validation, before)
    assert life.present == (loop, PART)
    # After the step, there is nothing to return to.
    loop.is_in_step = False
    life.enter(validation, PART)
    life.leave_validation(validation, before)
    assert life.present == (validation, PART)


@pytest.mark.parametrize(("keeps", "code"), [(True, EXIT_DRAINED), (False, 128 + signal.SIGTERM)])
def test_sigterm_ends_the_run_between_two_steps(
    run: Run, caplog: pytest.LogCaptureFixture, keeps: bool, code: int
) -> None:
    life, loop = run.launch(keeps=keeps)
    life.listen()
    rounds = life.rounds(3, None)
    assert next(rounds) == 1
    assert life.pass_over()
    os.kill(os.getpid(), signal.SIGTERM)
    loop.is_in_step = True
    life.between_steps(in_training=False)  # a validation inside a step: that is left at its end
    loop.is_in_step = False
    with pytest.raises(SystemExit) as left:
        life.between_steps(in_training=True)
    assert left.value.code == code
    assert "Leaving on SIGTERM in epoch 1, after 1 step" in caplog.text
    life.close()
    again, _ = run.launch(keeps=keeps)
    assert next(again.rounds(3, None)) == 1
    # What was kept is inside the epoch, after its first step.
    assert again.steps.num == (1 if keeps else 0)
    assert again.loops[0].rounds == ([] if keeps else [(1, None)])  # type: ignore[attr-defined]


def test_a_run_that_is_ended_during_validation_goes_on_from_the_end_of_its_training(run: Run) -> None:
    life, _ = run.launch()
    life.listen()
    assert next(life.rounds(3, None)) == 1
    assert life.pass_over()
    life.end_of_training()
    life.steps.num = 99  # what is saved is the state at the end of the training
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit):
        life.between_steps(in_training=False)
    life.close()
    again, _ = run.launch()
    assert next(again.rounds(3, None)) == 1
    assert again.steps.num == 1


def test_time_asks_for_checkpoints_only_where_there_is_a_folder(run: Run) -> None:
    every_moment = 1e-9
    kept, _ = run.launch(checkpoint_every_s=every_moment)
    assert kept.demand() == Demand.SAVE
    unkept, _ = run.launch(keeps=False, checkpoint_every_s=every_moment)
    assert unkept.demand() == Demand.GO_ON


def test_virtual_devices_must_be_divisible(run: Run) -> None:
    for wrong in (0, -2):
        with pytest.raises(ValueError, match=f"virtual_devices must be a multiple of the 1 .* but got {wrong}"):
            Lifecycle(None, 0, None, wrong, None)
