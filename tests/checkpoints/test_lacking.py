"""Generations that lack files."""

from __future__ import annotations

from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._lacking import Lacking


def test_a_file_that_is_written_after_a_generation_is_missing_in_it():
    lacking = Lacking()
    lacking.take(1, num_over=0)
    lacking.add(begins=False, num_over=0)
    assert lacking.numbers == []
    lacking.report(num_over=0)
    assert lacking.numbers == [1]


def test_it_is_not_if_it_turns_out_to_be_the_first_of_another_checkpoint():
    lacking = Lacking()
    lacking.take(1, num_over=0)
    lacking.add(begins=False, num_over=0)
    lacking.report(num_over=1)
    assert lacking.numbers == []
    lacking.add(begins=False, num_over=0)
    lacking.report(num_over=1)
    assert lacking.numbers == []


def test_a_report_in_between_or_the_certain_beginning_of_another_checkpoint_makes_it_none():
    lacking = Lacking()
    lacking.take(1, num_over=0)
    lacking.report(num_over=0)
    lacking.add(begins=False, num_over=0)
    lacking.take(2, num_over=0)
    lacking.add(begins=True, num_over=0)
    lacking.add(begins=False, num_over=0)
    lacking.settle(num_over=0)
    assert lacking.numbers == []


def test_a_generation_that_is_not_new_lacks_nothing():
    lacking = Lacking()
    lacking.take(None, num_over=0)
    lacking.add(begins=False, num_over=0)
    lacking.settle(num_over=0)
    assert lacking.numbers == []


def test_a_name_that_is_withdrawn_counts_only_if_no_other_file_came_before_it():
    lacking = Lacking()
    lacking.take(1, num_over=0)
    lacking.add(begins=False, num_over=0)
    lacking.withdraw()
    lacking.settle(num_over=0)
    assert lacking.numbers == []
    lacking.add(begins=False, num_over=0)
    lacking.add(begins=False, num_over=0)
    lacking.withdraw()
    lacking.settle(num_over=0)
    assert lacking.numbers == [1]


def test_two_names_in_turn_are_two_checkpoints_and_the_first_one_stays(seen):
    """The generation is taken after the report, since the first checkpoint may grow until then."""
    for epoch in range(1, 5):
        seen.write(f"slot-{'ab'[epoch % 2]}", "newest")
        seen.report()
        seen.observer.mark_taken(read_tree(seen.folder), epoch)
        assert seen.observer.lacking.numbers == []


def test_a_first_checkpoint_that_goes_on_after_its_report_and_its_generation_lacked_files(seen):
    seen.write("model")
    seen.report()
    seen.observer.mark_taken(read_tree(seen.folder), 1)
    seen.write("optimiser")
    assert seen.observer.lacking.numbers == []
    seen.report()
    assert seen.observer.lacking.numbers == [1]
