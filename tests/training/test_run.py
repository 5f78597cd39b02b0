"""Runs in this process, on one device, that are ended at some moment and resumed."""

from __future__ import annotations

import signal
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from syne_hypersched.training import EXIT_DRAINED, ElasticRun  # noqa: E402
from tests.training.trainings import Killed, Training, make_data, metrics  # noqa: E402


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
    with pytest.warns(UserWarning, match="is skipped"):
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


def test_an_epoch_is_reported_once():
    with ElasticRun(reporter=lambda **report: None) as run:
        for _ in run.epochs(1):
            run.report()
            with pytest.raises(RuntimeError, match="once in each epoch, but it has ended"):
                run.report()


def test_an_epoch_without_a_report_is_kept_too(tmp_path):
    for expected in ([1, 2], [3, 4]):
        with ElasticRun(tmp_path, reporter=print) as run:
            epochs = []
            for epoch in run.epochs(4):
                epochs.append(epoch)
                if epoch == 3 and expected == [1, 2]:
                    break
        assert epochs[:2] == expected
