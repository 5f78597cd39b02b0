"""Files that grow make a file descriptor readable."""

from __future__ import annotations

import select

import pytest

from syne_hypersched.backends.shared import growth as growth_module
from syne_hypersched.backends.shared.growth import GrowthWatch


@pytest.fixture
def growth():
    watch = GrowthWatch()
    yield watch
    watch.close()


def is_readable(growth):
    ready, _, _ = select.select([growth.fileno()], [], [], 0)
    return bool(ready)


def append(path, text="x\n"):
    with open(path, "a") as file:
        file.write(text)


def test_a_file_that_grows(growth, tmp_path):
    path = tmp_path / "log"
    path.touch()
    assert growth.watch(path)
    assert not growth.watch(path)  # it is watched already
    assert not is_readable(growth)
    append(path)
    assert is_readable(growth)
    growth.take()
    assert not is_readable(growth)
    path.read_text()
    assert not is_readable(growth)


def test_a_file_that_comes_into_being(growth, tmp_path):
    path = tmp_path / "log"
    assert not growth.watch(path)
    assert not growth.watch(path)
    append(path)
    assert is_readable(growth)
    growth.take()
    assert growth.watch(path)
    append(path)
    assert is_readable(growth)


def test_a_folder_that_does_not_exist(growth, tmp_path):
    assert not growth.watch(tmp_path / "none" / "log")


def test_a_file_that_is_watched_no_longer(growth, tmp_path):
    path = tmp_path / "log"
    path.touch()
    growth.watch(path)
    growth.leave(path)
    growth.take()  # inotify tells that it has ended
    append(path)
    assert not is_readable(growth)
    growth.leave(path)


def test_thousands_of_events_are_taken_at_once(growth, tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.touch()
        growth.watch(path)
    for _ in range(6000):
        for path in paths:  # in turn, else the system makes one event of them
            append(path)
    growth.take()
    assert not is_readable(growth)


def test_it_says_which_files_have_grown(growth, tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path in paths:
        path.touch()
        growth.watch(path)
    assert growth.take() == set()
    append(paths[0])
    append(paths[2])
    append(paths[2])
    assert growth.take() == {paths[0], paths[2]}
    growth.leave(paths[0])
    append(paths[0])
    append(paths[1])
    assert growth.take() == {paths[1]}
    assert [growth.is_watched(path) for path in paths] == [False, True, True]


def test_it_may_be_any_of_them_when_more_has_happened_than_the_system_keeps(growth, tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.touch()
    growth.watch(path)
    lost = growth_module._EVENT.pack(-1, growth_module._IN_Q_OVERFLOW, 0, 0)
    monkeypatch.setattr(growth_module.os, "read", lambda *_: lost)
    assert growth.take() is None
