"""Where a checkpoint of several files ends."""

from __future__ import annotations

from syne_hypersched.checkpoints._bursts import Bursts


def test_a_name_that_comes_again_begins_the_next_checkpoint():
    bursts = Bursts()
    begins = [bursts.add(path) for path in ("model", "optimizer", "state", "model", "optimizer", "state", "model")]
    assert begins == [True, False, False, True, False, False, True]


def test_it_is_complete_when_it_ends_as_the_one_before_did():
    bursts = Bursts()
    seen = []
    for path in ("model", "state", "model", "state", "model"):
        bursts.add(path)
        seen.append(bursts.is_complete)
    assert seen == [False, False, False, True, False]


def test_a_single_file_is_known_from_its_second_time_on():
    bursts = Bursts()
    assert bursts.add("model")
    assert not bursts.is_complete
    assert bursts.add("model")
    assert bursts.is_complete


def test_numbers_in_names_do_not_count():
    bursts = Bursts()
    assert [bursts.add(f"epoch-{epoch}/part-{part}.pt") for epoch in (1, 2) for part in (0, 1)] == [True] * 4
    assert bursts.is_complete


def test_a_file_may_be_written_to_in_several_goes():
    bursts = Bursts()
    for path in ("model", "state", "model", "model"):
        bursts.add(path)
    assert not bursts.is_complete
    bursts.add("state")
    assert bursts.is_complete


def test_a_file_that_is_written_once_is_no_part_of_the_next_checkpoints():
    bursts = Bursts()
    begins = []
    for path in ("model", "config", "model", "model", "model", "model"):
        begins.append(bursts.add(path))
        if path == "model":
            bursts.report()
    assert begins == [True, False, True, False, True, True]
    assert bursts.is_complete


def test_what_was_moved_away_was_not_in_its_place():
    bursts = Bursts()
    bursts.add("aside-1/0")
    bursts.add("aside-1/1")
    assert bursts.withdraw("aside-1")
    bursts.add("step-1")
    bursts.add("aside-2/0")
    assert not bursts.withdraw("asid")
    assert bursts.withdraw("aside-2")
    assert bursts.add("step-2")
    assert bursts.is_complete
