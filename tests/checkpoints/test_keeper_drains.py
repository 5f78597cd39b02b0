"""What a drain waits for, and what is saved at SIGTERM."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from syne_hypersched.checkpoints import (
    GenerationKeeper,
    GenerationStore,
    Order,
)
from syne_hypersched.checkpoints import _keeper as keeper_module
from tests.checkpoints.saving import HEAD, epoch_in, save

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_a_drain_waits_for_a_write_that_goes_on(launches, tmp_path):
    launch = launches.start(
        """
half = halves(folder / "model", 1)
next(half)
print("half", flush=True)
while not Path("go on").exists():
    time.sleep(0.005)
time.sleep(0.3)  # SIGTERM would end it here
next(half, None)
print("whole", flush=True)
time.sleep(600)
"""
    )
    launches.seen("half")
    launches.launcher.drain(launch, 60.0)
    (tmp_path / "go on").write_text("")
    ending = launches.end(launch)
    assert "whole" in launches.log.read_text()
    assert ending.is_whole
    assert launches.exits[launch].exit_code == -15
    assert epoch_in(launches.folder) == 1
    launches.run("assert saved() == 1")
    assert not launches.beginning().restored, launches.errors()


@pytest.mark.parametrize("is_new", [False, True])
def test_a_file_that_is_mapped_into_memory_is_being_written_after_it_was_closed(launches, is_new):
    """As torch.UntypedStorage.from_file does it: no event tells of what is written, and no descriptor is open."""
    launch = launches.start(
        f"""
import ctypes
(new if {is_new} else in_place)(1)
report(1, 1.0)
while not taken():
    time.sleep(0.005)
path = folder / ("model-2" if {is_new} else "model")
fd = os.open(path, os.O_RDWR | os.O_CREAT)
if {is_new}:
    os.ftruncate(fd, len(sealed(2)))
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
place = libc.mmap(None, ctypes.c_size_t(len(sealed(2))), 3, 1, fd, ctypes.c_long(0))
os.close(fd)
ctypes.memmove(place, sealed(2).encode(), 20_000)
print("half", flush=True)
time.sleep(600)
"""
    )
    launches.seen("half")
    launches.launcher.drain(launch, 0.3)
    assert not launches.end(launch).is_whole
    assert launches.epochs() == [1]
    launches.run(f"assert os.listdir(folder) == [{'model-1' if is_new else 'model'!r}]")
    assert launches.beginning().generation == 1, launches.errors()
    assert launches.exits[launch + 1].exit_code == 0, launches.errors()


def test_a_write_that_never_ends_is_not_waited_for_beyond_the_grace_period(launches):
    launch = launches.start(
        "half = halves(folder / 'model', 1)\nnext(half)\nprint('half', flush=True)\ntime.sleep(600)"
    )
    launches.seen("half")
    launches.launcher.drain(launch, 0.3)
    assert not launches.end(launch).is_whole


def test_what_was_saved_on_sigterm_by_who_then_dies_of_it_is_tried(launches):
    launch = launches.start(
        """
def leave(*_):
    in_place(1)  # nobody may be quick enough to see that the file was closed by a process that has lived on
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(600)
"""
    )
    launches.seen("ready")
    launches.launcher.drain(launch, 60.0)
    launches.end(launch)
    assert launches.exits[launch].exit_code == -15
    launches.run("assert saved() == 1")
    assert not launches.beginning().restored, launches.errors()


def test_no_generation_is_taken_of_what_a_thread_writes_while_the_handler_of_sigterm_ends_the_process(launches):
    launch = launches.start(
        """
import threading

def leave(*_):
    half = halves(folder / "model", 1)
    thread = threading.Thread(target=next, args=(half,))
    thread.start()
    thread.join()  # half of it is written
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(600)
"""
    )
    launches.seen("ready")
    launches.launcher.drain(launch, 60.0)
    ending = launches.end(launch)
    assert (ending.is_whole, ending.num_taken) == (False, 0)


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_who_leaves_in_order_in_the_middle_of_a_write_has_not_finished_it(launches, num_ranks):
    body = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0) if RANK == 0 else None)
if RANK == 0:
    half = halves(folder / "model", 1)
    next(half)
    print("half", flush=True)
while True:
    time.sleep(600)
"""
    launch = launches.start(body, num_ranks)
    launches.seen("half")
    launches.launcher.drain(launch, 1.0)
    assert not launches.end(launch).is_whole
    assert launches.exits[launch].exit_codes[0] == 0


@pytest.mark.parametrize("order", ["unknown", "late"])
def test_a_drain_waits_for_the_save_after_a_report(in_process, wait_for, order):
    script = in_process(order=order)
    path = str(script.folder / "model")
    script.report(1, 1.0)
    assert script.keeper.is_saving()  # it may be about to begin
    script.do(f"file = open({path!r}, 'w'); file.write('half'); file.flush()")
    assert script.keeper.is_saving()
    script.do("file.close()")
    wait_for(lambda: not script.keeper.is_saving())
    assert script.end().is_whole


def test_a_drain_waits_for_a_save_that_no_event_has_told_of(in_process, monkeypatch, wait_for):
    script = in_process(order="early")
    path = str(script.folder / "model")
    script.report(1, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(script.keeper._observer, "look", lambda: None)
        script.do(f"file = open({path!r}, 'w'); file.write('half'); file.flush()")
        assert not script.keeper.drain(may_wait=True)
        assert script.keeper.drain(may_wait=False)
        script.do("file.close()")
        assert script.keeper.drain(may_wait=True)
    assert script.end().is_whole


def test_a_drain_waits_if_a_save_began_and_ended_while_it_looked(in_process, monkeypatch):
    """Else the process might die of SIGTERM before anybody saw that it was alive when it had saved."""
    script = in_process(order="early")
    path = str(script.folder / "model")
    script.do(f"file = open({path!r}, 'w'); file.write('1'); file.close()")
    script.report(1, 1.0)
    look = script.keeper._observer.open_files

    def saved_meanwhile():
        script.do(f"file = open({path!r}, 'r+'); file.write('22'); file.close()")
        return look()

    with monkeypatch.context() as patch:
        patch.setattr(script.keeper._observer, "look", lambda: None)
        patch.setattr(script.keeper._observer, "open_files", saved_meanwhile)
        assert not script.keeper.drain(may_wait=True)
        patch.setattr(script.keeper._observer, "open_files", look)
        assert script.keeper.drain(may_wait=True)
        script.script.kill()
        script.script.wait()
    assert script.end().is_whole


def test_a_drain_does_not_wait_for_a_script_that_has_saved_before_its_report(in_process, wait_for):
    script = in_process(order="early")
    script.do(f"open({str(script.folder / 'model')!r}, 'w').close()")
    script.report(1, 1.0)
    wait_for(lambda: not script.keeper.is_saving())
    assert Order(script.end().order) is Order.EARLY


def set_aside(script, name):
    script.do(f"os.replace({str(script.folder / name)!r}, {str(script.folder / name)!r} + '.old')")


SAVES = {
    "settings once": [("settings", "model"), ("model",)],
    "settings once, then files": [("settings", "words", "model", "state"), ("model", "state")],
    "a backup": [("model",), ("-model", "model")],
    "a backup of the last file": [("model", "index"), ("model", "-index", "index"), ("model", "-index", "index")],
}


@pytest.mark.parametrize("saves", SAVES.values(), ids=SAVES)
def test_a_script_that_has_reported_after_a_whole_save_is_not_waited_for(in_process, monkeypatch, wait_for, saves):
    monkeypatch.setattr(keeper_module, "_ASIDE_S", 600.0)
    script = in_process(order="early")
    for epoch, names in enumerate(saves, start=1):
        for name in names:
            save(script, name) if name[0] != "-" else set_aside(script, name[1:])
        script.keeper.is_saving()  # looks, before the report
        script.report(epoch, 1 / epoch)
        wait_for(lambda: not script.keeper.is_saving())
    script.script.terminate()
    script.script.wait()
    assert script.end().is_whole


def test_a_folder_that_was_made_for_the_next_checkpoint_at_sigterm_is_no_part_of_this_one(in_process):
    script = in_process(order="early")
    for step in (1, 2):
        (script.folder / f"step-{step}").mkdir()
        save(script, f"step-{step}/model")
        script.report(step, 1 / step)
        script.keeper.is_saving()
    (script.folder / "step-3").mkdir()
    script.keeper.drain()
    script.script.terminate()
    script.script.wait()
    assert not script.end().is_whole
    store = GenerationStore(script.folder)
    assert all("step-3" not in generation.live for generation in store.generations())


def test_the_ending_is_told_before_the_kernel_ends_the_watch(launches):
    keeper = GenerationKeeper(dataclasses.replace(launches.spec, launch=0), lambda _: None)
    keeper.prepare()
    keeper.start([])
    assert keeper.finish([0]).error == ""
    (watch,) = keeper.private_fds
    os.fstat(watch)
    keeper.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(watch)


@pytest.mark.parametrize("is_writing", [False, True])
def test_what_is_there_at_sigterm_is_whole_if_nobody_writes_however_late_it_is_looked_at(launches, is_writing):
    body = "folder.mkdir()\nfile = open(folder / 'model', 'w')\nfile.write(sealed(1))\nfile.flush()\n"
    body += "" if is_writing else "file.close()\n"
    (launches.root / "train.py").write_text(HEAD + body + "print('ready', flush=True)\ntime.sleep(1000)")
    keeper = GenerationKeeper(dataclasses.replace(launches.spec, launch=0), lambda _: None)
    keeper.prepare()
    with keeper._lock, open(launches.log, "w") as log:  # its thread does not get to look
        process = subprocess.Popen(
            [sys.executable, launches.root / "train.py"],
            env={**os.environ, "FOLDER": str(launches.folder), "RANK": "0"}, stdout=log,
        )  # fmt: skip
        keeper.start([process.pid])
        launches.wait_for(lambda: "ready" in launches.log.read_text())
        keeper.drain()
        process.terminate()
        process.wait()
    ending = keeper.finish([process.returncode])
    keeper.close()
    assert (process.returncode, ending.is_whole) == (-15, not is_writing)


@pytest.mark.parametrize("later_s", [10, -10])
def test_what_is_written_after_sigterm_has_killed_one_rank_is_whole_if_the_others_have_left(launches, later_s):
    """Nobody has looked while the writer was alive, as on a busy machine."""
    keeper = GenerationKeeper(dataclasses.replace(launches.spec, launch=0), lambda _: None)
    keeper.prepare()
    save = "import os, pathlib, sys, time; sys.stdin.read(); path = pathlib.Path(sys.argv[1]); path.write_text('1'); "
    save += f"os.utime(path, (time.time() + {later_s},) * 2); sys.exit(75)"
    with keeper._lock:  # its thread does not get to look
        launches.folder.mkdir()
        argv = [sys.executable, "-c", save, str(launches.folder / "model")]
        ranks = [subprocess.Popen(argv, stdin=subprocess.PIPE) for _ in range(2)]
        keeper.start([rank.pid for rank in ranks])
        keeper.drain()
        ranks[1].terminate()
        ranks[1].wait()
        keeper.strike()
        ranks[0].communicate(b"")
        ranks[1].stdin.close()
    exit_codes = [rank.returncode for rank in ranks]
    ending = keeper.finish(exit_codes)
    keeper.close()
    assert (exit_codes, ending.is_whole) == ([75, -15], later_s > 0)
