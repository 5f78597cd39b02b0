"""Who is writing to files below a folder, asked of real processes."""

from __future__ import annotations

import os
import signal

import pytest

from syne_hypersched.checkpoints._writers import is_alive, open_for_writing

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "checkpoints"
    (folder / "step-1").mkdir(parents=True)
    for path in ("model", "step-1/shard"):
        (folder / path).write_text("old")
    return os.path.realpath(folder)


def writing(child, folder):
    return {os.path.relpath(path, folder) for path in open_for_writing([child.pid], folder)}


@pytest.mark.parametrize("mode", ["w", "a", "r+", "r+b"])
def test_a_file_is_open_from_its_opening_to_its_closing(child, folder, mode):
    assert writing(child, folder) == set()
    child.do(f"file = open({folder + '/model'!r}, {mode!r})")
    child.do(f"shard = open({folder + '/step-1/shard'!r}, {mode!r})")
    assert writing(child, folder) == {"model", "step-1/shard"}
    child.do("file.close()")
    assert writing(child, folder) == {"step-1/shard"}
    child.do("shard.close()")
    assert writing(child, folder) == set()


def test_who_only_reads_does_not_write(child, folder):
    child.do(f"file = open({folder + '/model'!r}, 'rb'); fd = os.open({folder!r}, os.O_RDONLY)")
    assert writing(child, folder) == set()


def test_a_pipe_is_no_file(child, folder):
    os.mkfifo(f"{folder}/pipe")
    child.do(f"pipe = open({folder + '/pipe'!r}, 'r+b', buffering=0)")
    assert writing(child, folder) == set()


def test_only_files_below_the_folder_count(child, folder):
    os.mkdir(f"{folder}-before")
    child.do(f"file = open({folder + '-before/model'!r}, 'w')")
    assert writing(child, folder) == set()
    assert writing(child, f"{folder}-before") == {"model"}
    assert writing(child, f"{folder}-before/") == {"model"}


def test_files_of_other_processes_are_not_found(child, folder):
    with open(f"{folder}/model", "w"):
        assert writing(child, folder) == set()
        assert open_for_writing([os.getpid()], folder) == {f"{folder}/model"}


def test_a_process_that_a_thread_of_it_has_started_writes_for_it(child, folder):
    text = f"import sys; file = open({folder + '/model'!r}, 'w'); print(flush=True); sys.stdin.read()"
    child.do(
        f"start = lambda: globals().update(p=subprocess.Popen([sys.executable, '-c', {text!r}], stdin=-1, stdout=-1));"
        "thread = threading.Thread(target=start); thread.start(); thread.join(); p.stdout.readline()"
    )
    assert writing(child, folder) == {"model"}
    child.do("p.communicate()")
    assert writing(child, folder) == set()


def test_a_process_that_has_ended_writes_nothing(child, folder, wait_for):
    child.do(f"file = open({folder + '/model'!r}, 'w')")
    assert is_alive(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(child.pid))  # it is a zombie, since nobody has waited for it
    assert os.path.exists(f"/proc/{child.pid}")
    wait_for(lambda: not writing(child, folder))
    child.process.wait()
    assert not is_alive(child.pid)
    assert writing(child, folder) == set()


def test_a_stopped_process_lives(child):
    os.kill(child.pid, signal.SIGSTOP)
    assert is_alive(child.pid)


def test_a_name_with_brackets_is_no_riddle(child):
    child.do("file = open('/proc/self/comm', 'w'); file.write('a) Z 1 (b'); file.close()")
    assert is_alive(child.pid)
