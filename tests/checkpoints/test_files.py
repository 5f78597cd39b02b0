"""Folders of files as values, and how a file gets a second name or a copy."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from syne_hypersched.checkpoints._files import (
    FileState,
    are_of_elastic_run,
    copy_file,
    have_holes,
    link_file,
    linked,
    num_bytes,
    place_tree,
    read_present,
    read_tree,
)


@pytest.fixture
def folder(tmp_path):
    """A folder with every kind of entry that a checkpoint has."""
    folder = tmp_path / "checkpoints"
    (folder / "step-2" / "shards").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "model").write_text("weights")
    (folder / "step-2" / "shards" / "0").write_text("shard")
    (folder / "step-2" / "none").write_text("")
    (folder / "latest").symlink_to("step-2")
    (folder / "nowhere").symlink_to("/no/such/file")
    return folder


def test_a_tree_has_every_entry_once_and_follows_no_link(folder):
    tree = read_tree(folder)
    assert {path: state.kind for path, state in tree.items()} == {
        "empty": "folder", "latest": "link", "model": "file", "nowhere": "link", "step-2": "folder",
        "step-2/none": "file", "step-2/shards": "folder", "step-2/shards/0": "file",
    }  # fmt: skip
    assert list(tree) == sorted(tree)
    status = (folder / "model").stat()
    assert tree["model"] == FileState("file", status.st_ino, 7, status.st_mtime_ns)
    assert num_bytes(tree) == 12


def test_a_folder_that_is_a_link_is_read_where_it_leads(tmp_path, folder):
    (tmp_path / "link").symlink_to(folder)
    assert read_tree(tmp_path / "link") == read_tree(folder)


@pytest.mark.parametrize("what", ["nothing", "a file", "a link to nothing"])
def test_what_is_no_folder_has_no_entries(tmp_path, what):
    path = tmp_path / "checkpoints"
    if what == "a file":
        path.write_text("")
    elif what == "a link to nothing":
        path.symlink_to("nowhere")
    assert read_tree(path) == {}


def test_what_is_no_file_is_left_out(folder):
    before = read_tree(folder)
    os.mkfifo(folder / "pipe")
    assert read_tree(folder) == before


@pytest.mark.parametrize("change", ["replaced", "written to", "longer"])
def test_a_file_that_has_changed_has_another_state(folder, change):
    before, status = read_tree(folder), (folder / "model").stat()
    if change == "replaced":
        (folder / "new").write_text("WEIGHTS")
        os.utime(folder / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
        os.replace(folder / "new", folder / "model")
    elif change == "written to":
        (folder / "model").write_text("WEIGHTS")
        os.utime(folder / "model", ns=(0, status.st_mtime_ns + 1))
    else:
        (folder / "model").write_text("more weights")
        os.utime(folder / "model", ns=(0, status.st_mtime_ns))
    after = read_tree(folder)
    assert {path for path in after if after[path] != before[path]} == {"model"}


def test_reading_while_files_come_and_go_is_no_error(folder):
    ended = threading.Event()

    def change():
        for number in range(300):
            inner = folder / f"step-{number}"
            inner.mkdir(exist_ok=True)
            (inner / "model").write_text("x")
            (inner / "model").unlink()
            if number != 2:
                inner.rmdir()
        ended.set()

    changer = threading.Thread(target=change)
    changer.start()
    while not ended.is_set():
        assert read_tree(folder)["model"].size == 7
    changer.join()


def test_a_copy_has_the_mode_and_the_time_of_the_file(folder):
    source, target = folder / "model", folder / "copy"
    source.chmod(0o640)
    os.utime(source, ns=(1, 1_234_567_890_123_456_789))
    assert copy_file(str(source), str(target)) in (0, 7)  # 0 where the file system shares blocks
    assert target.read_text() == "weights"
    assert target.stat().st_mode & 0o777 == 0o640
    assert target.stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert not target.samefile(source)


@pytest.mark.parametrize("size", [0, 1, (3 << 20) + 1])
@pytest.mark.parametrize("kernel", ["copies", "refuses", "does nothing"])
def test_a_copy_is_whole_whatever_the_kernel_does_for_it(tmp_path, monkeypatch, size, kernel):
    def refuse(*_):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    if kernel != "copies":
        monkeypatch.setattr(os, "copy_file_range", refuse if kernel == "refuses" else lambda *_: 0)
    content = os.urandom(size)
    (tmp_path / "model").write_bytes(content)
    copy_file(str(tmp_path / "model"), str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == content


@pytest.mark.parametrize("pieces", [{}, {0: b"head"}, {0: b"head", 5 << 20: b"middle"}, {(9 << 20) - 4: b"tail"}])
def test_a_copy_of_a_sparse_file_has_its_holes(tmp_path, pieces):
    with open(tmp_path / "model", "wb") as file:
        file.truncate(9 << 20)
        for place, content in pieces.items():
            file.seek(place)
            file.write(content)
    copied = copy_file(str(tmp_path / "model"), str(tmp_path / "copy"))
    assert copied <= 9 << 20
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "model").read_bytes()
    assert (tmp_path / "copy").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_or_broken_disk_is_an_error(folder, monkeypatch, error):
    def fail(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "copy_file_range", fail)
    with pytest.raises(OSError, match=os.strerror(error)):
        copy_file(str(folder / "model"), str(folder / "copy"))


def test_nothing_is_copied_over_what_is_there(folder):
    (folder / "copy").write_text("mine")
    with pytest.raises(FileExistsError):
        copy_file(str(folder / "model"), str(folder / "copy"))
    assert (folder / "copy").read_text() == "mine"


def test_a_second_name_costs_nothing_and_is_the_same_file(folder):
    assert link_file(str(folder / "model"), str(folder / "name")) == 0
    assert (folder / "name").samefile(folder / "model")


@pytest.mark.parametrize("how", [copy_file, link_file])
def test_a_file_that_has_vanished_is_an_error_and_leaves_nothing(folder, how):
    with pytest.raises(FileNotFoundError):
        how(str(folder / "gone"), str(folder / "target"))
    assert not (folder / "target").exists()


def place(folder, target, linked=()):
    return place_tree(read_tree(folder), target, lambda path: os.path.join(folder, path), linked.__contains__)


def test_a_placed_tree_has_the_same_entries(folder, tmp_path):
    (folder / "model").chmod(0o700)
    tree = read_tree(folder)
    copied = place(folder, tmp_path / "target", linked=("step-2/shards/0",))
    placed = read_tree(tmp_path / "target")
    assert {path: (state.kind, state.size) for path, state in placed.items()} == {
        path: (state.kind, state.size) for path, state in tree.items()
    }
    assert copied in (0, 7)
    assert placed["step-2/shards/0"] == tree["step-2/shards/0"]
    assert placed["model"].inode != tree["model"].inode
    assert (tmp_path / "target" / "model").stat().st_mode & 0o777 == 0o700
    assert [os.readlink(tmp_path / "target" / name) for name in ("latest", "nowhere")] == ["step-2", "/no/such/file"]


def test_a_tree_is_placed_nowhere_where_something_is(folder, tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(FileExistsError):
        place(folder, tmp_path / "target")


def test_an_entry_that_is_gone_is_an_error(folder, tmp_path):
    tree = read_tree(folder)
    (folder / "latest").unlink()
    with pytest.raises(FileNotFoundError):
        place_tree(tree, tmp_path / "target", lambda path: os.path.join(folder, path), lambda path: True)


def test_a_file_that_was_written_again_differs_although_its_size_and_time_are_the_same(tmp_path):
    for name in ("model", "other"):
        (tmp_path / name).write_text("1")
        os.utime(tmp_path / name, (5, 5))
    before = read_tree(tmp_path)
    (tmp_path / "model").write_text("2")
    os.utime(tmp_path / "model", (5, 5))
    assert read_tree(tmp_path) == before
    present = read_present(str(tmp_path), {"model", "gone"}, {"model"}, before)
    assert present["model"] != before["model"]
    assert present["other"] == before["other"]
    assert read_tree(tmp_path) == present


def test_it_differs_from_each_of_its_earlier_states(tmp_path):
    (tmp_path / "model").write_text("1")
    os.utime(tmp_path / "model", ns=(5, 5))
    before = read_tree(tmp_path)
    later = {"model": before["model"]._replace(mtime_ns=6)}
    for states in ((before, later), (later, before)):
        os.utime(tmp_path / "model", ns=(5, 5))
        present = read_present(str(tmp_path), {"model"}, (), *states)
        assert present["model"] not in (before["model"], later["model"])


@pytest.mark.parametrize(("is_linked", "is_rewritten"), [(False, False), (False, True), (True, False), (True, True)])
def test_a_file_of_a_generation_that_was_only_moved_away_and_back_keeps_its_time(tmp_path, is_linked, is_rewritten):
    (folder := tmp_path / "checkpoints").mkdir()
    (folder / "model").write_text("1")
    if is_linked:
        os.link(folder / "model", tmp_path / "generation")
    before = read_tree(folder)
    present = read_present(str(folder), {"model"}, {"model"} if is_rewritten else set(), before)
    assert (present == before) == (is_linked and not is_rewritten)


def test_a_file_that_differs_anyway_keeps_its_time(tmp_path):
    (tmp_path / "model").write_text("1")
    before = read_tree(tmp_path)
    (tmp_path / "model").write_text("22")
    os.utime(tmp_path / "model", (5, 5))
    read_present(str(tmp_path), {"model"}, {"model"}, before)
    assert os.stat(tmp_path / "model").st_mtime == 5


def test_a_link_to_a_file_of_the_folder_points_into_the_copy(folder, tmp_path):
    (folder / "absolute").symlink_to(folder / "step-2" / "shards" / "0")
    (folder / "step-2" / "up").symlink_to(folder / "model")
    (tmp_path / "data").write_text("data")
    (folder / "outside").symlink_to(tmp_path / "data")
    place_tree(read_tree(folder), tmp_path / "copy", lambda path: str(folder / path), lambda path: False)
    (folder / "model").write_text("others")
    assert (tmp_path / "copy" / "absolute").read_text() == "shard"
    assert (tmp_path / "copy" / "step-2" / "up").read_text() == "weights"
    assert os.readlink(tmp_path / "copy" / "outside") == str(tmp_path / "data")
    # And so does a copy of the copy.
    (tmp_path / "copy").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "step-2" / "up").read_text() == "weights"


@pytest.mark.parametrize(("path", "names"), [("step", {"step/model"}), ("step/model", {"step/model"}), ("gone", set())])
def test_files_with_a_second_name(tmp_path, path, names):
    (tmp_path / "folder" / "step" / "inner").mkdir(parents=True)
    (tmp_path / "scratch").write_text("weights")
    os.link(tmp_path / "scratch", tmp_path / "folder" / "step" / "model")
    (tmp_path / "folder" / "step" / "state").write_text("state")
    (tmp_path / "folder" / "step" / "newest").symlink_to("model")
    assert linked(str(tmp_path / "folder"), path) == names


@pytest.mark.parametrize(
    "paths, expected",
    [
        ([], False),
        (["checkpoint-000000007/manifest.json", "checkpoint-000000007/shards/.metadata"], True),
        (["fold-1/checkpoint-000000007/manifest.json", "checkpoint-000000001/manifest.json"], True),
        (["checkpoint-000000007/manifest.json", "checkpoint-000000008/state.pt"], False),
        (["checkpoint-000000007/manifest.json", "checkpoint-000000008.aside/manifest.json"], False),
        (["checkpoint-000000007/manifest.json", "model.pt"], False),
        (["checkpoint-7/manifest.json"], False),
    ],
)
def test_checkpoints_of_elastic_runs_alone(paths, expected):
    assert are_of_elastic_run({path: FileState("file") for path in paths} | {"empty": FileState("folder")}) is expected


def test_holes(tmp_path):
    (tmp_path / "whole").write_bytes(b"x" * 100_000)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1_000_000)
    assert not have_holes(str(tmp_path), [])
    assert not have_holes(str(tmp_path), ["whole"])
    assert have_holes(str(tmp_path), ["whole", "sparse"])
    assert have_holes(str(tmp_path), ["whole", "gone"])
