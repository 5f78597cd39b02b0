"""What the kernel tells of a checkpoint folder and of the log beside it."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from syne_hypersched.checkpoints._changes import ChangeWatch
from tests.checkpoints.watched import exchange, of


def test_nothing_has_happened_at_first(watched):
    assert watched.seen() == []
    assert watched.log.read_bytes() == b""


def test_a_file_is_made_written_and_closed(watched):
    watched.write("model")
    assert watched.seen() == of("model")
    watched.write("model")
    assert watched.seen() == [("written", "model"), ("closed", "model")]
    with open(watched.folder / "model", "a") as file:
        file.write("more")
        file.flush()
        assert watched.seen() == [("written", "model")]
    assert watched.seen() == [("closed", "model")]


def test_who_only_reads_changes_nothing(watched):
    watched.write("model")
    watched.seen()
    (watched.folder / "model").read_text()
    os.listdir(watched.folder)
    (watched.folder / "model").chmod(0o600)
    assert watched.seen() == []


def test_who_sets_the_time_of_a_folder_writes_no_file(watched):
    """As tar and rsync do when they have filled it."""
    (watched.folder / "step-1").mkdir()
    watched.write("step-1/model")
    watched.seen()
    for folder in (watched.folder / "step-1", watched.folder):
        status = folder.stat()
        os.utime(folder, ns=(status.st_atime_ns, 10**18))
        subprocess.run(["tar", "xf", "-", "-C", folder], input=_archive_of_a_folder(), check=True)
    assert watched.seen() == []


def _archive_of_a_folder():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        entry = tarfile.TarInfo(".")
        entry.type, entry.mtime, entry.mode = tarfile.DIRTYPE, 10**9, 0o700
        archive.addfile(entry)
    return content.getvalue()


def test_pipes_and_sockets_hold_nothing(watched):
    os.mkfifo(watched.folder / "pipe")
    with open(watched.folder / "pipe", "w+b", buffering=0) as pipe, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(watched.folder / "socket"))
        pipe.write(b"order")
    assert watched.seen() == []
    (watched.folder / "pipe").unlink()
    watched.seen()
    watched.write("pipe")
    assert watched.seen() == of("pipe")


def test_a_pipe_that_was_there_before_holds_nothing(tmp_path, make_watched):
    (tmp_path / "checkpoints").mkdir()
    os.mkfifo(tmp_path / "checkpoints" / "pipe")
    watched = make_watched()
    with open(watched.folder / "pipe", "w+b", buffering=0) as pipe:
        pipe.write(b"order")
    assert watched.seen() == []


def test_a_file_is_moved_and_removed(watched):
    watched.write("model.new")
    os.replace(watched.folder / "model.new", watched.folder / "model")
    assert watched.seen() == [*of("model.new"), ("moved away", "model.new"), ("moved", "model")]
    (watched.folder / "model").unlink()
    assert watched.seen() == [("removed", "model")]


def test_what_comes_from_elsewhere_is_moved_and_what_goes_elsewhere_is_moved_away(watched):
    (watched.log.parent / "model").write_text("x")
    os.replace(watched.log.parent / "model", watched.folder / "model")
    assert watched.seen() == [("moved", "model")]
    os.replace(watched.folder / "model", watched.log.parent / "model")
    assert watched.seen() == [("moved away", "model")]


def test_links_are_made_and_not_followed(watched, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (watched.folder / "inner").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "file").write_text("x")
    os.link(tmp_path / "elsewhere" / "file", watched.folder / "name")
    assert watched.seen() == [("linked", "inner"), ("linked", "name")]


def test_a_file_that_gets_a_second_name_soon_after_it_was_written_is_no_link(watched):
    watched.write("model.new")
    os.link(watched.folder / "model.new", watched.folder / "model")
    assert watched.seen() == [*of("model.new"), ("linked", "model")]


def test_a_file_that_has_lost_its_first_name_has_come_whole(watched, tmp_path):
    """As where a new file replaces another one by a link and a removal."""
    (tmp_path / "aside").write_text("x")
    os.link(tmp_path / "aside", watched.folder / "model")
    (tmp_path / "aside").unlink()
    assert watched.seen() == [("linked", "model")]


def test_a_file_without_a_name_has_come_when_it_is_closed(watched):
    file = os.open(watched.folder, os.O_TMPFILE | os.O_WRONLY)
    os.write(file, b"x")
    os.link(f"/proc/self/fd/{file}", watched.folder / "model", src_dir_fd=file, follow_symlinks=True)
    assert watched.seen() == [("created", "model")]
    os.close(file)
    assert watched.seen() == [("closed", "model")]


def test_a_file_that_is_made_empty_and_written_then_is_one_file(watched):
    """As by ``tempfile.mkstemp``."""
    (watched.folder / "tmp1").touch()
    watched.write("tmp1")
    watched.write("tmp1")
    assert watched.seen() == [*of("tmp1"), ("written", "tmp1"), ("closed", "tmp1")]
    (watched.folder / "mark").touch()
    assert watched.seen() == [("created", "mark"), ("closed", "mark")]


def test_files_in_folders_in_it_are_seen(watched):
    (watched.folder / "step-1").mkdir()
    assert watched.seen() == [("made", "step-1")]
    (watched.folder / "step-1" / "shards").mkdir()
    assert watched.seen() == [("made", "step-1/shards")]
    watched.write("step-1/shards/0")
    assert watched.seen() == of("step-1/shards/0")


def test_two_files_change_places(watched):
    for _ in range(2):
        watched.write("model")
        watched.write("model.new")
        watched.seen()
        exchange(watched.folder / "model.new", watched.folder / "model")
        assert watched.seen() == [("removed", "model"), ("moved away", "model.new"), ("moved", "model")]


def test_the_log_and_the_folder_are_seen_in_their_order(watched):
    watched.report()
    watched.write("model")
    watched.report()
    watched.report()
    (watched.folder / "model").unlink()
    assert watched.seen() == ["log", *of("model"), "log", ("removed", "model")]


def test_other_files_beside_the_folder_are_no_news(watched):
    (watched.folder.parent / "std.err").write_text("x")
    (watched.folder.parent / "std.err").unlink()
    assert watched.seen() == []


def test_too_many_events_at_once_are_lost_and_said_to_be(watched):
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"the kernel keeps {limit} events")
    watched.write("a")
    watched.write("b")
    watched.seen()
    with open(watched.folder / "a", "wb", buffering=0) as a, open(watched.folder / "b", "wb", buffering=0) as b:
        for _ in range(limit // 2 + 10):
            a.write(b"x")
            b.write(b"x")
        a.close()
        assert watched.seen()[-4:] == [("lost", "a"), ("written", "b"), ("lost", ""), "log"]
    assert watched.seen() == [("closed", "b")]
    watched.write("c")
    assert watched.seen() == of("c")


def test_a_kernel_that_gives_no_watch_is_an_error_and_leaves_nothing_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="No such file"):
        ChangeWatch(str(tmp_path / "nowhere" / "checkpoints"), str(tmp_path / "std.out"))
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_file_that_is_removed_while_it_is_open_is_not_closed_afterwards(make_watched):
    """As the logs of SQLite are, which removes them before it closes them."""
    watched = make_watched()
    watched.folder.mkdir()
    watched.seen()
    for _ in range(2):
        with open(watched.folder / "wal", "w") as file:
            file.write("x")
            file.flush()
            os.unlink(file.name)
            file.write("y")
        assert watched.seen() == [("created", "wal"), ("written", "wal"), ("removed", "wal")]
    watched.write("wal")
    assert watched.seen() == [("created", "wal"), ("written", "wal"), ("closed", "wal")]


def test_a_folder_for_which_the_kernel_has_no_watch_left_is_an_error(tmp_path):
    """Halves of checkpoints would be taken from a folder of which nothing is seen."""
    program = """
import os, sys
from syne_hypersched.checkpoints._changes import ChangeWatch

folder = os.path.join(sys.argv[1], "checkpoints")
os.mkdir(folder)
watch = ChangeWatch(folder, os.path.join(sys.argv[1], "log"))  # the log, the folder, and the one in which it is
os.mkdir(os.path.join(folder, "step-1"))
try:
    watch.read()
except OSError as error:
    print(error)
"""
    limited = 'echo 3 > /proc/sys/user/max_inotify_watches && exec "$@"'
    enter = ["unshare", "--user", "--map-root-user", "sh", "-c", limited, "sh"]
    if not shutil.which("unshare") or subprocess.run([*enter, "true"], capture_output=True).returncode:
        pytest.skip("this machine has no user namespaces with limits of their own")
    done = subprocess.run([*enter, sys.executable, "-c", program, tmp_path], capture_output=True, text=True)
    assert "fs.inotify.max_user_watches" in done.stdout, done.stderr
