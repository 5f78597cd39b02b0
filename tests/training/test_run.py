"""Runs in this process, on one device, that are ended at some moment and resumed."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.data import TensorDataset  # noqa: E402

from syne_hypersched.training import EXIT_DRAINED, BatchDropout, ElasticRun  # noqa: E402

NUM_SAMPLES = 100


class Killed(Exception):
    """Replaces the end of the process at this line."""


def make_data():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(NUM_SAMPLES, 4, generator=generator)
    return TensorDataset(features, features.sum(dim=1, keepdim=True), torch.arange(NUM_SAMPLES))


class Training:
    """A small training with all kinds of state, and its records."""

    def __init__(self, folder: Path | None, **options: Any) -> None:
        self.folder = folder
        self.options = {"seed": 3, **options}
        self.reports: list[dict[str, Any]] = []
        self.seen: list[int] = []
        self.random: list[float] = []
        self.rates: list[float] = []
        self.num_report_faults = 0

    def report(self, **metrics: Any) -> None:
        if self.num_report_faults:
            self.num_report_faults -= 1
            raise Killed
        self.reports.append(metrics)

    def launch(self, num_epochs: int = 3, at: tuple[str, int] | None = None, how: str = "term", rounds: int = 0) -> Any:
        """One launch; ``at`` names the place at which it is ended, and the number of passes there."""
        visits = {"train": 0, "validate": 0, "after training": 0}

        def visit(place: str) -> None:
            visits[place] += 1
            if at == (place, visits[place]):
                if how == "term":
                    os.kill(os.getpid(), signal.SIGTERM)
                else:
                    raise Killed

        with ElasticRun(self.folder, reporter=self.report, **self.options) as run:
            self.model = run.wrap(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), BatchDropout(0.2), nn.Linear(8, 1)))
            optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
            self.ema = torch.optim.swa_utils.AveragedModel(self.model)
            run.track(optimizer=optimizer, scheduler=scheduler, ema=self.ema, scaler=torch.amp.GradScaler("cpu"))
            batches = run.loader(make_data(), 16)
            val_batches = run.loader(make_data(), 40, train=False)
            for _ in run.rounds(num_epochs, rounds) if rounds else run.epochs(num_epochs):
                for features, target, index in batches:
                    loss = functional.mse_loss(self.model(features), target)
                    assert run.step(loss, max_norm=1.0)
                    self.ema.update_parameters(self.model)
                    run.add(train_loss=loss, mean_index=index.double().mean())
                    self.seen += index.tolist()
                    self.random.append(float(torch.rand(()) + np.random.rand()))
                    visit("train")
                visit("after training")
                scheduler.step()
                with run.validating():
                    assert not self.model.training
                    for features, target, _ in val_batches:
                        run.add(val_loss=functional.mse_loss(self.model(features), target))
                        visit("validate")
                assert self.model.training
                self.rates.append(scheduler.get_last_lr()[0])
                run.report(answer=42)
        return run

    def state(self) -> list[Any]:
        return [tensor.clone() for tensor in [*self.model.state_dict().values(), *self.ema.state_dict().values()]]


def metrics(report: dict[str, Any]) -> dict[str, Any]:
    """A report without measured seconds."""
    return {key: value for key, value in report.items() if key not in ("step_time_s", "throughput")}


@pytest.fixture
def undisturbed() -> Training:
    training = Training(None)
    training.launch()
    return training


def assert_same(training: Training, expected: Training) -> None:
    assert all(torch.equal(one, other) for one, other in zip(training.state(), expected.state(), strict=True))
    assert [metrics(report) for report in training.reports] == [metrics(report) for report in expected.reports]


def test_an_undisturbed_run(undisturbed):
    assert [report["epoch"] for report in undisturbed.reports] == [1, 2, 3]
    for epoch in range(3):
        assert sorted(undisturbed.seen[epoch * 100 : (epoch + 1) * 100]) == list(range(100))
    assert undisturbed.seen[:100] != undisturbed.seen[100:200], "each epoch has an order of its own"
    for report in undisturbed.reports:
        assert report["mean_index"] == pytest.approx(49.5)
        assert report["answer"] == 42
        assert report["batch_size"] == 16
        assert report["step_time_s"] > 0
    assert undisturbed.rates == pytest.approx([0.005, 0.0025, 0.00125])


@pytest.mark.parametrize("at", [("train", 1), ("train", 10), ("train", 14), ("after training", 2), ("validate", 4)])
def test_sigterm_costs_nothing(tmp_path, undisturbed, at):
    training, handler = Training(tmp_path), signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        training.launch(at=at)
    assert left.value.code == EXIT_DRAINED
    assert signal.getsignal(signal.SIGTERM) is handler, "the handler is given back"
    assert 0 < len(training.seen) < 300
    training.launch()
    assert training.seen == undisturbed.seen, "each sample was trained with once"
    assert training.random == undisturbed.random, "the process-wide generators go on too"
    assert_same(training, undisturbed)


def test_sigterm_at_every_step(tmp_path, undisturbed):
    training = Training(tmp_path)
    for _ in range(200):
        try:
            training.launch(at=("train", 1))
            break
        except SystemExit:
            pass
    assert training.seen == undisturbed.seen
    assert_same(training, undisturbed)


@pytest.mark.parametrize("at", [("train", 10), ("after training", 2), ("validate", 4)])
def test_a_crash_costs_what_came_after_the_last_checkpoint(tmp_path, undisturbed, at):
    training = Training(tmp_path)
    with pytest.raises(Killed):
        training.launch(at=at, how="kill")
    assert len(training.reports) == 1
    training.seen = training.seen[:100]
    training.launch()
    assert training.seen == undisturbed.seen
    assert_same(training, undisturbed)


def test_checkpoints_inside_an_epoch(tmp_path, undisturbed):
    training = Training(tmp_path, checkpoint_every_s=1e-9)
    with pytest.raises(Killed):
        training.launch(at=("train", 11), how="kill")
    assert len(training.seen) == 100 + 4 * 16
    training.launch()
    # The step that was under way when the process ended is done again.
    assert training.seen[: 100 + 3 * 16] + training.seen[100 + 4 * 16 :] == undisturbed.seen
    assert_same(training, undisturbed)


def test_a_report_that_was_not_delivered_is_delivered_later(tmp_path, undisturbed):
    training = Training(tmp_path)
    training.num_report_faults = 1
    with pytest.raises(Killed):
        training.launch()
    assert training.reports == []
    training.launch(num_epochs=2)
    training.launch(num_epochs=2)
    assert [report["epoch"] for report in training.reports] == [1, 2]
    training.launch()
    assert_same(training, undisturbed)


def test_rounds_are_shorter_than_epochs_and_go_on_in_them(tmp_path, undisturbed):
    whole = Training(None)
    whole.launch(5, rounds=3)
    # A round is 48 samples, whole steps of them: the last step of an epoch has 4 samples.
    assert [report["epoch"] for report in whole.reports] == [1, 2, 3, 4, 5]
    assert whole.seen == undisturbed.seen[: len(whole.seen)]
    assert 5 * 48 <= len(whole.seen) <= 5 * 48 + 16
    training = Training(tmp_path)
    for at in (("train", 2), ("train", 5), ("validate", 2)):
        with pytest.raises(SystemExit):
            training.launch(5, at=at, rounds=3)
    training.launch(5, rounds=3)
    assert training.seen == whole.seen
    assert_same(training, whole)


def test_the_newest_checkpoint_may_be_torn(tmp_path, undisturbed):
    training = Training(tmp_path)
    training.launch(num_epochs=2)
    newest = sorted(tmp_path.iterdir())[-1] / "state.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    training.seen, training.reports = training.seen[:100], training.reports[:1]
    with pytest.warns(UserWarning, match="is left out"):
        training.launch()
    assert training.seen == undisturbed.seen
    assert_same(training, undisturbed)


def test_nothing_is_kept_without_a_folder(undisturbed):
    training = Training(None)
    with pytest.raises(SystemExit) as left:
        training.launch(at=("train", 10))
    assert left.value.code == 128 + signal.SIGTERM, "nobody is told that it can go on"


def test_micro_batches_make_the_same_steps(undisturbed):
    def train(**options: Any) -> tuple[list[Any], list[bool], Any]:
        with ElasticRun(reporter=lambda **report: reports.append(report)) as run:
            torch.manual_seed(1)
            model = run.wrap(nn.Linear(4, 1))
            run.track(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
            batches = run.loader(make_data(), 24, **options)
            for _ in run.epochs(2):
                for features, target, _ in batches:
                    loss = functional.mse_loss(model(features), target)
                    stepped.append(run.step(loss))
                    run.add(loss=loss)
                run.report()
        return list(model.parameters()), stepped, run.num_steps

    reports: list[dict[str, Any]] = []
    stepped: list[bool] = []
    expected, _, num_steps = train()
    found, steps, num_steps_in_parts = train(max_local_batch_size=5)
    assert num_steps == num_steps_in_parts == 10
    assert sum(steps[10:]) == 10
    assert len(steps) - 10 == 2 * (4 * 5 + 4), "the last step has four samples, in as many micro-batches"
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert [report["loss"] for report in reports[:2]] == pytest.approx([report["loss"] for report in reports[2:]])
    assert reports[2]["accumulation_steps"] == 4


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


def test_an_epoch_is_reported_once():
    with ElasticRun(reporter=lambda **report: None) as run:
        for _ in run.epochs(1):
            run.report()
            with pytest.raises(RuntimeError, match="once in each epoch, but it has ended"):
                run.report()


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


def test_an_epoch_without_a_report_is_kept_too(tmp_path):
    for expected in ([1, 2], [3, 4]):
        with ElasticRun(tmp_path, reporter=print) as run:
            epochs = []
            for epoch in run.epochs(4):
                epochs.append(epoch)
                if epoch == 3 and expected == [1, 2]:
                    break
        assert epochs[:2] == expected
