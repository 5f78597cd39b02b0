"""What a launch knows of the files of a checkpoint from the launch before."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._layouts import known_layout, layout_of, marked, unmarked


def test_numbers_are_left_out_where_they_were_others_before():
    assert layout_of(["step-2/rank-0", "done"], {"step-1/rank-0", "done"}) == ["step-#/rank-#", "done"]
    assert layout_of(["rank-0", "rank-1"], {"rank-0", "rank-1"}) == ["rank-0", "rank-1"]
    assert layout_of([], set()) == []


def test_two_files_with_one_number_each_may_be_two_checkpoints():
    assert layout_of(["step-3", "step-4"], {"step-1", "step-2"}) == []
    assert layout_of(["step-3-a-1", "step-3-a-2"], {"step-2-a-1", "step-2-a-2"}) == ["step-#-a-#"] * 2


@pytest.mark.parametrize(
    ("layout", "is_known"),
    [
        ([], False),
        (["model"], True),
        (["step-#"], True),
        (["rank-0"], False),
        (["step-#-rank-0"], False),
        (["step-#-rank-#"], False),
        (["model", "optimizer"], False),
    ],
)
def test_another_number_of_processes_may_write_other_files(layout, is_known):
    assert known_layout(layout, num_processes=2, num_before=2) == layout
    assert known_layout(layout, num_processes=2, num_before=1) == (layout if is_known else [])
    assert known_layout(layout, num_processes=1, num_before=2) == (layout if is_known else [])


def test_files_that_are_closed_several_times_are_marked():
    layout = marked(["rank-0", "step-#", "state"], {"rank-#", "step-#", "another"})
    assert unmarked(layout) == (["rank-0", "step-#", "state"], {"rank-#", "step-#"})
    assert layout[2:] == ["state"]
    assert unmarked(["model"]) == (["model"], set())  # of an earlier version
    assert known_layout(marked(["model"], {"model"}), 2, 1) == marked(["model"], {"model"})
