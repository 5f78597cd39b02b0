"""A resume with a later deadline, in values; ``test_time_left.py`` of HyperSched tries it with processes."""

from __future__ import annotations

import json

import pytest
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, Deadline, HyperSched
from syne_hypersched.recovery._extension import assume_first_deadline, deadline_wanted, extend, is_extended_to
from syne_hypersched.recovery._replay_state import ReplayState

SPACE = {"x": uniform(0, 1)}
EXTENSION = {"call": "extend", "time_s": 5.0, "from_s": 4.0, "deadline_s": 9.0}


def make(deadline_s):
    return HyperSched(SPACE, "loss", "epoch", 9, num_devices=2, deadline_s=deadline_s, random_seed=0)


def write_metadata(folder, deadline_s):
    folder.joinpath("metadata.json").write_text(json.dumps(make(deadline_s).metadata()))


def test_a_scheduler_without_a_deadline_is_left_alone(tmp_path):
    scheduler = ASHA(SPACE, "loss", "epoch", 9)
    wanted = deadline_wanted(scheduler)
    assert wanted is None
    assume_first_deadline(scheduler, [EXTENSION], tmp_path, wanted)
    assert extend(scheduler, wanted, ReplayState()) is None


@pytest.mark.parametrize(
    ("entries", "stored_s", "made_s", "replayed_s"),
    [([], 4.0, 9.0, 4.0), ([], 9.0, 9.0, 9.0), ([], 9.0, 5.0, 5.0), ([], None, 9.0, 9.0), ([EXTENSION], 9.0, 9.0, 4.0)],
)
def test_what_was_decided_is_replayed_with_the_deadline_of_then(entries, stored_s, made_s, replayed_s, tmp_path):
    if stored_s is not None:
        write_metadata(tmp_path, stored_s)
    scheduler = make(made_s)
    wanted = deadline_wanted(scheduler)
    assume_first_deadline(scheduler, entries, tmp_path, wanted)
    assert scheduler.deadline_s == replayed_s
    entry = extend(scheduler, wanted, ReplayState(time_s=5.0))
    assert scheduler.deadline_s == made_s
    expected = {"call": "extend", "time_s": 5.0, "from_s": replayed_s, "deadline_s": made_s}
    assert entry == (expected if replayed_s < made_s else None)


def test_running_trials_go_on_on_as_many_devices_as_trials_start_with():
    progress = ReplayState(num_devices_per_trial=1, num_devices={3: 4, 5: 1}, exhausted=True)
    progress.apply(EXTENSION)
    assert progress.num_devices == {3: 1, 5: 1}
    assert not progress.exhausted


def test_a_snapshot_may_be_of_an_extension():
    assert is_extended_to([EXTENSION], 9.0)
    assert not is_extended_to([EXTENSION], 8.0)
    assert not is_extended_to([], None)


@pytest.mark.parametrize(
    ("entries", "stored_s", "made_s", "replayed_s"),
    [
        # Both left it to the tuner: what is replayed takes the deadline of then by itself.
        ([], None, None, None),
        # Only the second one: that of the first one is known by its arguments, or by its extension.
        ([], 4.0, None, 4.0),
        ([EXTENSION], None, None, 4.0),
        # Only the first one: that of its backend.
        ([{"call": "add", "situation": [2, 4.0]}], None, 9.0, 4.0),
        ([{"call": "add", "situation": [2, None]}], None, 9.0, 9.0),
    ],
)
def test_a_deadline_may_be_left_to_the_tuner(entries, stored_s, made_s, replayed_s, tmp_path):
    write_metadata(tmp_path, stored_s)
    scheduler = make(made_s)
    wanted = deadline_wanted(scheduler, Deadline(9.0))
    assert wanted == 9.0
    assume_first_deadline(scheduler, entries, tmp_path, wanted)
    assert scheduler.deadline_s == replayed_s
    extension = extend(scheduler, wanted, ReplayState(time_s=5.0))
    assert (extension is not None) == (replayed_s == 4.0)
    assert scheduler.deadline_s == (None if replayed_s is None else 9.0)


def test_nothing_is_extended_before_the_devices_are_known():
    """The tuner has died before its first trial: the strategy is made when the backend says what it has."""
    scheduler = HyperSched(SPACE, "loss", "epoch", 9, deadline_s=4.0, random_seed=0)
    assert extend(scheduler, 9.0, ReplayState()) is not None
    assert scheduler.deadline_s == 9.0


def test_without_the_arguments_of_the_first_scheduler_its_deadline_is_not_guessed(tmp_path):
    """It may have had one of its own, other than that of its backend."""
    scheduler = make(9.0)
    assume_first_deadline(scheduler, [{"call": "add", "situation": [2, 4.0]}], tmp_path, 9.0)
    assert scheduler.deadline_s == 9.0


@pytest.mark.parametrize(
    ("before_s", "entries", "wanted_s"),
    [(9.0, [], None), (9.5, [], None), (8.0, [], 9.0), (None, [], 9.0), (9.0, [EXTENSION], 9.0)],
)
def test_a_deadline_that_the_scheduler_has_taken_before_is_no_later_one(before_s, entries, wanted_s):
    headers = [{"deadline_s": 1.0}, {} if before_s is None else {"deadline_s": before_s}]
    assert deadline_wanted(make(None), Deadline(9.0), headers, entries) == wanted_s
    assert deadline_wanted(make(5.0), Deadline(9.0), headers, entries) == 5.0
