from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from syne_hypersched.launch._trial_import import (
    ThreadsHere,
    asked_variables,
    import_all,
    import_or_say_why_not,
    uses_gpu,
)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written = []

    def write(name: str, text: str = "") -> str:
        (tmp_path / f"{name}.py").write_text(text)
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


def test_a_harmless_module_is_imported(module):
    assert import_or_say_why_not(module("harmless_module", "x = 1"), ()) == ""
    assert sys.modules["harmless_module"].x == 1


def test_a_module_whose_import_fails(module):
    why = import_or_say_why_not(module("failing_module", "raise SystemExit(3)"), ())
    assert why == "its import fails (SystemExit: 3)"


def test_a_module_that_starts_threads(module):
    text = "\n".join(
        [
            "import threading",
            "end = threading.Event()",
            "for number in range(3):",  # one of an earlier test may end meanwhile
            "    threading.Thread(target=end.wait, name=f'its-own-{number}', daemon=True).start()",
        ]
    )
    why = import_or_say_why_not(module("threading_module", text), ())
    sys.modules["threading_module"].end.set()
    assert why.startswith("it starts ")
    assert "its-own-0, its-own-1, its-own-2" in why


def test_a_module_that_handles_signals(module):
    before = signal.getsignal(signal.SIGUSR1)
    text = "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: None)"
    try:
        assert import_or_say_why_not(module("signal_module", text), ()) == "it handles signals when it is imported"
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("name", "named", "why"),
    [
        ("reading_module", {"MY_A", "MY_B", "PATH"}, "it reads MY_A, MY_B when it is imported, which the script"),
        ("reading_module", {"MY_OTHER"}, ""),
        ("lightning_fabric", {"MY_A", "RANK"}, "it reads MY_A when it is imported, which the script"),
        ("lightning_fabric", {"RANK"}, ""),
    ],
)
def test_a_module_that_reads_what_the_script_sets(module, monkeypatch, name, named, why):
    for variable in ("MY_A", "MY_B", "RANK"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delitem(sys.modules, name, raising=False)
    text = "import os\nos.environ.get('MY_B'), os.environ.get('MY_A'), os.environ['PATH'], os.environ.get('RANK')"
    assert import_or_say_why_not(module(name, text), named)[: len(why) or None] == why


def test_a_module_that_reads_what_the_script_changes(module, monkeypatch):
    monkeypatch.setenv("MY_SET", "of the user")
    monkeypatch.setenv("HOME", "/home")
    why = import_or_say_why_not(module("set_module", "import os\nos.environ['MY_SET'], os.environ['HOME']"), {"MY_SET"})
    assert why == "it reads MY_SET when it is imported, which the script or a launch sets"
    assert import_or_say_why_not(module("home_module", "import os\nos.environ['HOME']"), {"HOME", "MY_SET"}) == ""
    assert import_or_say_why_not(module("copying_module", "import os\nos.environ.copy()"), {"MY_SET"}) == ""


def test_variables_that_are_asked_for_are_noted():
    with asked_variables() as asked:
        assert os.environ["PATH"]
        with pytest.raises(KeyError):
            os.environ["MY_MISSING"]
        assert "MY_LOOKED_FOR" not in os.environ
        copied = os.environ.copy()
    assert copied == dict(os.environ)
    assert asked == {"PATH", "MY_MISSING", "MY_LOOKED_FOR"}
    os.environ.get("MY_LATER")
    assert "MY_LATER" not in asked
    with asked_variables() as others:
        pass
    assert others == set(), "each time anew"


def test_modules_are_imported_up_to_the_first_that_must_not_be():
    imported = []

    def import_(name, named):
        imported.append((name, named))
        return "it may not" if name == "b" else ""

    assert import_all(["a", "b", "c"], ["X"], import_) == ("b", "it may not")
    assert imported == [("a", ["X"]), ("b", ["X"])]
    assert import_all(["a"], [], import_) is None


def test_a_gpu_that_is_open(tmp_path, monkeypatch):
    assert not uses_gpu()
    monkeypatch.setattr(os, "readlink", lambda path: "/dev/nvidia0")
    assert uses_gpu()


def test_the_threads_of_this_process():
    before = ThreadsHere.look()
    end = threading.Event()
    threads = [threading.Thread(target=end.wait, name=f"one-more-{number}") for number in range(3)]
    for thread in threads:
        thread.start()
    now = ThreadsHere.look()
    end.set()
    for thread in threads:
        thread.join()
    assert set(now.of_python) - set(before.of_python) == {"one-more-0", "one-more-1", "one-more-2"}
    assert now.total >= 4
    assert now.why_not(before).startswith("it starts ")


def test_which_threads_are_harmless():
    before = ThreadsHere((), 1, frozenset({"libgomp.so"}))
    assert ThreadsHere((), 1, frozenset()).why_not(before) == ""
    assert ThreadsHere((), 4, frozenset({"libgomp.so", "libopenblas.so"})).why_not(before) == ""
    assert "starts 2 thread(s) when it is imported" in ThreadsHere((), 3, before.pools).why_not(before)
    of_python = ThreadsHere(("mine",), 4, frozenset({"libopenblas.so"}))
    assert of_python.why_not(before) == "it starts 1 thread(s) when it is imported (mine)"
