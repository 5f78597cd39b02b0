"""Generations on the disk: what they hold, whatever is done to the checkpoint folder afterwards."""

from __future__ import annotations

import errno
import os

import pytest

from syne_hypersched.checkpoints import Generation, GenerationStore, Matched, Notes
from syne_hypersched.checkpoints._files import read_tree


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "0" / "checkpoints"
    (folder / "inner" / "shards").mkdir(parents=True)
    (folder / "model").write_text("one")
    (folder / "inner" / "shards" / "0").write_text("shard one")
    (folder / "latest").symlink_to("model")
    return folder


def describe(store, number=1, kept="moved", **fields):
    live = read_tree(store.checkpoints)
    defaults = {"launch": 0, "after": number, "before": number}
    return Generation(number, live=live, kept=dict.fromkeys(live, kept), **(defaults | fields))


def content(path):
    return {
        str(each.relative_to(path)): os.readlink(each) if each.is_symlink() else each.read_text()
        for each in path.rglob("*")
        if not each.is_dir() or each.is_symlink()
    }


def test_what_was_moved_into_place_gets_a_second_name_and_costs_nothing(folder):
    store = GenerationStore(folder)
    taken = store.take(describe(store), None)
    assert taken.bytes_copied == 0
    assert (store.files(1) / "model").samefile(folder / "model")
    (folder / "model.new").write_text("two")
    os.replace(folder / "model.new", folder / "model")
    assert content(store.files(1)) == {"model": "one", "inner/shards/0": "shard one", "latest": "model"}
    assert store.is_sound(taken)


def test_what_is_written_in_place_is_copied_unless_it_has_not_changed(folder):
    store = GenerationStore(folder)
    first = store.take(describe(store, kept="written"), None)
    assert first.bytes_copied == 12
    (folder / "model").write_text("two")
    second = store.take(describe(store, 2, kept="written"), first)
    assert second.bytes_copied == 3
    assert content(store.files(1))["model"] == "one"
    assert content(store.files(2))["model"] == "two"
    assert (store.files(1) / "inner/shards/0").samefile(store.files(2) / "inner/shards/0")


def test_a_five_gigabyte_file_costs_nothing_where_links_serve(folder):
    with open(folder / "large", "wb") as file:
        file.truncate(5 << 30)
    store = GenerationStore(folder)
    assert store.take(describe(store), None).bytes_copied == 0
    assert (store.files(1) / "large").stat().st_size == 5 << 30


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK])
def test_a_file_system_without_hard_links_has_copies(folder, monkeypatch, error):
    def refuse(*_, **__):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", refuse)
    store = GenerationStore(folder)
    taken = store.take(describe(store), None)
    assert taken.bytes_copied == 12
    (folder / "model").write_text("torn")
    assert content(store.files(1))["model"] == "one"
    assert store.restore(taken).live == read_tree(folder)
    assert content(folder)["model"] == "one"
    store.publish(taken, folder.parent / "published")
    assert content(folder.parent / "published") == content(folder)


def test_one_that_was_written_to_through_a_second_name_is_not_sound(folder):
    store = GenerationStore(folder)
    taken = store.take(describe(store), None)
    with open(folder / "model", "w") as file:  # a surprise
        file.write("torn")
    assert not store.is_sound(taken)
    assert store.newest() is None
    with pytest.raises(OSError, match="has changed"):
        store.publish(taken, folder.parent / "published")


def test_what_changes_while_it_is_taken_is_not_taken(folder):
    store = GenerationStore(folder)
    described = describe(store, kept="written")
    (folder / "model").write_text("longer")
    with pytest.raises(OSError, match="changed while a generation was taken"):
        store.take(described, None)
    assert store.numbers() == []
    assert not [name for name in os.listdir(store.folder) if name != "notes.json"]


def test_a_restored_folder_is_known_and_may_be_written_to(folder):
    store = GenerationStore(folder)
    taken = store.take(describe(store, kept="written"), None)
    (folder / "model").write_text("to")
    (folder / "more").write_text("more")
    restored = store.restore(taken)
    assert content(folder) == content(store.files(1))
    assert store.read(1) == restored
    assert restored.live == read_tree(folder)
    (folder / "model").write_text("torn again")
    assert content(store.files(1))["model"] == "one"


def test_the_newest_before_a_number(folder):
    store = GenerationStore(folder)
    for number in (1, 2, 3):
        store.take(describe(store, number), None)
    assert store.newest().number == 3
    assert store.newest(before=3).number == 2
    store.remove(2)
    assert store.newest(before=3).number == 1
    assert store.newest(before=1) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"format": 1, "live": 3}'])
def test_a_description_that_cannot_be_read_is_none(folder, content):
    store = GenerationStore(folder)
    store.take(describe(store), None)
    (store.folder / "000001" / "generation.json").write_text(content)
    (store.folder / "notes.json").write_text(content)
    assert store.read(1) is None
    assert store.newest() is None
    assert store.notes() == Notes()


def test_notes_are_read_as_they_were_written(folder):
    store = GenerationStore(folder)
    matched = Matched(3, 400, {"epoch": 3, "loss": 0.5}, 0, 2, "exact")
    notes = Notes(num_reports=5, num_generations=4, log_end=700, matched=[matched], left=read_tree(folder))
    store.write_notes(notes)
    assert store.notes() == notes


def test_a_link_that_is_replaced_while_it_is_taken_is_noticed(folder):
    """The files of both states are there, so that only the link tells them apart."""
    store = GenerationStore(folder)
    generation = describe(store)
    (folder / "latest.new").symlink_to("inner")
    os.replace(folder / "latest.new", folder / "latest")
    with pytest.raises(OSError, match="changed while a generation was taken"):
        store.take(generation, None)
    (folder / "latest").unlink()
    with pytest.raises(OSError, match=r"latest|changed while a generation was taken"):
        store.take(generation, None)
    assert store.numbers() == []


def test_the_newest_is_found_although_newer_ones_come_and_older_ones_go_meanwhile(tmp_path, monkeypatch):
    """A trial that began with this checkpoint as it was replaced began without one."""
    store = GenerationStore(tmp_path / "checkpoints")
    store.checkpoints.mkdir()
    store.take(Generation(2, 0, 0, 0, {}, {}), None)
    numbers, seen = store.numbers, [[1]]
    monkeypatch.setattr(store, "numbers", lambda: seen.pop() if seen else numbers())
    assert store.newest().number == 2
    assert store.newest(before=2) is None
