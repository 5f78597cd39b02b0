"""Which files are parts of a checkpoint, and which are of use only while it is written."""

from __future__ import annotations

from collections import Counter

import pytest

from syne_hypersched.checkpoints._lifetimes import Lifetimes


def test_what_is_removed_without_a_report_in_between_is_of_brief_use():
    lifetimes = Lifetimes()
    brief = lifetimes.brief({"lock": 1}, {"lock": 1, "model": 1})
    assert brief == {"lock"}
    lifetimes.pass_by(brief)
    assert "lock" in lifetimes.passing
    assert "model" not in lifetimes.passing


def test_one_of_several_files_of_a_name_is_not():
    assert not Lifetimes().brief({"step-#": 1}, {"step-#": 2})


def test_what_was_there_at_the_last_report_is_a_part():
    lifetimes = Lifetimes()
    lifetimes.report(Counter({"model": 1, "state-#": 1}), False)
    assert lifetimes.lasting == {"model": 1, "state-#": 1}
    assert not lifetimes.brief({"state-#": 1}, {"model": 1, "state-#": 1})
    assert lifetimes.lasting == {"model": 1, "state-#": 1}


def test_unless_the_report_came_in_the_middle_of_a_save():
    lifetimes = Lifetimes()
    lifetimes.report(Counter({"model": 1, "lock": 1}), False)
    lifetimes.go_on(has_reported=True)
    assert lifetimes.brief({"lock": 1}, {"model": 1, "lock": 1}) == {"lock"}
    assert lifetimes.lasting == {"model": 1}


def test_what_was_there_during_a_pause_is_a_part():
    lifetimes = Lifetimes()
    lifetimes.rest(Counter({"model": 1, "state-#": 1}), False)
    assert lifetimes.has_rested
    assert not lifetimes.brief({"state-#": 1}, {"model": 1, "state-#": 1})
    assert lifetimes.lose(["state-3"], Counter({"model": 1})) == ["state-3"]
    assert not lifetimes.lose(["state-3"], Counter({"model": 1, "state-#": 1}))


def test_unless_the_pause_came_in_the_middle_of_a_save():
    lifetimes = Lifetimes()
    lifetimes.rest(Counter({"lock": 1}), False)
    lifetimes.go_on(has_reported=False)
    assert not lifetimes.has_rested
    assert lifetimes.brief({"lock": 1}, {"model": 1, "lock": 1}) == {"lock"}


def test_a_pause_counts_until_the_next_report():
    lifetimes = Lifetimes()
    lifetimes.rest(Counter({"old": 1}), False)
    lifetimes.report(Counter({"model": 1}), False)
    assert lifetimes.lasting == {"model": 1}


def test_what_was_of_brief_use_is_a_part_from_its_second_report_on():
    lifetimes = Lifetimes()
    lifetimes.pass_by({"model"})
    lifetimes.report(Counter({"model": 1}), False)
    assert not lifetimes.lasting
    assert lifetimes.brief({"model": 1}, {"model": 1}) == {"model"}
    lifetimes.report(Counter({"model": 1}), False)
    assert lifetimes.lasting == {"model": 1}
    assert "model" not in lifetimes.passing
    assert not lifetimes.brief({"model": 1}, {"model": 1})


def test_reports_in_between_without_it_begin_the_count_anew():
    lifetimes = Lifetimes()
    lifetimes.pass_by({"lock"})
    for names in ({"lock": 1}, {"model": 1}, {"lock": 1}):
        lifetimes.report(Counter(names), False)
        assert "lock" in lifetimes.passing


def test_where_nothing_is_removed_every_checkpoint_that_is_as_the_one_before_is_complete_for_certain():
    assert Lifetimes().is_certain(Counter({"model": 1}))


@pytest.mark.parametrize("wait", [Lifetimes.report, Lifetimes.rest])
@pytest.mark.parametrize("is_complete", [False, True])
def test_where_files_are_removed_a_report_or_a_pause_shows_what_it_consists_of(wait, is_complete):
    lifetimes, names = Lifetimes(), Counter({"model": 1, "state": 1})
    lifetimes.lose(["model"], Counter({"state": 1}))
    assert not lifetimes.is_certain(names)
    wait(lifetimes, names, is_complete)
    assert lifetimes.is_certain(names) == is_complete
    assert not lifetimes.is_certain(Counter({"model": 1}))


def test_or_several_checkpoints_in_a_row_do():
    lifetimes, names = Lifetimes(), Counter({"model": 1, "state": 1})
    lifetimes.lose(["model"], Counter({"state": 1}))
    for others in (names, names, Counter({"model": 1}), *[names] * 4):
        lifetimes.begin(Counter(others))
        assert not lifetimes.is_certain(names)
    lifetimes.begin(Counter(names))
    assert lifetimes.is_certain(names)
