"""What steps and reports of a run may be, and what is refused."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from syne_hypersched.training import ElasticRun  # noqa: E402
from tests.training.trainings import Killed, Training, make_data  # noqa: E402


def test_the_learning_rate_follows_the_batch_in_the_step_alone():
    seen = []

    class Sees(torch.optim.SGD):
        def step(self, closure=None):
            seen.append(self.param_groups[0]["lr"])
            return super().step(closure)

    with ElasticRun(reporter=lambda **report: None) as run:
        model = run.wrap(nn.Linear(4, 1))
        optimizer = run.track(optimizer=Sees(model.parameters(), lr=0.1))
        batches = run.loader(make_data(), 10, batch_mode="goodput", max_batch_size=50, learning_rate_rule="linear")
        from syne_hypersched.training._batching import StepPlan

        batches._loop.batching.next_plan = lambda noise_scale: StepPlan(20, 1)
        for _ in run.epochs(1):
            for features, target, _ in batches:
                run.step(functional.mse_loss(model(features), target))
                assert optimizer.param_groups[0]["lr"] == 0.1
    assert seen == pytest.approx([0.2] * 5)
    assert run.noise_scale is not None


def test_a_step_that_fails_leaves_no_trace():
    """As when a batch is too long for the memory, and the script goes on with the next one."""

    class Fails(torch.optim.SGD):
        is_failing = False

        def step(self, closure=None):
            if self.is_failing:
                raise MemoryError
            return super().step(closure)

    def train(is_failing: bool) -> tuple[list[Any], list[float]]:
        with ElasticRun(reporter=print) as run:
            model = run.wrap(nn.Linear(4, 1))
            optimizer = run.track(optimizer=Fails(model.parameters(), lr=0.1))
            batches = run.loader(make_data(), 10, batch_mode="goodput", max_batch_size=50, learning_rate_rule="linear")
            from syne_hypersched.training._batching import StepPlan

            batches._loop.batching.next_plan = lambda noise_scale: StepPlan(20, 1)
            rates = []
            for _ in run.epochs(1):
                for number, (features, target, _) in enumerate(batches):
                    optimizer.is_failing = number == 2
                    if is_failing or not optimizer.is_failing:
                        with pytest.raises(MemoryError) if optimizer.is_failing else contextlib.nullcontext():
                            run.step(functional.mse_loss(model(features), target))
                    rates.append(optimizer.param_groups[0]["lr"])
            return model.weight.tolist(), rates

    weights, rates = train(is_failing=True)
    assert rates == [0.1] * 5, "the learning rate is as it was"
    assert weights == train(is_failing=False)[0], "its gradients are not in the next step"


def test_what_is_not_tracked_right_is_refused(tmp_path):
    with ElasticRun(tmp_path, reporter=print) as run:
        with pytest.raises(TypeError, match="optimizer must have state_dict and load_state_dict, but got dict"):
            run.track(optimizer={})
        with pytest.raises(ValueError, match="'averages' must be a name that is not taken"):
            run.track(averages=nn.Linear(1, 1))
        with pytest.raises(TypeError, match="dataset must have __len__ and __getitem__, but got generator"):
            run.loader((value for value in range(3)), 2)
        with pytest.raises(ValueError, match="one model must be wrapped and not sharded, but got 0 models"):
            run.loader(make_data(), 10, measure_noise=True)
        with pytest.raises(RuntimeError, match="inside a loop over a loader"):
            run.add(loss=1.0)
        with pytest.raises(RuntimeError, match="inside a loop over a loader"):
            run.step(torch.zeros(()))
        with pytest.raises(RuntimeError, match="once in each epoch"):
            run.report()
        with pytest.raises(ValueError, match="num_steps must be at least 1, but got 0"):
            run.rounds(3, 0)
        with pytest.raises(TypeError, match=r"num_steps must be an integer, but got 2\.5"):
            run.rounds(3, 2.5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="num_rounds must be an integer, but got '3'"):
            run.rounds("3", 1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="num_epochs must be at least 0, but got -1"):
            run.epochs(-1)
        for loading, said in (
            ({"batch_size": "10"}, "batch_size must be an integer, but got '10'"),
            ({"max_local_batch_size": 2.0}, r"max_local_batch_size must be an integer, but got 2\.0"),
            ({"train": "no"}, "train must be True or False, but got 'no'"),
            ({"shuffle": 1}, "shuffle must be True or False, but got 1"),
            ({"measure_noise": None}, "measure_noise must be True or False, but got None"),
            ({"pin_memory": "yes"}, "pin_memory must be True or False, but got 'yes'"),
            ({"num_workers": "2"}, "num_workers must be an integer, but got '2'"),
            ({"num_workers": 1, "prefetch_factor": 1.5}, r"prefetch_factor must be an integer, but got 1\.5"),
            ({"timeout": "1"}, "timeout must be a number of seconds, at least 0, but got '1'"),
        ):
            with pytest.raises(TypeError, match=said):
                run.loader(make_data(), **{"batch_size": 10, **loading})
    for options, message in (
        ({"keep": 0}, "keep must be at least 1"),
        ({"checkpoint_every_s": 0}, "checkpoint_every_s must be a positive number of seconds, but got 0"),
        ({"virtual_devices": 0}, "virtual_devices must be a multiple of the 1 devices of the launch, but got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ElasticRun(tmp_path, **options)
    with pytest.raises(TypeError, match=r"virtual_devices must be an integer, but got 2\.0"):
        ElasticRun(tmp_path, virtual_devices=2.0)  # type: ignore[arg-type]


def test_a_report_holds_plain_values_and_can_be_loaded_again(tmp_path):
    """NumPy's numbers in a checkpoint would keep it from being loaded."""
    reports = []

    def fail(**report):
        reports.append(report)
        raise Killed

    def launch(reporter):
        with ElasticRun(tmp_path, reporter=reporter) as run:
            for epoch in run.epochs(2):
                loss = torch.tensor(0.5, requires_grad=True)
                run.report(loss=loss, accuracy=np.float64(0.25), epoch_again=np.int64(epoch), is_best=np.True_)

    with pytest.raises(Killed):
        launch(fail)
    launch(lambda **report: reports.append(report))
    assert [report["epoch"] for report in reports] == [1, 1, 2]
    for report in reports:
        assert (report["loss"], report["accuracy"], report["is_best"]) == (0.5, 0.25, True)
        assert report["epoch_again"] == report["epoch"]
        assert {type(value) for value in report.values()} == {int, float, bool}


def test_a_report_through_syne_tune_holds_numbers(capsys):
    with ElasticRun() as run:
        for _ in run.epochs(1):
            run.report(loss=torch.tensor(0.5), accuracy=np.float32(0.25))
    printed = capsys.readouterr().out
    assert '"loss": 0.5, "accuracy": 0.25' in printed
    assert "null" not in printed


def test_a_bad_report_does_not_end_the_epoch_nor_gets_into_a_checkpoint(tmp_path):
    reports = []
    with ElasticRun(tmp_path, reporter=lambda **report: reports.append(report)) as run:
        for _ in run.epochs(1):
            for value, error in ((None, TypeError), (torch.ones(2), TypeError), ({1, 2}, TypeError)):
                with pytest.raises(error, match=r"^loss must be a"):
                    run.report(loss=value)
            with pytest.raises(ValueError, match="st_loss must be a name"):
                run.report(st_loss=1.0)
            assert list(tmp_path.iterdir()) == []
            run.report(loss=1.0)
    assert [report["loss"] for report in reports] == [1.0]


def test_a_state_that_could_not_be_loaded_is_refused_at_once(tmp_path):
    class Unsafe:
        def state_dict(self):
            return {"function": os.getcwd}

        def load_state_dict(self, state):
            raise AssertionError

    with ElasticRun(tmp_path, reporter=print) as run:
        run.track(mine=Unsafe())
        with pytest.raises(TypeError, match="the state_dict of mine must consist of tensors, numbers, strings"):
            for _ in run.epochs(1):
                pass


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    Training(tmp_path).launch(num_epochs=1)
    with ElasticRun(tmp_path, reporter=print) as run:
        run.wrap(nn.Linear(4, 1))
        with pytest.raises(RuntimeError, match=r"holds .*'scheduler'.* but this run has"):
            next(run.epochs(2))
