"""What best/ says is believed as far as the log of its trial has it."""

from __future__ import annotations

import json

import pytest

from syne_hypersched.checkpoints._standing import Standing


class Experiment:
    """An experiment with one trial, of which the second report is published."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "0").mkdir()
        (folder / "best").mkdir()
        self.log([(1, 0.9), (2, 0.5), (3, 0.7)])
        self.write(trial_id=0, epoch=2, loss=0.5)
        self.standing = Standing(lambda trial_id: folder / str(trial_id) / "checkpoints")
        self.sign = 1

    def log(self, reports):
        lines = [f"[tune-metric]: {json.dumps({'epoch': epoch, 'loss': loss})}\n" for epoch, loss in reports]
        (self.folder / "0" / "std.out").write_text("".join(lines))

    def write(self, **result):
        (self.folder / "best" / "result.json").write_text(json.dumps(result))

    def value(self, result):
        value = result.get("loss")
        return self.sign * value if isinstance(value, (int, float)) else None

    def result(self, metric="loss", time_attr="epoch"):
        return self.standing.result(self.folder, self.value, metric, time_attr)


@pytest.fixture
def experiment(tmp_path):
    return Experiment(tmp_path)


def test_what_the_log_has_is_confirmed(experiment, caplog):
    found = experiment.result()
    assert found == {"trial_id": 0, "epoch": 2, "loss": 0.5}
    assert experiment.standing.is_confirmed
    experiment.write(note="my favourite", **found)
    assert experiment.result()["loss"] == 0.5
    assert experiment.standing.is_confirmed
    assert not caplog.records


@pytest.mark.parametrize("time_attr", ["epoch", None])
@pytest.mark.parametrize("loss", [0.1, 2.0, "better", None])
def test_the_metric_of_the_log_counts_and_one_warning_tells(experiment, caplog, loss, time_attr):
    experiment.write(trial_id=0, epoch=2, loss=loss)
    for _ in range(2):
        assert experiment.result(time_attr=time_attr) == {"trial_id": 0, "epoch": 2, "loss": 0.5}
    assert not experiment.standing.is_confirmed
    assert len(caplog.records) == 1
    assert "loss is 0.5 there" in caplog.text


def test_the_best_one_of_the_log_counts_if_the_metric_is_maximised(experiment):
    experiment.log([(1, 0.9), (2, 0.5), (2, 0.6)])
    experiment.sign = -1
    experiment.write(trial_id=0, epoch=2, loss=3.0)
    assert experiment.result()["loss"] == 0.6


@pytest.mark.parametrize(
    "result", [{"trial_id": 0, "epoch": 9, "loss": 0.1}, {"trial_id": "0", "epoch": 2, "loss": 0.5}, {"loss": 0.5}]
)
def test_what_no_trial_has_reported_is_not_there(experiment, caplog, result):
    experiment.write(**result)
    assert experiment.result() is None
    assert not experiment.standing.is_confirmed
    assert "no such report" in caplog.text


def test_without_reports_in_the_log_it_is_believed(experiment):
    experiment.write(trial_id=0, epoch=2, loss=0.1)
    experiment.log([])
    assert experiment.result()["loss"] == 0.1
    (experiment.folder / "0" / "std.out").unlink()
    experiment.write(trial_id=0, epoch=2, loss=0.2)
    assert experiment.result()["loss"] == 0.2
    assert experiment.standing.is_confirmed


def test_until_the_metric_is_known_nothing_is_judged(experiment):
    experiment.write(trial_id=0, epoch=2, loss=0.1)
    assert experiment.result(metric=None)["loss"] == 0.1
    assert experiment.result()["loss"] == 0.5


def test_what_was_published_just_now_needs_no_log(experiment):
    experiment.write(trial_id=0, epoch=5, loss=0.1)
    experiment.standing.trust(experiment.folder)
    assert experiment.result() == {"trial_id": 0, "epoch": 5, "loss": 0.1}


@pytest.mark.parametrize("content", ["", "[1]", None])
def test_what_cannot_be_read_is_not_there(experiment, content, caplog):
    path = experiment.folder / "best" / "result.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert experiment.result() is None
    assert experiment.standing.is_confirmed
    assert not caplog.records
