"""A backend goes on with the trials of another one, whose tuner has died."""

from __future__ import annotations

import os
from datetime import datetime

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._restore import RestoredTrial
from syne_hypersched.backends.shared.elastic import ElasticTrial
from tests.backends.local.test_checkpoints import best, publish
from tests.backends.local.test_checkpoints import make_trials as make_trials

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.mark.parametrize("mode", ["never", ""])
def test_what_another_tuner_has_received_is_published_or_the_end_says_why_not(make_trials, tmp_path, mode):
    first = make_trials()
    first.start(epochs=2)
    first.until_ended()
    publish(first)
    first.start(epochs=2, best=2, mode=mode)
    first.until_ended(1)
    first.backend.stop_all()
    os.remove(first.folder / "events.jsonl")  # it had died before it said anything
    received = [[report for report in first.reports if report["loss"] > 3.0]]
    received.append([report for report in first.reports if report not in received[0]])
    second = make_trials()
    second.backend.restore(
        [
            RestoredTrial(ElasticTrial(i, {}, datetime(2026, 1, 1), metrics=[], status=Status.completed), delivered)
            for i, delivered in enumerate(received)
        ],
        10.0,
        is_set_up=True,
    )
    second.backend.stop_all()
    if mode == "never":
        (event,) = second.events("unpublished")
        assert (event.trial_id, event.details["result"]["epoch"]) == (1, 2)
        assert best(second)[:3] == (0, 2, 2)
    else:
        assert best(second)[:3] == (1, 2, 2)
        assert not second.events("unpublished")
