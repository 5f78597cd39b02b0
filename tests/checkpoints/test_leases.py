"""Leases, held against real processes that write: none writes to a file that is held, and none waits for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import signal

import pytest

from syne_hypersched.checkpoints import _leases
from syne_hypersched.checkpoints._leases import (
    GivenUpError,
    Leases,
    Patience,
    file_system_of,
    is_being_written,
    open_with_lease,
)

pytestmark = pytest.mark.usefixtures("no_process_left")

#: Ways to write to a file that is there.
WRITES = {
    "wb": "open({path!r}, 'wb').write(b'new')",
    "ab": "open({path!r}, 'ab').write(b'new')",
    "r+b": "open({path!r}, 'r+b').write(b'new')",
    "truncate": "os.truncate({path!r}, 1)",
}


@pytest.fixture
def folder(tmp_path):
    for name in ("model", "optimizer"):
        (tmp_path / name).write_bytes(b"old")
    return tmp_path


def leases_on(folder, *names, most_s=lambda: 600.0):
    return Leases(str(folder), {name: (folder / name).stat().st_size for name in names}, most_s)


def is_awaited(fd):
    """Whether a process waits for the lease of a descriptor."""
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_UNLCK


def held_fds(leases):
    return list(leases._fds.values())


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_who_writes_waits_until_the_leases_are_given_back(folder, child, wait_for, write):
    with leases_on(folder, "model", "optimizer") as leases:
        assert leases.obtain()
        assert leases.are_granted
        child.begin(write.format(path=str(folder / "model")))
        wait_for(lambda: any(map(is_awaited, held_fds(leases))))
        assert (folder / "model").read_bytes() == b"old"
        assert leases.end()
    child.end()
    assert (folder / "model").read_bytes() != b"old"
    assert leases.waited_s > 0


def interrupt(leases, fds):
    with leases:
        assert leases.obtain()
        fds += held_fds(leases)
        raise KeyboardInterrupt


@pytest.mark.parametrize("ending", ["end", "error", "neither"])
def test_the_leases_are_given_back_in_all_cases(folder, child, ending):
    leases, fds = leases_on(folder, "model"), []
    if ending == "error":
        with pytest.raises(KeyboardInterrupt):
            interrupt(leases, fds)
    else:
        with leases:
            assert leases.obtain()
            fds += held_fds(leases)
            assert ending == "neither" or leases.end()
    assert len(fds) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds[0])
    child.do(WRITES["wb"].format(path=str(folder / "model")))  # waits for nobody


def test_what_is_held_can_be_read_although_it_was_removed_or_replaced(folder):
    with leases_on(folder, "model", "optimizer") as leases:
        assert leases.obtain()
        (folder / "model").unlink()
        (folder / "new").write_bytes(b"new")
        os.replace(folder / "new", folder / "optimizer")
        places = [leases.place(name) for name in ("model", "optimizer", "other")]
        assert places[2] is None
        for place in places[:2]:
            with open(place, "rb") as file:
                assert file.read() == b"old"
        assert leases.end()
    assert leases.place("model") is None


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b"])
def test_no_lease_is_granted_while_anybody_can_write(folder, child, mode):
    child.do(f"file = open({str(folder / 'optimizer')!r}, {mode!r})")
    with leases_on(folder, "model", "optimizer") as leases:
        assert not leases.obtain()
        assert not leases.are_granted
        assert held_fds(leases) == []
    child.do("file.close()")
    with leases_on(folder, "model", "optimizer") as leases:
        assert leases.obtain()


def test_no_lease_is_granted_on_what_is_mapped_for_writing(folder, child):
    """The descriptor is closed, and the process goes on to write to the file."""
    child.do("import mmap")
    child.do(f"file = open({str(folder / 'model')!r}, 'r+b'); memory = mmap.mmap(file.fileno(), 0); file.close()")
    with leases_on(folder, "model") as leases:
        assert not leases.obtain()
    child.do("memory.close()")
    with leases_on(folder, "model") as leases:
        assert leases.obtain()


def test_a_file_that_is_gone_is_not_held(folder):
    with Leases(str(folder), {"model": 3, "gone": 3}) as leases:
        assert not leases.obtain()
        assert held_fds(leases) == []


def test_who_opens_without_waiting_is_told_to_come_again(folder, child):
    """``O_NONBLOCK`` says that a process does not want to wait."""
    opens = f"os.open({str(folder / 'model')!r}, os.O_WRONLY | os.O_NONBLOCK)"
    text = f"try: {opens}\nexcept BlockingIOError: refused = True"
    with leases_on(folder, "model") as leases:
        assert leases.obtain()
        child.do(f"exec({text!r})")
        child.do("assert refused")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_who_waits_can_be_ended_and_leaves_the_file_as_it_was(folder, child, wait_for, signum):
    with leases_on(folder, "model") as leases:
        assert leases.obtain()
        child.begin(WRITES["wb"].format(path=str(folder / "model")))
        wait_for(lambda: any(map(is_awaited, held_fds(leases))))
        os.kill(child.pid, signum)
        child.process.wait()
        assert leases.end()
    assert (folder / "model").read_bytes() == b"old"


def test_nobody_who_waits_is_kept_for_longer_than_may_be(folder, child, wait_for):
    (folder / "model").write_bytes(b"x" * 100)
    left_s = [600.0]
    with leases_on(folder, "model", most_s=lambda: left_s[0]) as leases:
        assert leases.obtain()
        leases.go_on(50)  # nobody waits, and it takes as long as it takes
        child.begin(WRITES["wb"].format(path=str(folder / "model")))
        wait_for(lambda: any(map(is_awaited, held_fds(leases))))
        leases.go_on(0)
        left_s[0] = 0.0
        with pytest.raises(GivenUpError):
            leases.go_on(1)
    child.end()


def test_who_was_kept_waiting_beyond_the_patience_of_the_kernel_may_have_written(folder, child, wait_for, monkeypatch):
    with leases_on(folder, "model") as leases:
        assert leases.obtain()
        monkeypatch.setattr(_leases, "_break_time_s", lambda: 0.0)
        child.begin(WRITES["wb"].format(path=str(folder / "model")))
        wait_for(lambda: any(map(is_awaited, held_fds(leases))))
        assert not leases.end()
    child.end()


def test_the_kernel_is_asked_for_its_patience():
    assert _leases._break_time_s() > Patience.MOST_S


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EACCES, errno.ENOTSUP, None])
def test_where_there_are_no_leases_nothing_is_held(folder, child, monkeypatch, error):
    def refuse(fd, command, *_):
        if error is None:
            raise AttributeError("module 'fcntl' has no attribute 'F_SETLEASE'")
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with leases_on(folder, "model") as leases:
        assert leases.obtain()
        assert (leases.are_granted, leases.place("model")) == (False, None)
        child.do(WRITES["wb"].format(path=str(folder / "model")))
        leases.go_on(1)
        assert not leases.end()
    assert not is_being_written(str(folder / "model"))


def test_a_network_file_system_has_no_leases(folder, child, monkeypatch):
    """It refuses one while nobody writes, if the server has not given the file to this machine."""
    monkeypatch.setattr(_leases, "_is_on_network", lambda _: True)
    child.do(f"file = open({str(folder / 'model')!r}, 'w')")
    assert not is_being_written(str(folder / "model"))
    fd, is_granted = open_with_lease(str(folder / "model"))
    os.close(fd)
    assert not is_granted


def test_more_files_than_there_are_descriptors_are_not_held(folder, monkeypatch):
    monkeypatch.setattr(_leases, "_MOST_FILES", 1)
    with leases_on(folder, "model", "optimizer") as leases:
        assert leases.obtain()
        assert not leases.are_granted


def test_what_cannot_be_read_is_an_error(folder):
    (folder / "link").symlink_to("model")
    with Leases(str(folder), {"link": 3}) as leases, pytest.raises(OSError, match="symbolic links"):
        leases.obtain()


@pytest.mark.parametrize(
    ("device", "kind"), [((8, 1), "ext4"), ((0, 45), "nfs4"), ((0, 46), "fuse.sshfs"), ((0, 4), ""), ((9, 9), "")]
)
def test_the_type_of_a_file_system_stands_behind_a_dash(device, kind):
    lines = [
        "22 28 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
        "23 22 0:45 / /home\\040of\\040all rw master:3 propagate_from:2 - nfs4 server:/home rw,vers=4.2",
        "24 22 0:46 / /far rw - fuse.sshfs me@there: rw",
        "half a line",
        "",
    ]
    assert file_system_of(lines, *device) == kind


def test_this_machine_says_what_the_file_systems_are(folder):
    assert _leases._is_on_network(os.stat("/proc").st_dev) is False


def test_patience_grows_with_time_and_is_spent_by_waiting():
    patience = Patience(100.0)
    assert patience.left_s(100.0) == Patience.FIRST_S
    patience.spend(Patience.FIRST_S, 100.0)
    assert patience.left_s(100.0) == 0.0
    assert patience.left_s(110.0) == pytest.approx(10.0 * Patience.SHARE)
    patience.spend(3.0, 110.0)  # more than there was
    assert patience.left_s(110.0) == 0.0
    assert patience.left_s(111.0) == 0.0
    assert patience.left_s(1e9) == Patience.MOST_S
    assert patience.left_s(0.0) == Patience.MOST_S  # a clock does not go back


def test_processes_wait_for_no_more_than_a_share_of_the_time():
    patience, waited_s, now = Patience(0.0), 0.0, 0.0
    for number in range(1000):
        now += 0.1 + number % 7
        waited_s += (spent_s := patience.left_s(now))
        patience.spend(spent_s, now)
    assert waited_s == pytest.approx(Patience.FIRST_S + Patience.SHARE * now)  # each time it was spent to the end


def test_a_file_is_being_written_while_anybody_has_it_open_for_that(child, tmp_path):
    path = tmp_path / "model"
    assert not is_being_written(str(path))
    path.write_text("x")
    assert not is_being_written(str(path))
    for mode in ("w", "a", "r+"):
        child.do(f"file = open({str(path)!r}, {mode!r})")
        assert is_being_written(str(path))
        child.do("file.close()")
        assert not is_being_written(str(path))
    child.do(f"file = open({str(path)!r})")
    assert not is_being_written(str(path))
    os.mkfifo(tmp_path / "fifo")
    assert not is_being_written(str(tmp_path / "fifo"))


def test_who_opens_a_file_that_is_looked_at_is_not_disturbed(child, tmp_path):
    path = tmp_path / "model"
    path.write_text("x")
    child.do(f"write = lambda: [open({str(path)!r}, 'a').close() for _ in range(5000)]")
    child.do("thread = threading.Thread(target=write); thread.start()")
    for _ in range(5000):
        is_being_written(str(path))
    child.do("thread.join()")
