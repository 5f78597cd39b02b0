"""Folders of which each holds one checkpoint."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._folders import NumberedFolders


def add(folders, *names):
    """Adds files, ``|`` being a report; returns what was said of each before it was finished."""
    said, present = [], []
    for name in names:
        if name == "|":
            folders.report()
            continue
        said.append(folders.begins(name, present))
        present = [name] if said[-1] else [*present, name]
        folders.add(name)
    return said


def test_all_files_of_a_folder_are_of_one_checkpoint_whatever_is_reported_meanwhile():
    names = ("c-1/a", "|", "c-1/b", "c-1/c", "|", "c-2/a", "c-2/b", "|", "c-2/c", "|", "c-3/a")
    assert add(NumberedFolders(), *names) == [None, False, False, True, False, False, True]


def test_a_file_beside_the_folders_says_nothing():
    names = ("c-1/a", "c-1/b", "|", "latest", "c-2/a", "|", "latest")
    assert add(NumberedFolders(), *names) == [None, False, None, True, None]


def test_the_next_folder_is_of_the_same_checkpoint_unless_there_was_a_report():
    assert add(NumberedFolders(), "rank-0/a", "rank-1/a") == [None, None]


def test_folders_to_which_the_script_comes_back_are_those_of_parts():
    names = ("rank-0/a", "|", "rank-1/a", "|", "rank-0/a", "|", "rank-1/a", "|", "rank-0/b")
    assert add(NumberedFolders(), *names)[2:] == [None, None, None]


@pytest.mark.parametrize("below", ["", "/epoch-{}"])
def test_a_folder_with_all_checkpoints_of_a_run_is_given_up(below):
    folders = NumberedFolders()
    for epoch in (1, 2, 3, 4):
        name = f"version_0{below.format(epoch)}/weights"
        assert folders.gives_up(name) == (epoch == 3)
        folders.add(name)
        folders.report()
    assert add(folders, "version_0/epoch-5/a", "|", "version_0/epoch-5/b", "|", "version_0/epoch-6/a")[1:] == [
        False,
        True,
    ]


def test_a_folder_that_followed_another_is_not_given_up():
    folders = NumberedFolders()
    names = ("c-1/a", "|", "c-2/a", "|", "c-2/b", "|", "c-2/c", "|", "c-2/d", "|", "c-3/a")
    assert add(folders, *names) == [None, True, False, False, False, True]


@pytest.mark.parametrize("path", ["model/weights", "step-1", "weights"])
def test_a_file_in_no_folder_with_a_number_says_nothing(path):
    assert add(NumberedFolders(), path, "|", path) == [None, None]
