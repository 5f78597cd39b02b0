"""A backend goes on with the trials of another one, whose tuner has died."""

from __future__ import annotations

import os
from datetime import datetime

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._restore import RestoredTrial
from syne_hypersched.backends.shared.elastic import ElasticTrial
from tests.backends.local.saving import best, publish

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.mark.parametrize("options", [{"epochs": 2, "mode": "never"}, {"exact": 2}])
def test_what_another_tuner_has_received_is_published_or_the_end_says_why_not(make_trials, tmp_path, options):
    first = make_trials()
    first.start(exact=2)
    first.until_ended()
    publish(first)
    first.start(best=500, **options)
    first.until_ended(1)
    first.backend.stop_all()
    os.remove(first.folder / "events.jsonl")  # it had died before it said anything
    received = [[report for report in first.reports if report["loss"] > 600.0]]
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
    before, last = first.epochs[0][-1], first.epochs[1][-1]
    if "mode" in options:
        (event,) = second.events("unpublished")
        assert (event.trial_id, event.details["result"]["epoch"]) == (1, last)
        assert best(second)[:3] == (0, before, before)
    else:
        assert best(second)[:3] == (1, last, last)
        assert not second.events("unpublished")


@pytest.mark.parametrize("launch", [-1, pytest.param(0, marks=pytest.mark.slow)])
def test_with_whose_checkpoint_a_trial_begins_is_not_forgotten(make_trials, launch):
    """The tuner has died while the trial waited for room, or after it was launched, before its first report."""
    first = make_trials()
    first.start(epochs=3)
    first.until_ended()
    first.backend.stop_all()
    second = make_trials()
    trials = [
        ElasticTrial(i, {"epochs": 5}, datetime(2026, 1, 1), metrics=[], status=status)
        for i, status in enumerate((Status.completed, Status.in_progress))
    ]
    known = [
        RestoredTrial(trials[0], first.reports, launch=0),
        RestoredTrial(trials[1], source=0, launch=launch, num_devices=1),
    ]
    second.backend.restore(known, 10.0, is_set_up=True)
    second.ids.append(1)
    second.epochs[1] = []
    second.backend.resume_trial(1)
    second.until_ended(1)
    assert second.epochs[1] == ([4, 5] if launch < 0 else [1, 2, 3, 4, 5])
    second.backend.stop_all()
