"""Checkpoints that go, and what must not go with them."""

from __future__ import annotations

import logging
import os
import threading

import dill
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.checkpoints import Generation, GenerationStore, Notes
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._store import torn_folder
from syne_hypersched.checkpoints.removal import (
    CheckpointRemover,
    StoppedTrials,
    remove_checkpoints,
    trim_generations,
)
from tests.thoroughness import examples

#: How long a thread may take on a machine under heavy load.
PATIENCE_S = 250.0


def make_checkpoints(folder, size=1000):
    inner = folder / "checkpoint-000000001"
    inner.mkdir(parents=True)
    (inner / "weights").write_bytes(bytes(size))
    return folder


def test_a_folder_is_removed_with_all_that_is_in_it(tmp_path):
    folder = make_checkpoints(tmp_path / "0" / "checkpoints")
    (folder / "more").write_bytes(bytes(24))
    assert remove_checkpoints(folder) == 1024
    assert os.listdir(tmp_path / "0") == []
    assert remove_checkpoints(folder) is None


def test_what_was_set_aside_because_it_may_be_torn_is_removed_too(tmp_path):
    folder = make_checkpoints(tmp_path / "0" / "checkpoints", 20)
    make_checkpoints(torn_folder(folder), 10)
    (tmp_path / "0" / "std.out").touch()
    assert remove_checkpoints(folder) == 30
    assert os.listdir(tmp_path / "0") == ["std.out"]


def test_what_an_interrupted_removal_has_left_is_removed_too(tmp_path):
    make_checkpoints(tmp_path / ".checkpoints-removed", 10)
    folder = make_checkpoints(tmp_path / "checkpoints", 20)
    assert remove_checkpoints(folder) == 30
    make_checkpoints(tmp_path / ".checkpoints-removed", 10)
    assert remove_checkpoints(folder) == 10
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("is_folder", [True, False])
def test_no_link_is_followed(tmp_path, is_folder):
    outside = make_checkpoints(tmp_path / "outside")
    target = outside if is_folder else outside / "checkpoint-000000001" / "weights"
    folder = make_checkpoints(tmp_path / "0" / "checkpoints")
    (folder / "link").symlink_to(target)
    assert remove_checkpoints(folder) == 1000 + folder_link_size(target)
    (tmp_path / "0" / "checkpoints").symlink_to(outside)
    assert remove_checkpoints(folder) == 0
    assert os.listdir(tmp_path / "0") == []
    assert (outside / "checkpoint-000000001" / "weights").stat().st_size == 1000


def folder_link_size(target):
    # A link to a folder is no file to os.walk; one to a file is as long as the path that it holds.
    return 0 if target.is_dir() else len(str(target))


def test_a_trial_folder_that_leads_elsewhere_is_left_alone(tmp_path):
    outside = make_checkpoints(tmp_path / "outside" / "checkpoints")
    (tmp_path / "0").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="the trial's folder is a symbolic link"):
        remove_checkpoints(tmp_path / "0" / "checkpoints")
    assert outside.exists()


def test_a_file_with_another_name_elsewhere_frees_nothing(tmp_path):
    folder = make_checkpoints(tmp_path / "checkpoints")
    os.link(folder / "checkpoint-000000001" / "weights", tmp_path / "kept")
    assert remove_checkpoints(folder) == 0
    assert (tmp_path / "kept").stat().st_size == 1000


class Removals:
    """A remover, and trials of which it is known who needs them."""

    def __init__(self, folder, automatic=True):
        self.folder = folder
        self.needed = set()
        #: Set while nothing is being copied; whether the remover has asked.
        self.may_begin = threading.Event()
        self.may_begin.set()
        self.has_asked = threading.Event()
        self.removed = []
        self.remover = CheckpointRemover(
            automatic, self.path, self.needed.__contains__, lambda trial_id: trial_id not in self.needed,
            self.wait_for_copies, lambda *removed: self.removed.append(removed),
        )  # fmt: skip
        for trial_id in range(4):
            make_checkpoints(self.path(trial_id))

    def wait_for_copies(self):
        self.has_asked.set()
        self.may_begin.wait()

    def path(self, trial_id):
        return self.folder / str(trial_id) / "checkpoints"

    def left(self):
        self.remover.remove()
        self.remover.flush()
        return [trial_id for trial_id in range(4) if self.path(trial_id).exists()]


def test_what_is_needed_stays_until_it_no_longer_is(tmp_path):
    removals = Removals(tmp_path)
    removals.needed.add(1)
    for trial_id in (0, 1):
        removals.remover.request(trial_id)
    assert removals.left() == [1, 2, 3]
    removals.needed.clear()
    assert removals.left() == [2, 3]
    assert removals.removed == [(0, 1000), (1, 1000)]


def test_removing_waits_for_copies_and_a_start_prevents_it(tmp_path):
    removals = Removals(tmp_path)
    removals.may_begin.clear()
    for trial_id in (0, 1):
        removals.remover.request(trial_id)
    removals.remover.remove()  # at once, although nothing can be removed yet
    assert removals.has_asked.wait(PATIENCE_S), "it removes what is being copied"
    assert [trial_id for trial_id in range(4) if removals.path(trial_id).exists()] == [0, 1, 2, 3]
    removals.remover.start(1)
    removals.may_begin.set()
    assert removals.left() == [1, 2, 3]


def test_what_is_to_be_removed_is_not_merely_trimmed_because_its_trial_has_left(tmp_path):
    removals = Removals(tmp_path)
    removals.may_begin.clear()
    for trial_id in (0, 1):
        removals.remover.request(trial_id)
    removals.remover.remove()
    for trial_id in (0, 1):
        removals.remover.leave(trial_id)  # as every poll says
    removals.remover.remove()
    removals.may_begin.set()
    assert removals.left() == [2, 3]


def test_a_trial_that_is_requested_and_started_again_keeps_its_checkpoints(tmp_path):
    removals = Removals(tmp_path)
    removals.remover.request(0)
    removals.remover.start(0)
    assert removals.left() == [0, 1, 2, 3]


def test_an_error_is_one_warning(tmp_path, caplog):
    removals = Removals(tmp_path)
    for trial_id in (0, 1):
        (tmp_path / str(trial_id)).rename(tmp_path / f"moved{trial_id}")
        (tmp_path / str(trial_id)).symlink_to(tmp_path / f"moved{trial_id}")
    for trial_id in (0, 1, 2):
        removals.remover.request(trial_id)
    with caplog.at_level(logging.WARNING):
        assert removals.left() == [0, 1, 3]
    assert [record.message for record in caplog.records if "cannot be removed" in record.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_read_is_one_warning_and_the_end_does_not_wait(tmp_path, caplog):
    removals = Removals(tmp_path)
    make_too_deep(removals.path(0))
    removals.remover.leave(0)
    removals.remover.remove()
    removals.remover.flush()
    removals.remover.request(1)
    with caplog.at_level(logging.WARNING):
        assert removals.left() == [0, 2, 3]
    assert sum("cannot be removed" in record.message for record in caplog.records) == 1
    assert "too long" in caplog.text


def make_too_deep(folder):
    """Makes folders in it that have no path which the kernel takes."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


@pytest.mark.parametrize("automatic", [True, False])
def test_stopped_trials_go_when_they_are_replaced_if_that_is_wanted(tmp_path, automatic):
    removals = Removals(tmp_path, automatic)
    for trial_id in (0, 1):
        removals.remover.start(trial_id)
    removals.remover.leave(0, stopped=True)
    assert removals.left() == [0, 1, 2, 3]
    removals.remover.start(2)
    assert removals.left() == ([1, 2, 3] if automatic else [0, 1, 2, 3])


def test_a_copy_goes_on_with_what_was_requested(tmp_path):
    remover = CheckpointRemover(True, tmp_path.joinpath, bool, bool, dict, print)
    remover.request(1)
    copy = dill.loads(dill.dumps(remover))
    copy.flush()
    assert list(copy._requested) == [1]


def test_checkpoints_go_at_the_end_but_for_those_of_an_experiment_that_may_be_resumed(tmp_path):
    removals = Removals(tmp_path)
    (tmp_path / "journal").mkdir()  # its name on disk, which must not change: older experiments have it
    removals.remover.request(3)
    removals.remover.finish(range(4), tmp_path)
    assert [trial_id for trial_id in range(4) if removals.path(trial_id).exists()] == [0, 1, 2]
    (tmp_path / "journal").rmdir()
    removals.needed.add(1)
    removals.remover.finish(range(4), tmp_path)
    assert [trial_id for trial_id in range(4) if removals.path(trial_id).exists()] == [1]


@pytest.mark.parametrize("is_whole, kept", [(True, []), (False, [2])])
def test_a_checkpoint_that_may_be_torn_keeps_a_whole_one_behind_it(tmp_path, is_whole, kept):
    # A script that is paused while it saves may have left half of a file: no generation may be behind it then.
    folder = make_checkpoints(tmp_path / "checkpoints")
    store = GenerationStore(folder)
    for number in (1, 2):
        store.take(Generation(number, 0, 1, 1, read_tree(folder), {}), None)
        (folder / "checkpoint-000000001" / "weights").write_bytes(bytes(1000 + number))
    store.write_notes(Notes(left=read_tree(folder), is_whole=is_whole))
    trim_generations(folder)
    assert store.numbers() == kept


class Exploiting:
    """Decides as population-based training does whose checkpoint is copied, and carries it out last come, first served.

    (Jaderberg et al., Population Based Training of Neural Networks, 2017, as Syne Tune has it.)
    """

    def __init__(self):
        self.pending = []

    def exploit(self, source):
        self.pending.append(source)

    def start(self):
        return self.pending.pop() if self.pending else None


@given(
    st.lists(st.tuples(st.sampled_from(["exploit", "stop", "complete", "start"]), st.randoms(use_true_random=False)))
)
@settings(max_examples=examples(300))
def test_no_checkpoint_goes_that_is_yet_to_be_copied(happenings):
    training, stopped, removed = Exploiting(), StoppedTrials(), set()
    running, num_trials = [], 0
    for what, random in happenings:
        if what == "start" or not running:
            source = training.start()
            assert source not in removed
            removed |= set(stopped.start(num_trials))
            running.append(num_trials)
            num_trials += 1
            continue
        trial_id = running.pop(random.randrange(len(running)))
        if what == "exploit" and running:
            training.exploit(random.choice(running))
        if random.random() < 0.5:
            stopped.leave(trial_id, stopped=False)  # its script has ended before it was stopped
        stopped.leave(trial_id, stopped=what != "complete")
        assert not removed & set(training.pending)
