"""From which checkpoint a launch begins, and which generations it keeps: folders as launches have left them."""

from __future__ import annotations

import os
import shutil

import pytest

from syne_hypersched.checkpoints import CheckpointSpec, Generation, GenerationStore, Notes
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._shelf import NoRoomError, Shelf


class Trial:
    """A trial's checkpoint folder, with what launches have left of it."""

    def __init__(self, folder):
        self.folder = folder / "0" / "checkpoints"
        self.store = GenerationStore(self.folder)

    def write(self, text):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "model").write_text(text)

    def text(self):
        return (self.folder / "model").read_text()

    def take(self, number, text, kept="written"):
        """The launch before has written something and taken a generation of it."""
        self.write(text)
        live = read_tree(self.folder)
        self.store.take(Generation(number, 0, number, number, live, dict.fromkeys(live, kept)), None)

    def leave(self):
        """The launch before has left the folder as it is, whole."""
        self.store.write_notes(Notes(left=read_tree(self.folder), is_whole=True))

    def spec(self, **fields):
        return CheckpointSpec(str(self.folder), str(self.folder.parent / "std.out"), launch=1, **fields)

    def shelf(self, **fields):
        return Shelf(self.spec(**fields), self.store, self.store.notes())

    def begin(self, **fields):
        """Which generation is there, which is distrusted if it fails, why it was put there, and if it is whole."""
        beginning, is_known = self.shelf(**fields).begin(read_tree(self.folder))
        assert not beginning.error
        return beginning.generation, beginning.go_back_from, beginning.restored, is_known


@pytest.fixture
def trial(tmp_path):
    return Trial(tmp_path)


def test_the_first_launch_begins_with_nothing(trial):
    assert trial.begin() == (None, None, "", False)
    assert not trial.folder.exists()


def test_a_folder_of_which_nothing_is_known_is_tried_once(trial):
    trial.write("perhaps whole")
    assert trial.begin() == (None, 1, "", False)
    assert trial.text() == "perhaps whole"
    generation, go_back_from, reason, is_known = trial.begin(go_back_from=1)
    assert (generation, go_back_from, is_known) == (None, None, False)
    assert "may be torn" in reason
    assert not trial.folder.exists()


def test_a_folder_that_is_the_newest_generation_is_whole(trial):
    trial.take(1, "one")
    trial.take(2, "two")
    assert trial.begin() == (2, 2, "", True)
    assert trial.text() == "two"


def test_what_the_launch_before_has_left_is_newer_than_any_generation(trial):
    trial.take(1, "one")
    trial.write("left")
    trial.leave()
    assert trial.begin() == (None, 2, "", True)
    assert trial.text() == "left"


def test_what_was_left_without_a_generation_is_whole_and_there_is_none_before_it(trial):
    trial.write("left")
    trial.leave()
    assert trial.begin() == (None, None, "", True)


@pytest.mark.parametrize("change", ["torn", "more", "removed"])
def test_a_folder_that_is_not_known_to_be_whole_is_replaced(trial, change):
    trial.take(1, "one")
    trial.take(2, "two")
    trial.leave()
    if change == "torn":
        trial.write("t")
    elif change == "more":
        (trial.folder / "more").write_text("")
    else:
        shutil.rmtree(trial.folder)
    assert trial.begin() == (2, 2, "the checkpoint folder is not known to be whole", True)
    assert trial.text() == "two"
    assert os.listdir(trial.folder) == ["model"]
    assert trial.begin() == (2, 2, "", True)  # it is the generation now


@pytest.mark.parametrize(
    ("name", "text", "is_whole", "begins_from"),
    [
        ("model-2", "", False, 1),
        ("model-2", "half", False, None),
        ("model-2", "", True, None),
        ("done", "", False, None),  # a mark
    ],
)
def test_a_file_that_was_still_empty_when_its_writer_was_killed_is_not_tried(trial, name, text, is_whole, begins_from):
    trial.folder.mkdir(parents=True)
    (trial.folder / "model-1").write_text("one")
    trial.take(1, "one")
    (trial.folder / name).write_text(text)
    trial.store.write_notes(Notes(left=read_tree(trial.folder), is_whole=is_whole))
    assert trial.begin()[0] == begins_from
    assert (trial.folder / name).exists() == (begins_from is None)


def test_a_launch_that_could_not_go_on_is_followed_by_one_from_the_generation_before(trial):
    for number, text in enumerate(("one", "two", "three"), start=1):
        trial.take(number, text)
    generation, go_back_from, reason, is_known = trial.begin(go_back_from=3)
    assert (generation, go_back_from, is_known) == (2, 2, True)
    assert reason == "the previous launch could not continue from generation 3"
    assert trial.text() == "two"
    assert trial.store.numbers() == [1, 2]  # nobody puts the bad one back
    assert trial.begin() == (2, 2, "", True)


def test_what_was_left_and_could_not_be_loaded_is_replaced_by_the_newest_generation(trial):
    trial.take(1, "one")
    trial.write("left")
    trial.leave()
    _, go_back_from, _, _ = trial.begin()
    assert trial.begin(go_back_from=go_back_from)[:2] == (1, 1)
    assert trial.text() == "one"


def test_there_may_be_nothing_to_go_back_to(trial):
    trial.take(1, "one")
    assert trial.begin(go_back_from=1) == (1, 1, "", True)
    assert trial.text() == "one"


def test_numbers_are_not_used_again(trial):
    for number in (1, 2):
        trial.take(number, str(number))
    trial.store.write_notes(Notes(num_generations=2))
    shelf = trial.shelf(go_back_from=2)
    shelf.begin(read_tree(trial.folder))
    assert shelf.number == 2
    assert trial.store.numbers() == [1]
    assert trial.shelf().number == 2


def test_one_that_was_written_to_through_a_second_name_is_gone(trial):
    trial.take(1, "one", kept="moved")
    (trial.folder / "model").unlink()
    trial.take(2, "two", kept="moved")
    with open(trial.folder / "model", "w") as file:
        file.write("torn two")
    assert trial.begin() == (1, 1, "the checkpoint folder is not known to be whole", True)
    assert trial.text() == "one"
    assert trial.store.numbers() == [1]


def test_one_that_becomes_unsound_is_gone(trial):
    trial.take(1, "one", kept="moved")
    shelf = trial.shelf()
    assert shelf.newest.number == 1
    with open(trial.folder / "model", "w") as file:
        file.write("torn")
    shelf.remove_unsound()
    assert shelf.newest is None
    assert trial.store.numbers() == []


def test_one_that_cannot_be_put_back_is_said_and_the_folder_stays(trial, monkeypatch):
    trial.take(1, "one")
    trial.write("torn")

    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(trial.store, "restore", fail)
    beginning, is_known = trial.shelf().begin(read_tree(trial.folder))
    assert beginning.error == "generation 1 cannot be put back: no room"
    assert (beginning.generation, is_known) == (None, False)
    assert trial.text() == "torn"


def describe(trial, shelf, kept="written"):
    live = read_tree(trial.folder)
    return Generation(shelf.number + 1, 1, 0, 0, live, dict.fromkeys(live, kept))


def test_taking_counts_what_it_costs(trial):
    shelf = trial.shelf()
    for number, (text, kept, cost) in enumerate([("one", "written", 3), ("again", "moved", 0)], start=1):
        trial.write(text)
        generation = describe(trial, shelf, kept)
        assert sum(generation.live[path].size for path in shelf.paths_to_copy(generation)) == cost
        shelf.take(generation)
        assert (shelf.number, shelf.newest.number, shelf.num_taken) == (number, number, number)
    assert shelf.bytes_copied in (0, 3)  # 0 where the file system shares blocks
    assert shelf.paths_to_copy(describe(trial, shelf)) == []  # nothing has changed


def test_none_is_taken_of_what_is_being_written(trial):
    shelf = trial.shelf()
    trial.write("one")
    with pytest.raises(OSError, match="changed while a generation was taken"):
        shelf.take(describe(trial, shelf), lambda: True)
    assert os.listdir(trial.store.folder) == []
    assert (trial.store.numbers(), shelf.number, shelf.newest) == ([], 0, None)


def test_no_copy_is_made_where_there_is_no_room_and_a_second_name_is(trial):
    shelf = trial.shelf(min_free_bytes=1 << 60)
    trial.write("one")
    with pytest.raises(NoRoomError, match="the disk has no room"):
        shelf.take(describe(trial, shelf))
    assert trial.store.numbers() == []
    assert shelf.take(describe(trial, shelf, "moved")).number == 1


def test_the_last_ones_are_kept_and_those_that_are_needed(trial):
    for number in range(1, 6):
        trial.take(number, str(number))
    shelf = trial.shelf(keep=2)
    shelf.prune({1, 2})
    assert trial.store.numbers() == [1, 2, 4, 5]
    shelf.prune({2})
    assert trial.store.numbers() == [2, 4, 5]
    assert shelf.find(2).number == 2
    assert shelf.find(1) is None


def test_a_folder_that_is_a_link_is_filled_where_it_leads(trial, tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "disk").mkdir()
    trial.folder.symlink_to(tmp_path / "disk")
    for number, text in enumerate(("one", "two"), start=1):
        trial.take(number, text)
    for _ in range(2):
        trial.write("torn")
        assert trial.begin()[:2] == (2, 2)
        assert trial.text() == "two"
        assert trial.folder.is_symlink()
        assert (tmp_path / "disk" / "model").read_text() == "two"
    assert sorted(os.listdir(tmp_path)) == ["0", "disk"]
