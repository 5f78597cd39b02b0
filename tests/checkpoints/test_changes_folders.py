"""What the kernel tells of folders in a checkpoint folder, and of links to folders."""

from __future__ import annotations

import os
import shutil

import pytest

from syne_hypersched.checkpoints import _leases
from tests.checkpoints.watched import exchange, of


def test_what_was_put_into_a_folder_before_it_was_watched_is_lost(watched):
    (watched.folder / "step-1" / "shards").mkdir(parents=True)
    watched.write("step-1/shards/0")
    watched.write("step-1/index")
    assert watched.seen()[:2] == [("lost", "step-1/shards/0"), ("lost", "step-1/index")]
    watched.write("step-1/shards/0", "again")
    assert watched.seen() == [("written", "step-1/shards/0"), ("closed", "step-1/shards/0")]


@pytest.mark.parametrize("content", ["", "x"])
def test_a_file_that_is_open_when_its_folder_is_found_is_finished_when_it_is_closed(watched, content):
    (watched.folder / "step-1").mkdir()
    with open(watched.folder / "step-1" / "model", "w") as file:
        file.write(content)
        file.flush()
        assert watched.seen() == [("written" if content else "created", "step-1/model")]
        assert watched.seen() == []
        file.write("y")
    assert watched.seen() == [("written", "step-1/model"), ("closed", "step-1/model")]


def test_a_file_that_is_closed_while_its_folder_is_found_is_told_once(watched, monkeypatch):
    add = watched.watch._add
    (watched.folder / "step-1").mkdir()
    file = open(watched.folder / "step-1" / "model", "w")  # noqa: SIM115 (it is closed below)
    file.write("x")
    file.flush()

    def add_and_close(path):
        watches = add(path)
        if path == "step-1/":
            file.close()
        return watches

    monkeypatch.setattr(watched.watch, "_add", add_and_close)
    assert watched.seen() == [("written", "step-1/model"), ("closed", "step-1/model")]


def test_a_folder_in_a_found_folder_is_told_once(watched, monkeypatch):
    """It is found with the outer folder, and then the kernel reports it."""
    add = watched.watch._inotify.add

    def add_and_make(path, mask):
        number = add(path, mask)
        if path.endswith("step-1/") and not os.path.exists(f"{path}shards"):
            os.mkdir(f"{path}shards")
            watched.write("step-1/shards/one")
        return number

    monkeypatch.setattr(watched.watch._inotify, "add", add_and_make)
    (watched.folder / "step-1").mkdir()
    assert watched.seen() == [("lost", "step-1/shards/one")]


def test_a_link_in_a_found_folder_is_complete_although_its_file_is_open_elsewhere(watched, tmp_path):
    with open(tmp_path / "data", "w") as file:
        file.write("x")
        file.flush()
        (watched.folder / "step-1").mkdir()
        os.link(tmp_path / "data", watched.folder / "step-1" / "data")
        assert watched.seen() == [("lost", "step-1/data")]


def test_a_file_that_is_open_when_its_folder_is_found_may_be_removed_before_it_is_closed(watched):
    (watched.folder / "step-1").mkdir()
    with open(watched.folder / "step-1" / "wal", "w") as file:
        file.write("x")
        file.flush()
        assert watched.seen() == [("written", "step-1/wal")]
        os.remove(watched.folder / "step-1" / "wal")
    assert watched.seen() == [("removed", "step-1/wal")]


def test_a_removed_file_that_is_still_open_does_not_hide_the_end_of_one_in_a_new_folder(watched):
    (watched.folder / "last").mkdir()
    watched.seen()
    with open(watched.folder / "last" / "model", "w") as old:
        old.write("x")
        old.flush()
        watched.seen()
        shutil.rmtree(watched.folder / "last")
        watched.seen()
        (watched.folder / "last").mkdir()
        with open(watched.folder / "last" / "model", "w") as file:
            file.write("y")
            file.flush()
            assert watched.seen() == [("written", "last/model")]
        assert watched.seen() == [("closed", "last/model")]


def test_what_is_moved_away_and_back_is_no_exchange(watched):
    watched.write("model")
    watched.seen()
    os.rename(watched.folder / "model", watched.folder / "model.bak")
    os.rename(watched.folder / "model.bak", watched.folder / "model")
    assert watched.seen() == [
        ("moved away", "model"), ("moved", "model.bak"), ("moved away", "model.bak"), ("moved", "model"),
    ]  # fmt: skip


def test_an_empty_file_in_a_folder_that_is_found_is_nothing_yet(watched):
    (watched.folder / "step-1").mkdir()
    (watched.folder / "step-1" / "model").touch()
    assert watched.seen() == [("made", "step-1")]
    watched.write("step-1/model")
    assert watched.seen() == [("written", "step-1/model"), ("closed", "step-1/model")]


def test_without_leases_who_watches_tells_whether_a_found_file_is_open(watched, monkeypatch):
    monkeypatch.setattr(_leases, "_is_on_network", lambda device: True)
    num_asked = 0

    def open_files():
        nonlocal num_asked
        num_asked += 1
        return {os.path.realpath(watched.folder / "step-1" / "model")}

    watched.watch.open_files = open_files
    (watched.folder / "step-1").mkdir()
    (watched.folder / "step-1" / "optimiser").write_text("x")
    (watched.folder / "step-1" / "model").write_text("x")
    assert watched.seen() == [("lost", "step-1/optimiser"), ("written", "step-1/model")]
    assert num_asked == 1


@pytest.mark.parametrize("moved", [False, True])
def test_what_is_put_into_a_folder_between_its_watch_and_its_reading_is_told_once(watched, monkeypatch, moved):
    add = watched.watch._add

    def add_and_write(path):
        watches = add(path)
        if path == "step-1/":
            watched.write("model" if moved else "step-1/model")
            if moved:
                os.rename(watched.folder / "model", watched.folder / "step-1" / "model")
        return watches

    monkeypatch.setattr(watched.watch, "_add", add_and_write)
    (watched.folder / "step-1").mkdir()
    (watched.folder / "step-1" / "before").write_text("it is lost")
    assert watched.seen() == [
        ("lost", "step-1/before"),
        *([*of("model"), ("moved away", "model"), ("moved", "step-1/model")] if moved else of("step-1/model")),
    ]


def test_folders_that_are_there_from_the_beginning_are_watched(tmp_path, make_watched):
    (tmp_path / "checkpoints" / "step-1" / "shards").mkdir(parents=True)
    watched = make_watched()
    watched.write("step-1/shards/0")
    assert watched.seen() == of("step-1/shards/0")


def test_a_folder_that_is_moved_has_its_new_name(watched):
    (watched.folder / "aside" / "shards").mkdir(parents=True)
    watched.seen()
    watched.write("aside/shards/0")
    os.rename(watched.folder / "aside", watched.folder / "step-1")
    assert watched.seen() == [*of("aside/shards/0"), ("moved away", "aside"), ("moved", "step-1")]
    watched.write("step-1/shards/1")
    assert watched.seen() == of("step-1/shards/1")


def test_two_folders_change_places_and_keep_their_watches(watched):
    for name in ("present", "next"):
        (watched.folder / name / "shards").mkdir(parents=True)
    watched.seen()
    for _ in range(3):
        exchange(watched.folder / "next", watched.folder / "present")
        assert watched.seen() == [("removed", "present"), ("moved away", "next"), ("moved", "present")]
        for name in ("next/index", "present/index", "next/shards/0", "present/shards/0"):
            watched.write(name, "more")
            assert {path for _, path in watched.seen()} == {name}


def test_a_folder_that_has_left_is_watched_no_longer(watched, tmp_path):
    (watched.folder / "aside" / "shards").mkdir(parents=True)
    watched.seen()
    os.rename(watched.folder / "aside", tmp_path / "elsewhere")
    assert watched.seen() == [("moved away", "aside")]
    (tmp_path / "elsewhere" / "shards" / "0").write_text("x")
    (tmp_path / "elsewhere" / "more").write_text("x")
    assert watched.seen() == []
    os.rename(tmp_path / "elsewhere", watched.folder / "back")
    assert watched.seen() == [("moved", "back")]
    watched.write("back/shards/1")
    assert watched.seen() == of("back/shards/1")


def test_a_folder_that_is_made_later_is_watched(make_watched):
    watched = make_watched()
    watched.folder.mkdir()
    assert watched.seen() == []
    watched.write("model")
    assert watched.seen() == of("model")


@pytest.mark.parametrize("how", ["filled", "moved"])
def test_what_a_folder_has_in_it_at_once_is_seen(make_watched, tmp_path, how):
    watched = make_watched()
    folder = watched.folder if how == "filled" else tmp_path / "aside"
    folder.mkdir()
    (folder / "model").write_text("x")
    if how == "moved":
        os.rename(folder, watched.folder)
    assert watched.seen() == [("lost" if how == "filled" else "moved", "model")]
    watched.write("model", "again")
    assert watched.seen() == [("written", "model"), ("closed", "model")]


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_folder_that_goes_and_comes_again_is_watched(watched, tmp_path, how):
    watched.write("model")
    watched.seen()
    if how == "removed":
        shutil.rmtree(watched.folder)
    else:
        os.rename(watched.folder, tmp_path / "elsewhere")
    assert watched.seen()[-1] == ("removed", "")
    watched.folder.mkdir()
    assert watched.seen() == []
    if how == "moved":
        (tmp_path / "elsewhere" / "model").write_text("not here")
    assert watched.seen() == []
    watched.write("model")
    assert watched.seen() == of("model")


def test_a_folder_that_is_a_link_is_watched_where_it_leads(tmp_path, make_watched):
    (tmp_path / "disk").mkdir()
    (tmp_path / "checkpoints").symlink_to("disk")
    watched = make_watched()
    watched.write("model")
    assert watched.seen() == of("model")


def test_a_link_that_is_made_later_is_watched_where_it_leads(tmp_path, make_watched):
    watched = make_watched()
    (tmp_path / "disk").mkdir()
    (tmp_path / "checkpoints").symlink_to("disk")
    watched.seen()
    watched.write("model")
    assert watched.seen() == of("model")


def test_a_link_that_leads_elsewhere_now_is_watched_there(tmp_path, make_watched):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoints").symlink_to("one")
    watched = make_watched()
    (tmp_path / "new").symlink_to("two")
    os.replace(tmp_path / "new", tmp_path / "checkpoints")
    watched.seen()
    (tmp_path / "one" / "model").write_text("not here")
    assert watched.seen() == []
    watched.write("model")
    assert watched.seen() == of("model")
