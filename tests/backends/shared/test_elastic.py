"""The trial that elastic backends hand out."""

from __future__ import annotations

from datetime import datetime

import pytest
from syne_tune.backend.trial_status import Status, Trial

from syne_hypersched.backends import ElasticTrial
from syne_hypersched.backends.shared.elastic import check_wish
from syne_hypersched.contract import LimitedTrial, RecordingTrial, is_elastic
from syne_hypersched.contract import ResizableTrial as Contract


class Recorder:
    """Records requests."""

    def __init__(self):
        self.heard = []

    def wished_devices(self, trial_id):
        return 3

    def wish_devices(self, trial_id, num_devices):
        self.heard.append(("resize", trial_id, num_devices))

    def follow(self, time_attr):
        self.heard.append(("follow", time_attr))

    def publish(self, trial_id, result):
        self.heard.append(("publish", trial_id, result))

    def note(self, trial_id, what, reason, numbers):
        self.heard.append(("note", trial_id, what, reason, numbers))


class LimitingRecorder(Recorder):
    """Knows on how many devices its trials can run."""

    def max_num_devices(self, trial_id):
        return {5: 2}.get(trial_id)


def test_not_every_backend_knows_on_how_many_devices_a_trial_can_run():
    assert make_trial(LimitingRecorder()).max_num_devices == 2
    assert make_trial(Recorder()).max_num_devices is None
    assert make_trial(None).max_num_devices is None
    assert isinstance(make_trial(Recorder()), LimitedTrial)


class EndingRecorder(Recorder):
    def end_at(self, trial_id, result):
        self.heard.append(("end_at", trial_id, result))


def test_not_every_backend_wants_to_know_where_a_trial_is_stopped():
    recorder = EndingRecorder()
    make_trial(recorder).end_at({"loss": 1.0})
    assert recorder.heard == [("end_at", 5, {"loss": 1.0})]
    make_trial(Recorder()).end_at({"loss": 1.0})
    make_trial(None).end_at({"loss": 1.0})


def make_trial(backend):
    return ElasticTrial(
        trial_id=5, config={}, creation_time=datetime.now(), metrics=[], status=Status.in_progress, backend=backend
    )


def test_wishes_reach_the_backend():
    recorder = Recorder()
    trial = make_trial(recorder)
    assert is_elastic(trial)
    assert isinstance(trial, Contract)
    assert trial.num_devices == 3
    trial.follow("epoch")
    trial.resize(2)
    trial.publish({"loss": 1.0})
    trial.note("pause", "it is weak", {"rank": 3})
    assert isinstance(trial, RecordingTrial)
    assert recorder.heard == [
        ("follow", "epoch"),
        ("resize", 5, 2),
        ("publish", 5, {"loss": 1.0}),
        ("note", 5, "pause", "it is weak", {"rank": 3}),
    ]


def test_a_copy_without_backend_has_no_devices_and_cannot_be_resized():
    trial = make_trial(None)
    assert trial.num_devices == 0
    trial.follow("epoch")
    trial.publish({})
    trial.note("pause", "it is weak", {})
    with pytest.raises(ValueError, match="trial 5 has no backend"):
        trial.resize(2)


def test_a_trial_of_the_stock_backend_is_not_elastic():
    stock = Trial(trial_id=0, config={}, creation_time=datetime.now())
    assert not is_elastic(stock)


@pytest.mark.parametrize(
    ("num_devices", "error", "message"),
    [
        (2.0, TypeError, r"num_devices must be an integer, but got 2\.0"),
        (True, TypeError, "num_devices must be an integer, but got True"),
        (0, ValueError, "num_devices must be from 1 to 4, but got 0"),
        (5, ValueError, "num_devices must be from 1 to 4, but got 5"),
    ],
)
def test_a_wish_is_for_devices_that_there_are(num_devices, error, message):
    with pytest.raises(error, match=message):
        check_wish(num_devices, 4)
    assert [check_wish(each, 4) for each in (1, 4)] == [1, 4]
