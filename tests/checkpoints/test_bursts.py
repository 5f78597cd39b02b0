"""Where a checkpoint of several files ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.checkpoints._bursts import Bursts


def add(bursts, *paths):
    """Adds paths, and reports where there is a ``|``; returns which of them begin a checkpoint."""
    begins = []
    for path in paths:
        if path == "|":
            bursts.report()
        else:
            begins.append(bursts.add(path))
    return begins


def test_a_file_that_comes_again_begins_the_next_checkpoint():
    bursts = Bursts()
    begins = add(bursts, "model", "optimizer", "state", "model", "optimizer", "state", "model")
    assert begins == [True, False, False, True, False, False, True]


def test_it_is_complete_when_it_has_what_the_one_before_had():
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


def test_the_first_checkpoint_may_lack_files_if_a_report_came_while_one_was_written():
    bursts = Bursts()
    bursts.report()
    bursts.overlap(False)
    bursts.add("model")
    assert not bursts.is_partial
    bursts.overlap(True)
    assert bursts.is_partial
    bursts.report()
    assert bursts.is_partial
    assert not bursts.is_first
    bursts.add("optimizer")
    assert bursts.is_partial
    add(bursts, "model", "optimizer")
    assert bursts.is_complete
    assert not bursts.is_partial


@pytest.mark.parametrize("folder", ["", "epoch-{}/"])
def test_parts_with_numbers_are_parts_of_one_checkpoint(folder):
    bursts = Bursts()
    for epoch in (1, 2, 3):
        parts = [f"{folder.format(epoch)}model-{part}-of-3" for part in (1, 2, 3)]
        for number, part in enumerate(parts):
            assert bursts.add(part) == (number == 0)
            assert bursts.is_complete == (epoch > 1 and number == 2)
            assert bursts.is_partial == (number < 2)
        bursts.report()


def test_a_report_in_the_middle_does_not_end_parts_whose_names_say_how_many_there_are():
    """A thread saves while the script trains on and reports."""
    bursts = Bursts()
    assert add(bursts, "model-1-of-3", "model-2-of-3", "|") == [True, False]
    assert (bursts.is_first, bursts.is_partial) == (False, True)
    assert add(bursts, "model-3-of-3", "index", "|") == [False, False]
    assert (bursts.is_first, bursts.is_partial) == (True, False)
    assert add(bursts, "model-1-of-3", "|", "model-2-of-3", "model-3-of-3", "|", "index") == [True, False, False, False]
    assert bursts.is_complete


def test_a_number_of_parts_that_never_comes_is_one_of_epochs():
    bursts = Bursts()
    for epoch in (1, 2, 3):
        assert add(bursts, f"checkpoint-{epoch}-of-27", "|") == [epoch == 1]
    for epoch in (4, 5, 6):
        assert add(bursts, f"checkpoint-{epoch}-of-27", "|") == [True]
    assert bursts.is_complete


def test_a_file_for_each_epoch_is_a_checkpoint_of_its_own():
    bursts = Bursts()
    assert add(bursts, "epoch-1", "|", "epoch-2", "|", "epoch-3") == [True, True, True]
    assert bursts.is_complete


def test_a_file_that_comes_once_does_not_make_two_epochs_one_checkpoint():
    bursts = Bursts()
    assert add(bursts, "pid", "epoch-1", "|", "epoch-2", "|", "epoch-3", "|", "epoch-4") == [
        True, False, True, True, True,
    ]  # fmt: skip
    assert bursts.is_complete


def test_a_report_does_not_end_a_checkpoint_that_was_longer_before():
    """A thread saves while the script trains on and reports."""
    bursts = Bursts()
    assert add(bursts, "1/part-1", "1/part-2", "|", "2/part-1", "|", "2/part-2", "3/part-1") == [
        True, False, True, False, True,
    ]  # fmt: skip


def test_a_file_may_be_written_to_in_several_goes():
    bursts = Bursts()
    add(bursts, "model", "state", "model", "model")
    assert not bursts.is_complete
    bursts.add("state")
    assert bursts.is_complete


def test_a_file_that_is_written_once_is_no_part_of_the_next_checkpoints():
    bursts = Bursts()
    begins = add(bursts, "model", "config", "|", "model", "|", "model", "|", "model", "|", "model")
    assert begins == [True, False, True, False, True, True]
    assert bursts.is_complete


def test_a_checkpoint_may_begin_with_another_name_than_the_first_one():
    bursts = Bursts()
    bursts.begin()
    bursts.add("model")
    bursts.begin()
    assert add(bursts, "model.old", "model") == [True, False]
    for _ in range(3):
        bursts.begin()
        assert bursts.add("model.old")
        assert bursts.is_partial
        assert not bursts.add("model")
        assert bursts.is_complete


@pytest.mark.parametrize(
    "paths",
    [
        ["settings", "model", "|", "model", "|"],
        ["settings", "words", "model", "state", "|", "model", "state", "|"],
        ["settings", "step-1/model", "|", "step-2/model"],
    ],
)
def test_files_that_are_written_once_are_no_part_of_the_next_checkpoint_after_a_report(paths):
    bursts = Bursts()
    add(bursts, *paths)
    if paths[-1] != "|":
        bursts.remove("step-1/model")  # so that step-2 is no second part of the first checkpoint
        bursts.report()
    assert bursts.is_complete
    assert not bursts.is_partial


@pytest.mark.parametrize(
    "paths",
    [
        ["model", "state", "|", "model", "|"],  # a thread saves
        ["shard-1", "shard-0", "|", "shard-0", "|"],  # two processes save, without waiting for each other
        ["model", "settings", "|", "model", "|"],
    ],
)
def test_a_report_does_not_complete_a_checkpoint_that_may_lack_files(paths):
    bursts = Bursts()
    add(bursts, *paths)
    assert not bursts.is_complete
    assert bursts.is_partial


def test_a_report_says_nothing_if_one_came_while_a_file_was_written():
    bursts = Bursts()
    add(bursts, "settings", "model", "|")
    bursts.overlap(True)
    add(bursts, "model", "|")
    assert bursts.is_partial


def test_a_part_of_the_checkpoint_before_may_be_moved_away_in_the_middle_of_the_next_one():
    bursts = Bursts()
    add(bursts, "model", "index", "|")
    for _ in range(2):
        assert bursts.add("model")
        bursts.set_aside("index")
        assert bursts.is_partial
        assert not bursts.add("index")
        assert bursts.is_complete
        bursts.report()


def test_a_file_that_was_moved_away_comes_again():
    bursts = Bursts()
    add(bursts, "model", "|")
    bursts.set_aside("model")
    assert bursts.is_partial
    assert bursts.add("model")
    assert bursts.is_complete


def test_what_was_moved_away_was_not_in_its_place():
    bursts = Bursts()
    bursts.add("aside-1/0")
    bursts.add("aside-1/1")
    assert bursts.withdraw("aside-1")
    bursts.add("step-1")
    bursts.report()
    bursts.add("aside-2/0")
    assert not bursts.withdraw("asid")
    assert bursts.withdraw("aside-2")
    assert bursts.add("step-2")
    bursts.report()
    assert bursts.add("step-3")
    assert bursts.is_complete


def test_an_old_checkpoint_may_be_moved_away_before_it_is_removed():
    bursts = Bursts()
    for epoch in (1, 2, 3):
        assert add(bursts, f"step-{epoch}/model", f"step-{epoch}/state", "|") == [True, False]
        if epoch > 1:
            assert bursts.is_complete
            bursts.set_aside(f"step-{epoch - 1}")
            assert bursts.is_complete
            bursts.remove(f"gone-{epoch - 1}")
            assert bursts.is_complete


def test_two_names_in_turn_and_then_which_one_is_the_newest():
    bursts = Bursts()
    assert add(bursts, "A", "newest", "|") == [True, False]
    bursts.add("B")
    assert bursts.is_partial
    bursts.add("newest")
    bursts.report()
    for name in ("A", "B", "A"):
        assert bursts.add(name)
        assert bursts.is_partial
        assert not bursts.add("newest")
        assert bursts.is_complete
        bursts.report()


def test_names_are_not_used_in_turn_if_reports_come_in_the_middle():
    """A thread saves."""
    bursts = Bursts()
    add(bursts, "model", "|", "state", "model", "|", "state", "|", "model", "state", "|", "model", "|", "state")
    assert bursts.is_complete
    assert bursts.add("model")
    assert bursts.is_partial


def test_a_file_that_is_removed_after_it_got_a_second_name_ends_a_checkpoint():
    bursts = Bursts()
    for epoch in range(1, 5):
        assert bursts.add(f"step-{epoch}")
        assert not bursts.is_complete
        assert not bursts.add("newest")
        bursts.remove(f"step-{epoch}")
        assert bursts.is_complete == (epoch > 1)
        bursts.report()


def test_a_file_that_is_removed_in_the_middle_of_a_save_does_not_end_it():
    bursts = Bursts()
    for _ in range(3):
        bursts.add("lock")
        bursts.add("model")
        bursts.remove("lock")
        assert not bursts.add("state")
        bursts.report()
    assert bursts.is_complete


def test_if_no_checkpoint_is_like_the_one_before_names_say_nothing():
    """Other files each time, and reports come at any time."""
    bursts = Bursts()
    add(bursts, "A", "model", "|", "B", "C", "model", "|", "D", "model", "E", "|", "F", "model", "G", "model", "H")
    assert not bursts.is_complete
    assert not bursts.is_partial


REPORTS_IN_A_SAVE = [
    ("A", "|", "newest", "B", "newest", "|", "A", "newest", "B", "|", "|", "newest", "A", "newest", "B"),
    ("A", "|", "newest", "B", "|", "newest", "A", "|", "newest", "B"),
    ("A", "|", "newest", "|", "B", "newest", "A", "newest", "|", "|", "B"),
]


@pytest.mark.parametrize("files", REPORTS_IN_A_SAVE)
def test_names_are_used_in_turn_and_reports_come_at_any_time(files):
    """A thread saves."""
    bursts = Bursts()
    add(bursts, *files)
    assert bursts.is_partial
    assert not bursts.is_complete
    for name in ("C", "B", "A"):
        bursts.report()
        assert not bursts.add("newest")
        assert bursts.is_complete
        assert bursts.add(name)
        assert bursts.is_partial


@pytest.mark.parametrize("files", REPORTS_IN_A_SAVE)
def test_the_second_checkpoint_of_names_in_turn_is_known_by_how_the_first_one_ended(files):
    bursts, ends = Bursts(), 0
    for name in files:
        add(bursts, name)
        ends += name == "newest"
        assert bursts.is_first == (ends < 2)
        if ends > 1 and name == "newest":
            assert bursts.is_complete


#: The files of a checkpoint, by its number.
LAYOUTS = {
    "one file": lambda n: ["model"],
    "files": lambda n: ["model", "state", "meta"],
    "steps": lambda n: [f"model-{n}", f"state-{n}"],
    "a step and the newest": lambda n: [f"step-{n}", "latest"],
    "names in turn": lambda n: [f"model-{'ab'[n % 2]}", f"state-{'ab'[n % 2]}", "newest"],
    "parts": lambda n: ["model-1-of-3", "model-2-of-3", "model-3-of-3", "index"],
    "parts of steps": lambda n: [f"step-{n}-part-0", f"step-{n}-part-1"],
    "a folder of parts": lambda n: ["model/part-0", "model/part-1", "model/index"],
    "folders of ranks": lambda n: ["rank-0/model", "rank-0/state", "rank-1/model", "rank-1/state"],
    "folders": lambda n: [f"step-{n}/model/part-0", f"step-{n}/model/part-1", f"step-{n}/opt/part-0", f"step-{n}/meta"],
    "folders and the newest": lambda n: [f"step-{n}/part-0", f"step-{n}/part-1", "latest"],
    "a folder of steps": lambda n: [f"version_0/step-{n}", "version_0/last"],
    "folders in a folder": lambda n: [f"version_0/step-{n}/model", f"version_0/step-{n}/state"],
}  # fmt: skip


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("is_cut", [False, True])
@given(data=st.data())
def test_a_checkpoint_is_never_complete_in_its_middle(files, is_cut, data):
    """One report for each checkpoint: after it, or, if a thread saves, somewhere in it."""
    bursts = Bursts()
    for number in range(1, 8):
        names = files(number)
        place = data.draw(st.integers(0, len(names))) if is_cut and len(names) > 1 else len(names)
        for name in (*names[:place], "|", *names[place:]):
            add(bursts, name)
            written = [*names[: names.index(name)], name] if name != "|" else names[:place]
            if 0 < len(written) < len(names):
                assert not bursts.is_complete
        # Names tell nothing of the first ones.
        assert is_cut or number < 5 or bursts.is_complete


def test_a_file_that_is_only_written_at_the_start_is_taken_for_a_name_in_turn_for_one_checkpoint():
    bursts = Bursts()
    add(bursts, "settings", "last", "best", "|", "last")
    assert bursts.is_complete
    bursts.report()
    add(bursts, "last", "best", "|")
    add(bursts, "last", "best", "|")
    assert bursts.is_complete


def test_a_file_that_is_only_of_use_while_the_others_are_written_is_no_part():
    bursts = Bursts()
    for epoch in (1, 2, 3, 4):
        add(bursts, f"step-{epoch}", "model")
        bursts.remove(f"step-{epoch}")
        assert not bursts.is_partial
        bursts.report()
    assert bursts.is_complete


def test_a_file_that_is_removed_too_late_to_be_noticed_at_once_is_no_part_either():
    bursts = Bursts()
    add(bursts, "model", "|", "step-1", "model")
    bursts.remove("step-1")
    for epoch in (2, 3):
        add(bursts, f"step-{epoch}", "model")
        bursts.remove(f"step-{epoch}")
    assert not bursts.is_partial


@pytest.mark.parametrize("reports", [(1, 2, 3, 4), (1, 3)])
def test_a_file_that_is_removed_before_it_is_written_again_is_a_part(reports):
    bursts = Bursts()
    for epoch in (1, 2, 3, 4):
        bursts.remove(f"state-{epoch - 1}")
        assert bursts.is_partial == (epoch > 1)
        assert bursts.add("model")
        assert not bursts.is_complete
        assert not bursts.add(f"state-{epoch}")
        assert bursts.is_complete == (epoch > 1)
        if epoch in reports:
            bursts.report()


def test_an_old_file_that_is_removed_after_the_new_one_is_written_was_not_a_second_part():
    bursts = Bursts()
    add(bursts, "model-1", "model-2", "|")
    for epoch in (3, 4, 5):
        bursts.add(f"model-{epoch}")
        bursts.remove(f"model-{epoch - 1}")
        bursts.report()
    assert bursts.is_complete


def test_the_second_checkpoint_of_a_launch_may_have_another_name():
    bursts = Bursts()
    assert add(bursts, "slot-a", "newest", "|", "slot-b") == [True, False, False]
    assert bursts.is_partial
    assert not bursts.add("newest")
    assert not bursts.is_partial
    bursts.report()
    assert bursts.is_complete
    assert add(bursts, "slot-a", "newest") == [True, False]
    assert bursts.is_complete


@pytest.mark.parametrize("place", [1, 2])
def test_a_file_that_was_only_of_use_during_a_save_is_no_part_if_a_report_comes_in_the_middle(place):
    """A thread saves while the script goes on."""
    bursts = Bursts()
    for epoch in (1, 2, 3, 4):
        for number, path in enumerate(("lock", "model")):
            if epoch == 3 and number == place:
                bursts.report()
            bursts.add(path)
        if epoch == 3 and place == 2:
            bursts.report()
        bursts.remove("lock")
        assert not bursts.is_partial
        if epoch != 3:
            bursts.report()


@pytest.mark.parametrize("place", [0, 1])
def test_a_file_that_gives_its_content_a_second_name_is_no_part_if_a_report_comes_in_the_middle(place):
    """A thread saves."""
    bursts = Bursts()
    for epoch in (1, 2, 3, 4):
        for number, path in enumerate((f"step-{epoch}", "model")):
            if number == place:
                bursts.report()
            assert bursts.add(path) == (number == 0)
            assert bursts.is_partial == (epoch > 1)
        bursts.remove(f"step-{epoch}")
        assert bursts.is_complete == (epoch > 1)


def test_the_oldest_checkpoint_is_no_file_that_was_of_use_only_during_a_save():
    """A thread saves."""
    bursts = Bursts()
    add(bursts, "step-1", "|", "latest", "step-2", "|", "latest")
    for epoch in (3, 4, 5):
        assert bursts.add(f"step-{epoch}")
        assert not bursts.is_complete
        bursts.remove(f"step-{epoch - 1}")
        assert not bursts.is_complete
        bursts.add("latest")
        bursts.report()


@pytest.mark.parametrize("num_before", [1, 2])
def test_parts_after_a_report_in_their_middle_complete_the_first_checkpoint(num_before):
    bursts = Bursts()
    parts = [f"model-{number}-of-3" for number in (1, 2, 3)]
    add(bursts, *parts[:num_before], "|")
    assert not bursts.is_only_one  # some parts lack
    add(bursts, *parts[num_before:])
    assert not bursts.is_partial
    assert bursts.is_first
    assert bursts.is_only_one


@pytest.mark.parametrize("paths", [["model", "state", "|", "model"], ["model-1", "state-1", "|", "model-2"]])
def test_what_may_be_of_two_checkpoints_is_not_the_only_one(paths):
    bursts = Bursts()
    assert not bursts.is_only_one
    add(bursts, *paths)
    assert not bursts.is_only_one


def test_a_report_while_a_thread_writes_a_folder_aside_does_not_split_the_folder():
    bursts = Bursts()
    add(bursts, "aside-1/model", "|", "aside-1/state")
    assert bursts.withdraw("aside-1")


def test_one_of_several_files_that_are_moved_into_place_one_by_one_has_come_since_the_report():
    bursts = Bursts()
    add(bursts, "|", "aside-1", "aside-2")
    assert bursts.withdraw("aside-1")
    add(bursts, "aside-3", "|", "aside-4")
    assert not bursts.withdraw("aside-3")


def test_a_script_that_opens_a_file_twice_during_a_save_may_open_it_once_more():
    """As where a second library adds to the file of the first one."""
    bursts = Bursts()
    add(bursts, "model", "model", "|")
    assert not bursts.may_go_on
    assert add(bursts, "model") == [True]
    assert bursts.may_go_on
    assert add(bursts, "model") == [False]
    bursts.report()
    assert bursts.is_complete
    assert not bursts.may_go_on  # it has reported since


def test_a_file_that_is_written_again_after_a_pause_is_another_checkpoint():
    bursts = Bursts()
    bursts.add("model")
    bursts.rest()
    assert bursts.add("model")
    assert not bursts.may_go_on


#: What a script does for a checkpoint: ``+`` finishes a file, ``-`` removes one; N is its number, O the one before.
WAYS = (
    "+m", "+m +s", "+m-N", "+m-N -m-O", "-m-O +m-N", "-s-O +m +s-N", "+m -s-O +s-N", "+m +s-N -s-O", "-s-O +s-N +m",
    "+s-N -s-O +m", "+s-N +m -s-O", "+a-N +b-N -a-O -b-O", "-a-O -b-O +a-N +b-N", "+a-N -a-O +b-N -b-O",
    "-a-O +a-N -b-O +b-N", "+a-1-of-2 +a-2-of-2", "-s-O -t-O +m +s-N +t-N", "-m -s +m +s", "-s +m +s", "-m +m +s",
    "-done +m +s +done", "+m -done +s +done", "+m +tmp -tmp +s", "+lock +m +s -lock", "+lock +m -lock",
    "+e-N/m +e-N/s", "+e-N/m +e-N/s -e-O/m -e-O/s", "-e-O/m -e-O/s +e-N/m +e-N/s", "+e-N/m +e-N/s +latest",
)  # fmt: skip
#: Saves and reports of an epoch.
EPOCHS = ("SR", "RS", "SRS", "SRRR", "SSR", "RSS", "SSRR", "SRSRR", "SSSR", "RSR")


def test_the_last_file_may_be_of_brief_use_or_the_next_checkpoint_may_begin_with_its_removal():
    """Which of the two shows at the next report, or in the next pause."""
    for wait in (Bursts.report, Bursts.rest):
        bursts = Bursts()
        add(bursts, "model", "state")
        bursts.remove("state")
        assert bursts.is_partial
        add(bursts, "model")
        assert bursts.is_partial
        add(bursts, "state")
        wait(bursts)
        assert not bursts.is_partial
        assert add(bursts, "model", "state") == [True, False]
        assert bursts.is_complete
        bursts = Bursts()
        add(bursts, "model", "lock")
        bursts.remove("lock")
        wait(bursts)
        assert not bursts.is_partial
        assert add(bursts, "model") == [True]
        assert bursts.is_complete


@pytest.mark.parametrize("removed", [("m", "o", "s"), ("s", "o", "m"), ("o", "s", "m")])
def test_what_is_removed_until_nothing_stays_was_a_checkpoint_and_no_file_of_brief_use(removed):
    """The script saves twice between two reports, and removes all before; nobody has seen it rest."""
    bursts = Bursts()
    add(bursts, "m", "o", "s")
    for path in removed:
        bursts.remove(path)
    assert bursts.is_partial
    seen = []
    for path in ("m", "o", "s"):
        bursts.add(path)
        seen.append(bursts.is_partial)
    assert seen == [True, True, False]
    bursts.report()
    assert bursts.is_complete


def test_a_folder_that_is_removed_after_all_its_files_was_a_checkpoint_too():
    bursts = Bursts()
    names = ("a/m", "a/n", "s")
    add(bursts, *(f"step-1/{name}" for name in names))
    for path in ("step-1/a/m", "step-1/a/n", "step-1/a", "step-1/s", "step-1"):
        bursts.remove(path)
    add(bursts, *(f"step-1/{name}" for name in names))
    assert not bursts.is_partial
    assert bursts.is_complete
    bursts.report()
    assert bursts.is_certain


def test_a_launch_knows_what_a_checkpoint_consists_of_if_an_earlier_one_has_shown_it():
    bursts = Bursts(["model", "state-#"])
    bursts.report()
    bursts.add("model")
    bursts.overlap(True)  # a thread saves while the script reports
    assert (bursts.is_partial, bursts.is_complete) == (True, False)
    bursts.add("state-7")
    assert (bursts.is_partial, bursts.is_complete) == (False, True)
    assert bursts.add("model")
    assert bursts.layout == ["model", "state-#"]


def test_what_a_checkpoint_consists_of_is_handed_on_only_if_it_is_certain():
    bursts = Bursts()
    assert bursts.layout == []
    add(bursts, "rank-0", "step-1", "|")
    assert bursts.layout == []
    add(bursts, "rank-0", "step-2", "|")
    assert bursts.layout == ["rank-0", "step-#"]
    add(bursts, "rank-0")
    assert bursts.layout == ["rank-0", "step-#"]
    add(bursts, "best", "rank-0")  # not each time the same
    assert bursts.layout == []
    in_turn = Bursts()
    add(in_turn, "slot-a", "newest", "|", "slot-b", "newest", "|", "slot-a", "newest", "|", "slot-b", "newest", "|")
    assert in_turn.layout == []


def test_a_thread_that_saves_a_new_file_for_each_epoch_does_not_save_two_at_a_time():
    """It finishes them now before and now after the report."""
    bursts = Bursts()
    add(bursts, "|", "epoch-1", "epoch-2", "|", "|", "epoch-3", "epoch-4", "|", "|")
    seen = []
    for number in (5, 6, 7, 8):
        begins = bursts.add(f"epoch-{number}")
        seen.append((begins, bursts.is_complete, bursts.is_partial))
        bursts.report()
    assert seen[-2:] == [(True, True, False)] * 2
    assert bursts.layout == ["epoch-#"]


def test_two_files_with_one_number_each_are_not_handed_on():
    bursts = Bursts()
    add(bursts, "a-1", "a-2", "|", "a-3", "a-4", "|", "a-5", "a-6", "|")
    assert bursts.is_complete
    assert bursts.layout == []


def test_files_that_a_launch_has_found_and_removes_before_its_first_save_are_missing():
    for layout in ([], ["model", "state-#"]):
        bursts = Bursts(layout, present=["model", "state-1"])
        assert not bursts.is_partial
        bursts.remove("state-1")
        assert bursts.is_partial
        bursts.add("model")
        assert bursts.is_partial
        bursts.add("state-2")
        assert not bursts.is_partial
        bursts.report()
        assert not bursts.is_partial


def test_files_that_a_launch_has_found_and_that_it_removes_after_its_first_save_are_not_missing():
    bursts = Bursts(["step-#"], present=["step-1", "step-2", "notes"])
    bursts.add("step-3")
    for path in ("step-1", "step-2"):
        bursts.remove(path)
    assert bursts.is_complete
    assert not bursts.is_partial


@pytest.mark.parametrize("layout", [[], ["step-#"]])
def test_a_folder_that_a_launch_puts_in_place_as_a_whole_takes_the_place_of_the_files_that_it_has_found(layout):
    found = ["step-1/model", "step-1/shards/1"]
    bursts = Bursts(layout, present=found)
    bursts.add("step-2")
    bursts.remove("step-1")
    assert not bursts.is_partial
    bursts = Bursts(layout, present=found)
    bursts.remove("step-1/model")
    assert bursts.is_partial
    bursts.remove("step-1")
    assert bursts.is_partial
    bursts.add("step-2")
    assert not bursts.is_partial


def test_what_a_launch_has_found_and_removed_is_of_no_use_if_it_is_not_there_at_a_report():
    bursts = Bursts(present=["left-over", "model"])
    bursts.remove("left-over")
    assert bursts.is_partial
    add(bursts, "model", "|")
    assert not bursts.is_partial
    add(bursts, "model")
    assert bursts.is_complete


def test_other_files_than_an_earlier_launch_had_are_learnt_anew():
    bursts = Bursts(["model"])
    assert add(bursts, "weights", "optimizer", "|", "weights", "optimizer", "|") == [True, False, True, False]
    assert bursts.is_complete
    assert bursts.layout == ["weights", "optimizer"]


@pytest.mark.parametrize("epoch", EPOCHS)
@pytest.mark.parametrize("rests", [False, True])
def test_a_checkpoint_is_complete_after_its_last_file_and_not_before(epoch, rests):
    """However often a script saves in between, and whatever it removes first."""
    for way in WAYS:
        bursts, steps, there, old = Bursts(), way.split(), set(), 0
        last = max(index for index, step in enumerate(steps) if step.startswith("+"))
        for number in range(1, 7):
            for what in epoch:
                if what == "R":
                    bursts.report()
                written = set()
                for index, step in enumerate(steps if what == "S" else ()):
                    path = step[1:].replace("N", str(number)).replace("O", str(old))
                    if step.startswith("+"):
                        bursts.add(path)
                        there.add(path)
                        written |= {path} if "N" in step else set()
                    elif path in there - written:
                        bursts.remove(path)
                        there.remove(path)
                    if index < last:
                        assert bursts.is_partial or not bursts.is_certain, way
                old = number if what == "S" else old
                if rests:
                    bursts.rest()
                if number > 3:
                    assert bursts.is_certain, way
                    assert not bursts.is_partial, way


def test_a_file_that_is_removed_from_a_folder_that_is_moved_into_place_is_no_part():
    """As where its last file is moved out of it, while it is open."""
    bursts = Bursts()
    for number in (1, 2):
        add(bursts, f"tmp-{number}/model", f"tmp-{number}/meta")
        bursts.remove(f"tmp-{number}/meta")
        bursts.withdraw(f"tmp-{number}")
        assert add(bursts, f"step-{number}", "|") == [True]
        assert not bursts.is_partial
    assert bursts.is_complete
