"""Where a checkpoint ends if files are removed or moved away."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._bursts import Bursts
from tests.checkpoints.bursts import add


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
