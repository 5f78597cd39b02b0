"""Generations that lack files."""

from __future__ import annotations

import os

import pytest

from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._lacking import Lacking
from tests.checkpoints.saving import save


@pytest.fixture
def lacking():
    """After generation 1, a file was finished that may belong to the same checkpoint."""
    lacking = Lacking()
    lacking.take(1, num_over=0)
    lacking.add(begins=False, num_over=0)
    return lacking


def test_a_file_that_is_written_after_a_generation_is_missing_in_it(lacking):
    assert lacking.numbers == []
    lacking.report(num_over=0)
    assert lacking.numbers == [1]


def test_it_is_not_if_it_turns_out_to_be_the_first_of_another_checkpoint(lacking):
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


def test_what_came_before_the_certain_beginning_of_another_checkpoint_was_missing(lacking):
    lacking.add(begins=True, num_over=0)
    assert lacking.numbers == [1]
    lacking.report(num_over=1)
    assert lacking.numbers == [1]


def test_a_generation_that_equals_the_folder_again_lacks_nothing(lacking):
    """The file was a temporary one."""
    assert lacking.is_unsure
    lacking.keep(2)
    assert lacking.is_unsure
    lacking.keep(1)
    lacking.report(num_over=0)
    assert (lacking.numbers, lacking.is_unsure) == ([], False)


def test_a_file_that_was_there_at_a_report_and_comes_again_is_not_missing():
    lacking = Lacking()
    lacking.take(1, num_over=0)
    lacking.add(begins=False, num_over=0, is_known=True)
    lacking.add(begins=False, num_over=0)  # it belongs to the next checkpoint, or comes after another generation
    lacking.report(num_over=0)
    assert lacking.numbers == []


def test_a_generation_that_is_not_new_lacks_nothing():
    lacking = Lacking()
    lacking.take(None, num_over=0)
    lacking.add(begins=False, num_over=0)
    lacking.settle(num_over=0)
    assert lacking.numbers == []


def test_a_name_that_is_withdrawn_counts_only_if_no_other_file_came_before_it(lacking):
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


def test_a_file_that_comes_again_before_the_report_does_not_hide_what_was_missing(seen):
    seen.write("model")
    seen.observer.mark_taken(read_tree(seen.folder), 1)
    seen.write("optimiser", "model")
    assert seen.observer.lacking.numbers == [1]


def test_a_file_with_a_temporary_name_is_missing_only_under_its_final_name(seen):
    seen.write("model")
    seen.observer.mark_taken(read_tree(seen.folder), 1)
    (seen.folder / "aside").write_text("weights")
    seen.observer.look()
    assert seen.observer.lacking.is_unsure
    os.rename(seen.folder / "aside", seen.folder.parent / "elsewhere")
    seen.observer.look()
    assert not seen.observer.lacking.is_unsure


def test_a_script_that_copies_its_model_only_sometimes_keeps_the_generations_in_between(seen):
    seen.write("model", "best")
    seen.report()
    for epoch in (2, 3):
        seen.write("model")
        seen.report()
        seen.observer.mark_taken(read_tree(seen.folder), epoch)
        assert seen.observer.lacking.numbers == []


@pytest.mark.parametrize("has_report", [False, True])
def test_a_generation_stays_if_only_a_temporary_file_came_and_went(in_process, wait_for, has_report):
    script = in_process()
    save(script, "model")
    wait_for(script.generations)
    save(script, "scratch")
    script.do(f"os.unlink({str(script.folder / 'scratch')!r})")
    if has_report:
        wait_for(lambda: script.keeper._observer.num_changes > 3 and not script.keeper._observer.is_dirty)
        script.report(1, 1.0)
    script.end()
    assert [sorted(read_tree(files)) for files in files_of(script)] == [["model"]]


@pytest.mark.parametrize("more", [["optimiser"], ["optimiser", "model", "optimiser"]])
@pytest.mark.parametrize("has_report", [False, True])
def test_no_generation_without_a_file_is_left(in_process, wait_for, more, has_report):
    script = in_process(keep=100)
    save(script, "model")
    wait_for(script.generations)
    save(script, *more)
    if has_report:
        script.report(1, 1.0)
    script.end()
    assert all(sorted(read_tree(files)) == ["model", "optimiser"] for files in files_of(script))


def files_of(script):
    store = GenerationStore(script.folder)
    return [store.files(number) for number in script.generations()]
