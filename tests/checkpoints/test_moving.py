"""The checkpoints of a trial on another disk: what a launch finds there, what is sent, and what is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.checkpoints import CheckpointSpec, GenerationStore
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._shelf import Shelf
from syne_hypersched.checkpoints._store import Generation
from syne_hypersched.checkpoints.moving import Arrival, Departure, identity, pieces


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.new").write_text(text)
        os.replace(folder / f"{name}.new", folder / name)


def take(folder, number, kept="written"):
    """A generation of the folder as it is, and notes that it was left so."""
    store = GenerationStore(folder)
    live = read_tree(folder)
    kinds = dict.fromkeys([path for path, state in live.items() if state.kind == "file"], kept)
    older = store.read(number - 1)
    taken = store.take(Generation(number, 0, number, number, live, kinds, float(number)), older)
    notes = store.notes()
    notes.left, notes.is_whole, notes.num_generations, notes.num_reports = live, True, number, number
    store.write_notes(notes)
    return taken


def move(source, target, with_live=True, most_bytes=7):
    """Moves checkpoints as JSON and pieces; returns the bytes that were sent."""
    known = [identity(found) for found in GenerationStore(target).generations()]
    departure = Departure(source, source.parent / ".out", known, with_live)
    arrival = Arrival(target, target.parent / ".in", json.loads(json.dumps(departure.bill)))
    sent = 0
    for group in pieces(arrival.needed, most_bytes):
        data = departure.read(group)
        sent += len(data)
        arrival.write(group, data)
    arrival.commit()
    departure.close()
    assert not (source.parent / ".out").exists()
    assert not (target.parent / ".in").exists()
    return sent


def begin(folder):
    """How a launch begins in a folder, and what it finds there."""
    store = GenerationStore(folder)
    beginning, is_whole = Shelf(CheckpointSpec(str(folder), "", 1), store, store.notes()).begin(read_tree(folder))
    return beginning, is_whole, {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def source(tmp_path):
    return tmp_path / "a" / "0" / "checkpoints"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "b" / "0" / "checkpoints"


class TestAWholeFolder:
    @pytest.mark.parametrize("kept", ["written", "moved", "new"])
    def test_a_launch_goes_on_from_it_as_where_it_was(self, source, target, kept):
        write(source, model="one", state="1")
        take(source, 1, kept)
        write(source, state="22")
        take(source, 2, kept)
        move(source, target)
        beginning, is_whole, files = begin(target)
        assert (beginning.generation, beginning.restored, is_whole) == (2, "", True)
        assert files == {"model": "one", "state": "22"}
        assert [found.number for found in GenerationStore(target).generations()] == [1, 2]
        assert all(map(GenerationStore(target).is_sound, GenerationStore(target).generations()))

    def test_a_folder_that_is_newer_than_its_generations_is_tried(self, source, target):
        write(source, state="1")
        take(source, 1)
        write(source, state="22")
        store = GenerationStore(source)
        notes = store.notes()
        store.write_notes(replace(notes, left=read_tree(source), is_whole=False))
        move(source, target)
        beginning, _, files = begin(target)
        assert (beginning.generation, beginning.restored) == (None, "")
        assert files == {"state": "22"}

    def test_a_torn_folder_is_replaced_there_as_here(self, source, target):
        write(source, state="1")
        take(source, 1)
        write(source, state="to")
        store = GenerationStore(source)
        store.write_notes(replace(store.notes(), left=None, is_whole=False, is_torn=True))
        move(source, target)
        beginning, _, files = begin(target)
        assert beginning.generation == 1
        assert "not known to be whole" in beginning.restored
        assert files == {"state": "1"}

    def test_a_file_that_is_written_in_place_does_not_change_a_generation(self, source, target):
        write(source, state="1")
        take(source, 1)
        move(source, target)
        (target / "state").write_text("changed")
        (found,) = GenerationStore(target).generations()
        assert (GenerationStore(target).files(1) / "state").read_text() == "1"
        assert GenerationStore(target).is_sound(found)

    def test_links_folders_and_modes(self, source, target):
        write(source / "deep" / "er", weights="w" * 100, empty="")
        (source / "deep" / "er" / "weights").chmod(0o640)
        (source / "latest").symlink_to("deep/er")
        (source / "whole").symlink_to(source / "deep")
        (source / "out").symlink_to("/nowhere/else")
        take(source, 1)
        move(source, target)
        assert begin(target)[0].generation == 1
        assert (target / "deep" / "er" / "weights").read_text() == "w" * 100
        assert (target / "deep" / "er" / "weights").stat().st_mode & 0o777 == 0o640
        assert (target / "deep" / "er" / "empty").read_text() == ""
        links = {name: os.readlink(target / name) for name in ("latest", "out")}
        assert links == {"latest": "deep/er", "out": "/nowhere/else"}
        assert (target / "whole").resolve() == (target / "deep").resolve()

    def test_nothing_is_left_of_what_was_there(self, source, target):
        write(target, old="old")
        take(target, 1)
        take(target, 5)
        write(source, new="new")
        take(source, 1)
        move(source, target)
        assert begin(target)[2] == {"new": "new"}
        assert GenerationStore(target).numbers() == [1]

    def test_a_trial_without_checkpoints(self, source, target):
        write(target, old="old")
        assert move(source, target) == 0
        assert not target.exists()
        assert begin_empty(target)


def begin_empty(folder):
    store = GenerationStore(folder)
    beginning, _ = Shelf(CheckpointSpec(str(folder), "", 1), store, store.notes()).begin(read_tree(folder))
    return beginning.generation is None and not beginning.restored


class TestWhileItTrains:
    def test_a_launch_begins_from_the_newest_generation(self, source, target, tmp_path):
        """The folder itself may be half of the next one; the third disk gets a copy of the copy."""
        write(source, state="1")
        take(source, 1)
        write(source, state="22")
        take(source, 2)
        write(source, state="half of the ne")
        move(source, target, with_live=False)
        assert not target.exists()
        third = tmp_path / "c" / "0" / "checkpoints"
        move(target, third)
        beginning, is_whole, files = begin(third)
        assert (beginning.generation, beginning.restored, is_whole) == (2, "", True)
        assert files == {"state": "22"}

    def test_only_what_is_new_is_sent(self, source, target):
        write(source, model="m" * 1000, state="1")
        take(source, 1, "moved")
        assert move(source, target, with_live=False) == 1001
        write(source, state="22")
        take(source, 2, "moved")
        assert move(source, target, with_live=False) == 2
        assert move(source, target, with_live=False) == 0
        assert move(source, target) == 0
        assert begin(target)[2] == {"model": "m" * 1000, "state": "22"}

    def test_a_generation_that_is_removed_meanwhile_is_read_to_the_end(self, source, target):
        write(source, state="1" * 50)
        take(source, 1)
        departure = Departure(source, source.parent / ".out", [], False)
        GenerationStore(source).remove(1)
        arrival = Arrival(target, target.parent / ".in", departure.bill)
        for group in pieces(arrival.needed, 10):
            arrival.write(group, departure.read(group))
        assert arrival.commit() == 1
        assert GenerationStore(target).newest().number == 1

    def test_what_changes_while_it_is_read_is_refused(self, source):
        write(source, state="1")
        departure = Departure(source, source.parent / ".out", [], True)
        write(source, state="2")
        os.utime(source / "state", ns=(1, 1))
        with pytest.raises(OSError, match="was changed while it was read"):
            departure.read([(0, 0, 1)])


def bill(**entries):
    return {
        "folder": "/x", "generations": [], "live": entries, "live_is": None, "left": False, "notes": None,
        "files": [[3, 1, 0o600]],
    }  # fmt: skip


class TestWhatComesFromAnotherMachine:
    @pytest.mark.parametrize(
        "entries",
        [
            {"../evil": ["file", 0]},
            {"/etc/evil": ["file", 0]},
            {"a/../../evil": ["file", 0]},
            {"": ["file", 0]},
            {"a//b": ["file", 0]},
            {".": ["folder"]},
            {"a\0": ["file", 0]},
            {"link": ["link", "/etc"], "link/evil": ["file", 0]},
            {"a/b": ["file", 0]},
            {"a": ["file", 0], "a/b": ["file", 0]},
            {"a": ["file", 1]},
            {"a": ["file", -1]},
            {"a": ["file", True]},
            {"a": ["device"]},
            {"a": []},
            {"a": ["link", 3]},
        ],
    )
    def test_entries_outside_the_folder_are_refused(self, target, entries):
        with pytest.raises(ValueError, match="must"):
            Arrival(target, target.parent / ".in", bill(**entries))
        assert not target.parent.exists()

    @pytest.mark.parametrize(
        "data", [{}, {"files": 3}, {**bill(), "notes": {"left": 3}}, {**bill(), "files": [[-1, 0, 0]]}]
    )
    def test_bills_that_make_no_sense_are_refused(self, target, data):
        with pytest.raises(ValueError, match="must"):
            Arrival(target, target.parent / ".in", data)

    @pytest.mark.parametrize(
        "piece, data", [((0, 0, 4), b"1234"), ((0, -1, 2), b"12"), ((1, 0, 1), b"1"), ((0, 0, 2), b"1")]
    )
    def test_bytes_that_are_not_in_the_bill_are_refused(self, target, piece, data):
        arrival = Arrival(target, target.parent / ".in", bill(a=["file", 0]))
        with pytest.raises(ValueError, match="must"):
            arrival.write([piece], data)

    def test_a_copy_that_is_not_complete_changes_nothing(self, source, target):
        write(target, state="old")
        take(target, 1)
        write(source, state="new!")
        take(source, 2)
        departure = Departure(source, source.parent / ".out", [], True)
        arrival = Arrival(target, target.parent / ".in", departure.bill)
        arrival.close()
        assert begin(target)[2] == {"state": "old"}


@given(st.dictionaries(st.integers(0, 20), st.integers(0, 50), max_size=6), st.integers(1, 20))
def test_pieces_cover_every_byte_once(sizes, most_bytes):
    groups = list(pieces(sizes, most_bytes))
    assert all(0 < sum(length for *_, length in group) <= most_bytes for group in groups)
    covered = [(index, offset + i) for group in groups for index, offset, length in group for i in range(length)]
    assert covered == [(index, i) for index, size in sizes.items() for i in range(size)]
