"""Programs as forks are like programs of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forked import ForkedPython

PROGRAM = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ["COLOUR"], __name__, sys.path[0], sys.stdin.read()]))
print("trouble", file=sys.stderr)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


@pytest.mark.parametrize("kind", ["file", "-m", "-c"])
def test_it_sees_what_an_interpreter_of_its_own_would_see(forked: ForkedPython, folder: Path, kind: str) -> None:
    what = {"file": [folder / "program.py"], "-m": ["program"], "-c": [PROGRAM]}[kind]
    arguments = [*([] if kind == "file" else [kind]), *map(str, what), "a", "b c"]
    where = {"cwd": folder if kind == "-m" else folder / "elsewhere", "env": os.environ | {"COLOUR": "blue"}}
    done = forked.run(arguments, **where)
    own = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **where
    )
    assert (done.returncode, done.stdout, done.stderr) == (own.returncode, own.stdout, own.stderr)
    assert json.loads(done.stdout)[0] == ["a", "b c"]


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import sys; sys.exit('no')", 1, "no"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
    ],
)
def test_how_it_ends(forked: ForkedPython, tmp_path: Path, code: str, exit_code: int, words: str) -> None:
    done = forked.run(["-c", code], cwd=tmp_path)
    assert done.returncode == exit_code
    assert words in done.stderr


@pytest.mark.parametrize("kind", ["file", "-c"])
def test_what_is_left_open_is_ended_in_order(forked: ForkedPython, tmp_path: Path, kind: str) -> None:
    code = """
import atexit, sys, threading, time
class Noisy:
    def __del__(self):
        print("deleted")
file, noisy, itself = open("left.txt", "w"), Noisy(), lambda: file
file.write("text")
atexit.register(print, "at exit", end=" ")
threading.Thread(target=lambda: (threading.main_thread().join(), print("thread", end=" "))).start()
sys.exit(5)
"""
    (tmp_path / "program.py").write_text(code)
    done = forked.run([tmp_path / "program.py"] if kind == "file" else ["-c", code], cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (5, "thread at exit deleted\n", "")
    assert (tmp_path / "left.txt").read_text() == "text"


def test_one_that_takes_too_long_is_killed_and_the_next_one_runs(forked: ForkedPython, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        forked.run(["-c", "import time; time.sleep(1000)"], cwd=tmp_path, timeout_s=0.01)
    assert forked.run(["-c", "print('next')"], cwd=tmp_path).stdout == "next\n"


def test_what_one_sets_the_next_one_does_not_see(forked: ForkedPython, tmp_path: Path) -> None:
    forked.run(["-c", "import os, pandas; pandas.mine = 1; os.environ['MINE'] = '1'"], cwd=tmp_path)
    done = forked.run(["-c", "import os, pandas; print(hasattr(pandas, 'mine'), 'MINE' in os.environ)"], cwd=tmp_path)
    assert done.stdout == "False False\n"


def test_modules_that_are_imported_already_can_be_chosen(tmp_path: Path) -> None:
    python = ForkedPython(["wave"])
    done = python.run(
        ["-c", "import os, sys; print('wave' in sys.modules, 'pandas' in sys.modules)"], tmp_path, timeout_s=None
    )
    python.close()
    assert done.stdout == "True False\n"


def test_one_is_started_watched_and_killed(
    forked: ForkedPython, tmp_path: Path, wait_for: Callable[[Callable[[], object]], None]
) -> None:
    code = "import os, time; print(os.getpid(), os.getsid(0), flush=True); time.sleep(1000)"
    with open(tmp_path / "out", "wb") as out:
        program = forked.start(["-c", code], stdout=out, stderr=out, new_session=True)
    wait_for(lambda: (tmp_path / "out").read_text().endswith("\n"))
    assert (tmp_path / "out").read_text().split() == [str(program.pid)] * 2
    assert program.poll() is None
    # Others run meanwhile.
    other = forked.run(["-c", "import tempfile; print(tempfile.gettempdir())"], tmp_path, {"TMPDIR": str(tmp_path)})
    assert other.stdout == f"{tmp_path}\n"
    program.kill()
    assert (program.wait(), program.poll()) == (-signal.SIGKILL, -signal.SIGKILL)
    program.kill()  # which is no error
    with pytest.raises(ProcessLookupError):
        os.kill(program.pid, 0)
