"""A list of paths with an index."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.checkpoints._bursts import Bursts
from syne_hypersched.checkpoints._complete import LastComplete
from syne_hypersched.checkpoints._files import is_in
from syne_hypersched.checkpoints._numbers import lacks_parts, pattern_of, starts_again
from syne_hypersched.checkpoints._path_list import PathList, folders_of
from tests.checkpoints.steps import num_steps

PATHS = st.sampled_from(
    ["model", "a/x", "a/y", "a/b/x", "ab", "m-1-of-2", "m-2-of-2", "step-1", "step-2", "x-1-2", "x-2-1"]
)


def test_folders_of_a_path():
    assert list(folders_of("a/b/c")) == ["a/b", "a"]
    assert list(folders_of("a")) == []


CALLS = st.sampled_from(["append", "discard", "discard in", "discard named"])


@given(st.lists(st.tuples(CALLS, PATHS | st.sampled_from(["a", "a/b"]))))
def test_the_index_tells_what_the_list_holds(calls):
    paths, plain = PathList(), []
    for call, path in calls:
        if call == "append":
            paths.append(path)
            plain.append(path)
        elif call == "discard":
            paths.discard(path)
            plain = [other for other in plain if other != path]
        elif call == "discard named":
            paths.discard_named({pattern_of(path), "other"})
            plain = [other for other in plain if pattern_of(other) != pattern_of(path)]
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
        for other in ("step-1", "x-1-2", "x-2-1") if plain else ():
            last = [known for known in plain if pattern_of(known) == pattern_of(other)] or [other]
            assert paths.starts_again(other) == (other == plain[0] or starts_again(other, last[-1]))


#: What many files of a checkpoint may be called, and whether they are removed before the next ones are written.
MANY_FILES = {
    "numbered folder": (lambda epoch, n: f"step-{epoch}/shard-{n}", False),
    "numbered files": (lambda epoch, n: f"{letters(n)}-{epoch}", False),
    "one name": (lambda epoch, n: f"shard-{n}", True),
    "names": (lambda epoch, n: letters(n), True),
    "folder": (lambda epoch, n: f"state/{letters(n)}", True),
}


def letters(number):
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def saves(name, num_files):
    """Three checkpoints of many files, of which the older ones are removed file by file, as ``rmtree`` does."""
    bursts, complete = Bursts(), LastComplete()
    path_of, is_removed_first = MANY_FILES[name]

    def remove(epoch):
        for n in range(num_files) if epoch >= 0 else ():
            bursts.remove(path_of(epoch, n))
            complete.remove(path_of(epoch, n))

    for epoch in range(3):
        if is_removed_first:
            remove(epoch - 1)
        for n in range(num_files):
            path = path_of(epoch, n)
            complete.begin(path, bursts.begins)
            begins = bursts.add(path)
            complete.finish(path, begins, bursts.is_complete, None)
            assert not (bursts.is_partial and bursts.is_complete)
        bursts.report(is_certain=True)
        bursts.rest()
        if not is_removed_first:
            remove(epoch - 1)


def test_the_holder_of_a_path_is_what_the_list_has_of_it():
    paths = PathList(["step-1", "step-2/model"])
    assert [paths.holder(path) for path in ("step-1/shards/one", "step-1", "step-2", "step-2/state", "other")] == [
        "step-1", "step-1", "step-2", "step-2/state", "other",
    ]  # fmt: skip


@pytest.mark.parametrize("name", MANY_FILES)
def test_the_work_for_a_checkpoint_grows_with_its_files_and_not_with_their_square(name):
    # A supervisor that is busy with thousands of files neither ends its launch at a deadline, nor kills it.
    few, many = num_steps(saves, name, 50), num_steps(saves, name, 200)
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
