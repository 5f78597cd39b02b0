"""Which report best/ holds, and the checkpoint that belongs to it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from syne_hypersched.checkpoints import Generation, fingerprint
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints.best import (
    publish,
    published_result,
)
from tests.checkpoints.publishing import no_room


def test_everything_about_the_incumbent_is_there(trials):
    trials.take(0, 3)
    generation = trials.store(0).read(1)
    publish(trials.folder, trials.incumbent(0, 3, 0.5), generation, "exact")
    best = trials.folder / "best"
    assert (best / "checkpoint" / "model").read_text() == "0 at 3"
    assert json.loads((best / "config.json").read_text()) == {"lr": 0.1, "n": 3}
    assert json.loads((best / "result.json").read_text()) == {
        "trial_id": 0, "epoch": 3, "loss": 0.5, "st_worker_timestamp": 1003.0, "st_launch": 0, "st_worker_iter": 2,
        "st_checkpoint": {
            "level": 3, "launch": 0, "generation": 1, "match": "exact", "num_files": 1, "num_bytes": 6,
            "fingerprint": fingerprint(best / "checkpoint"),
        },
    }  # fmt: skip


def test_the_checkpoint_is_the_one_of_the_report_however_late_it_is_published(trials):
    for epoch in (1, 2, 3, 8):
        trials.take(0, epoch)
    trials.match(0, 3, 0.1, generation=3)
    trials.publish(0, 3, 0.1)
    assert trials.best() == (0, 3, "0 at 3", "exact")


def test_a_report_whose_checkpoint_is_still_to_come_is_published_with_it(trials):
    trials.live.add(0)
    trials.publish(0, 3, 0.1)
    trials.publisher.flush()
    assert published_result(trials.folder) is None
    trials.match(0, 3, 0.1, trials.take(0, 3), 1)
    assert trials.best() == (0, 3, "0 at 3", 1)
    assert not trials.publisher.awaits(0)


def test_work_that_was_done_again_is_not_newer(trials):
    """By number it is: the checkpoint was written after the fifth report, which was of epoch 2 again."""
    store = trials.store(0)
    store.checkpoints.mkdir(parents=True)
    (store.checkpoints / "model").write_text("0 at 2")
    for number, level in ((1, 2.0), (2, 3.0)):
        store.take(Generation(number, 1, 5, 5, read_tree(store.checkpoints), {}, level), None)
    trials.publish(0, 4, 0.5)
    assert trials.best() == (0, 4, None, None)
    store.take(Generation(3, 1, 7, 7, read_tree(store.checkpoints), {}, 4.0), None)
    trials.publisher.notice(0)
    assert trials.best()[3] == 4


def test_each_launch_may_have_saved_once_more_than_it_has_reported(trials):
    """Two launches after that of the report were killed after a save."""
    store = trials.store(0)
    store.checkpoints.mkdir(parents=True)
    (store.checkpoints / "model").write_text("0 at 7")
    store.take(Generation(1, 2, 5, 5, read_tree(store.checkpoints), {}, 4.0, is_first=True), None)
    trials.publish(0, 4, 0.5)
    assert trials.best()[3] == 4


def test_after_a_resume_the_log_says_which_report_it_was(trials):
    trials.take(0, 2, after=2, before=2)
    log = trials.store(0).checkpoints.with_name("std.out")
    log.write_text("".join(f"[tune-metric]: {json.dumps(trials.report(epoch, 0.5))}\n" for epoch in (1, 2, 3)))
    trials.publisher.publish(trials.folder, replace(trials.incumbent(0, 2, 0.5), report=None))
    assert trials.best() == (0, 2, "0 at 2", 1)


def test_the_second_best_is_published_if_the_best_has_no_checkpoint(trials):
    trials.match(0, 1, 0.9, trials.take(0, 1))
    trials.publish(0, 1, 0.9)
    trials.live.add(1)
    trials.publish(1, 1, 0.1)
    for trial_id, loss in ((2, 0.7), (3, 0.5), (4, 0.6)):
        trials.match(trial_id, 1, loss, trials.take(trial_id, 1))
        trials.publisher.offer(trials.folder, trials.incumbent(trial_id, 1, loss))
    assert trials.best() == (3, 1, "3 at 1", "exact")
    trials.match(1, 1, 0.1, trials.take(1, 1), 1)
    assert trials.best() == (1, 1, "1 at 1", 1)
    trials.publisher.offer(trials.folder, trials.incumbent(4, 1, 0.6))
    assert trials.best() == (1, 1, "1 at 1", 1)


def test_each_better_one_without_checkpoint_is_told(trials):
    trials.publish(0, 1, 0.1)
    assert trials.best() == (0, 1, None, None)
    trials.publisher.offer(trials.folder, trials.incumbent(1, 1, 0.5))
    assert trials.best() == (0, 1, None, None)
    trials.match(2, 1, 0.7, trials.take(2, 1))
    trials.publisher.offer(trials.folder, trials.incumbent(2, 1, 0.7))
    assert trials.best() == (2, 1, "2 at 1", "exact")
    told = [(incumbent.trial_id, published.is_new) for incumbent, published in trials.told]
    assert told[0] == (0, True)
    assert (1, False) in told


def test_a_trial_that_rests_may_get_a_checkpoint_later(trials):
    trials.publish(0, 1, 0.5)
    assert trials.best() == (0, 1, None, None)
    trials.match(0, 1, 0.5, trials.take(0, 4), 3)
    assert trials.best() == (0, 1, "0 at 4", 3)


def test_what_has_a_checkpoint_stays_until_something_better_has_one(trials):
    trials.match(0, 2, 0.5, trials.take(0, 2))
    trials.publish(0, 2, 0.5)
    trials.live.add(1)
    trials.publish(1, 1, 0.4)
    assert trials.best() == (0, 2, "0 at 2", "exact")
    trials.live.clear()
    trials.publisher.notice(1)
    assert trials.best() == (0, 2, "0 at 2", "exact")
    incumbent, published = trials.told[-1]
    assert (incumbent.trial_id, published.is_new) == (1, False)
    assert "best/ stays as it is" in published.reason


def test_the_end_of_a_tuning_tells_of_what_still_waits_for_its_checkpoint(trials):
    """It may be on a node that is gone, or with processes that do not die; ``verify`` asks why it is not there."""
    trials.match(0, 1, 0.5, trials.take(0, 1))
    trials.publish(0, 1, 0.5)
    trials.live.add(1)
    trials.publish(1, 1, 0.4)
    trials.publisher.finish()
    assert trials.best() == (0, 1, "0 at 1", "exact")
    incumbent, published = trials.told[-1]
    assert (incumbent.trial_id, published.is_new, published.checkpoint) == (1, False, None)
    assert published.reason.startswith("the tuning ended before its checkpoint was here")
    trials.publisher.finish()
    assert len(trials.told) == 2, "it is told once"


def test_the_end_of_a_tuning_tells_of_what_had_no_room(trials):
    trials.match(0, 1, 0.5, trials.take(0, 1))
    trials.publish(0, 1, 0.5)
    trials.best()
    trials.match(1, 1, 0.4, trials.take(1, 1))
    with no_room():
        trials.publish(1, 1, 0.4)
        trials.publisher.finish()
    assert [(incumbent.trial_id, published.is_new) for incumbent, published in trials.told] == [(0, True), (1, False)]


def test_at_the_end_a_newer_checkpoint_will_do_and_an_older_one_will_not(trials):
    trials.take(0, 2)
    trials.publish(0, 3, 0.5)
    assert trials.best() == (0, 3, None, None)
    trials.take(0, 5, after=4, before=5)
    trials.publish(0, 3, 0.5)
    assert trials.best() == (0, 3, "0 at 5", 3)


def test_trials_that_never_save_are_published_without_checkpoint(trials):
    trials.publish(0, 1, 0.5)
    assert trials.best() == (0, 1, None, None)
    trials.publish(1, 1, 0.4)
    assert trials.best() == (1, 1, None, None)
    assert not (trials.folder / "best" / "checkpoint").exists()


@pytest.mark.parametrize(("do_minimize", "better", "worse"), [(True, 0.1, 0.2), (False, 0.2, 0.1)])
def test_after_a_resume_it_is_replaced_only_by_something_better(trials, do_minimize, better, worse):
    trials.publisher.do_minimize = do_minimize
    trials.match(0, 3, better, trials.take(0, 3))
    trials.publish(0, 3, better)
    assert trials.best() == (0, 3, "0 at 3", "exact")
    trials.match(0, 2, worse, trials.take(0, 6))
    for _ in range(2):
        trials.publish(0, 2, worse)
        assert trials.best() == (0, 3, "0 at 3", "exact")


def test_a_report_without_a_level_is_not_offered_and_is_replaced(trials):
    trials.match(0, 2, 0.1, trials.take(0, 2))
    trials.publish(0, 2, 0.1)  # as long as the level's name is not known
    assert trials.best()[:2] == (0, 2)
    result = published_result(trials.folder)
    del result["epoch"]
    (trials.folder / "best" / "result.json").write_text(json.dumps(result))
    trials.publisher.time_attr = "epoch"
    trials.match(1, 1, 0.5, trials.take(1, 1))
    trials.publish(1, 1, 0.5)
    assert trials.best() == (1, 1, "1 at 1", "exact")
    trials.match(2, 1, 0.2, trials.take(2, 1))
    score = trials.incumbent(2, 1, 0.2)
    del score.result["epoch"]
    trials.publisher.offer(trials.folder, score)
    assert trials.best() == (1, 1, "1 at 1", "exact")


def test_a_worse_report_does_not_replace_one_whose_generation_lacked_files(trials):
    """It may be published again after a resume, or be offered, before the better one is."""
    trials.match(3, 1, 0.5, trials.take(3, 1))
    trials.match(3, 2, 0.4, trials.take(3, 2))
    trials.publish(3, 2, 0.4)
    assert trials.best() == (3, 2, "3 at 2", "exact")
    trials.match(3, 2, 0.4, trials.take(3, 2))
    trials.publish(3, 1, 0.5)
    assert trials.best() == (3, 2, "3 at 2", "exact")
