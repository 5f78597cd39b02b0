"""A list of paths with an index."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.checkpoints._bursts import Bursts
from syne_hypersched.checkpoints._complete import LastComplete
from syne_hypersched.checkpoints._files import is_in
from syne_hypersched.checkpoints._numbers import lacks_parts, pattern_of
from syne_hypersched.checkpoints._path_list import PathList, folders_of

PATHS = st.sampled_from(["model", "a/x", "a/y", "a/b/x", "ab", "m-1-of-2", "m-2-of-2", "step-1", "step-2"])


def test_folders_of_a_path():
    assert list(folders_of("a/b/c")) == ["a/b", "a"]
    assert list(folders_of("a")) == []


@given(st.lists(st.tuples(st.sampled_from(["append", "discard", "discard in"]), PATHS | st.sampled_from(["a", "a/b"]))))
def test_the_index_tells_what_the_list_holds(calls):
    paths, plain = PathList(), []
    for call, path in calls:
        if call == "append":
            paths.append(path)
            plain.append(path)
        elif call == "discard":
            paths.discard(path)
            plain = [other for other in plain if other != path]
        else:
            paths.discard_in(path)
            plain = [other for other in plain if not is_in(other, path)]
        assert list(paths) == plain
        assert dict(paths.names) == dict(Counter(map(pattern_of, plain)))
        assert paths.lacks_parts == lacks_parts(plain)
        for other in ("model", "a", "a/b", "a/x", "ab", "step-1"):
            assert (other in paths) == (other in plain)
            assert paths.times(other) == plain.count(other)
            assert paths.within(other) == [known for known in plain if is_in(known, other)]
            assert paths.has_in(other) == bool(paths.within(other))


def saves(name, num_files):
    """Three checkpoints of many files, of which the older ones are removed file by file, as ``rmtree`` does."""
    bursts, complete = Bursts(), LastComplete()
    for epoch in range(3):
        if name == "in place":
            paths = [f"shard-{n}" for n in range(num_files)]
            for path in paths if epoch else ():
                bursts.remove(path)
                complete.remove(path)
        else:
            paths = [f"step-{epoch}/{name}-{n}" for n in range(num_files)]
        for path in paths:
            complete.begin(path, bursts.begins)
            begins = bursts.add(path)
            complete.finish(path, begins, bursts.is_complete, None)
            assert not (bursts.is_partial and bursts.is_complete)
        bursts.report(is_certain=True)
        if name != "in place" and epoch:
            for n in range(num_files):
                bursts.remove(f"step-{epoch - 1}/{name}-{n}")
                complete.remove(f"step-{epoch - 1}/{name}-{n}")
    return bursts


def num_calls(function, *arguments):
    """Steps of work: calls of functions, those written in C too, and items of generators."""
    count = 0

    def count_one(frame, event, argument):
        nonlocal count
        count += 1

    sys.setprofile(count_one)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return count


def test_the_holder_of_a_path_is_what_the_list_has_of_it():
    paths = PathList(["step-1", "step-2/model"])
    assert [paths.holder(path) for path in ("step-1/shards/one", "step-1", "step-2", "step-2/state", "other")] == [
        "step-1", "step-1", "step-2", "step-2/state", "other",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["shard", "in place"])
def test_the_work_for_a_checkpoint_grows_with_its_files_and_not_with_their_square(name):
    # A supervisor that is busy with thousands of files neither ends its launch at a deadline, nor kills it.
    few, many = num_calls(saves, name, 100), num_calls(saves, name, 400)
    assert many < 6 * few


def test_a_name_outlasts_none_that_came_after_it():
    paths = PathList(["step-1", "model", "step-2"])
    assert paths.outlasts("model")
    assert not paths.outlasts("step-#")
    assert not paths.outlasts("state")
    assert not PathList().outlasts("model")


def test_a_path_that_comes_again_may_end_a_cycle():
    paths = PathList(["slot-a", "newest", "slot-b"])
    assert paths.second_of_cycle("newest") == ["slot-b", "newest"]
    assert not paths.second_of_cycle("slot-a")
    assert not paths.second_of_cycle("else")


def test_the_last_names_are_a_tail_unless_they_are_among_the_first():
    paths = PathList(["model", "step-3"])
    assert paths.is_tail_of(["settings", "model", "step-#"])
    assert not paths.is_tail_of(["model", "step-#"])
    assert not paths.is_tail_of(["settings", "step-#", "model"])
    assert not paths.is_tail_of(["model", "settings", "model", "step-#"])
    assert not PathList().is_tail_of(["model"])
