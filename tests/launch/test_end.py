"""The end of a warm launch skips objects that the server has loaded, and nothing of the script."""

from __future__ import annotations

import pytest

from tests.thoroughness import repetitions

pytestmark = pytest.mark.usefixtures("no_process_left")

PRELOADED = """
import atexit, sys, tempfile

class Loud:
    def __del__(self):
        print("destroyed", file=sys.__stdout__)

loud = Loud()
folder = tempfile.TemporaryDirectory()
"""


@pytest.fixture
def preloading(make_launches, monkeypatch):
    launches = make_launches(preload=["preloaded"])
    monkeypatch.setenv("PYTHONPATH", str(launches.folder))
    (launches.folder / "preloaded.py").write_text(PRELOADED)
    return launches


def test_what_the_server_has_loaded_stays(preloading):
    script = preloading.script("import os, preloaded; print(os.path.isdir(preloaded.folder.name))")
    for _ in range(2):
        assert preloading.run([script]).exit_code == 0
    assert preloading.lines("out0") == ["True", "True"]  # neither destroyed by the first launch nor with it


def test_files_that_preloaded_modules_refer_to_are_written(preloading):
    script = preloading.script(
        """
        import preloaded
        preloaded.kept = [open("text", "w"), open("binary", "wb")]
        preloaded.kept[0].write("whole"), preloaded.kept[1].write(b"whole")
        """
    )
    assert preloading.run([script]).exit_code == 0
    assert [preloading.lines(name) for name in ("text", "binary")] == [["whole"], ["whole"]]


def test_a_native_thread_that_waits_for_the_interpreter_has_its_turn(preloading):
    script = preloading.script(
        """
        import ctypes, os, sys
        from syne_hypersched.launch._native_threads import _has_state_of_native_thread
        c = ctypes.PyDLL(None)  # does not give the interpreter to others
        called = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: os.write(1, b"called"))
        sys.setswitchinterval(100.0)
        c.pthread_create(ctypes.byref(ctypes.c_ulong()), None, called, None)
        while not _has_state_of_native_thread():
            c.usleep(1000)
        """
    )
    assert preloading.run([script]).exit_code == 0
    assert preloading.lines("out0") == ["called"]


@pytest.mark.parametrize("code", [*(pytest.param(code, marks=pytest.mark.slow) for code in (0, 1, 7)), 75, 255])
def test_the_code_is_that_of_the_script(preloading, code):
    assert preloading.run([preloading.script(f"import sys; sys.exit({code})")]).exit_code == code


def test_no_handler_of_a_signal_runs_where_modules_are_missing(preloading):
    """One that saves would make half a checkpoint, and the process would still end with 0."""
    script = preloading.script(
        """
        import os, signal, sys, types, preloaded
        def save(*_):
            print("saved with", "preloaded" in sys.modules, file=sys.__stdout__, flush=True)
        signal.signal(signal.SIGTERM, save)
        os.kill(os.getpid(), signal.SIGTERM)
        make = types.ModuleType
        def make_late(name):  # called when the modules are gone
            os.kill(os.getpid(), signal.SIGTERM)
            return make(name)
        types.ModuleType = make_late
        """
    )
    assert preloading.run([script]).exit_code == -15
    assert preloading.lines("out0") == ["saved with True"]


def test_no_callback_of_the_collector_runs_where_names_are_missing(preloading):
    """JAX has one, for instance. The interpreter does not call it either after it has begun to destroy modules."""
    (preloading.folder / "library.py").write_text("""
import gc
class Client:
    def collect(self): pass
client = Client()
def collect(*_): client.collect()
gc.callbacks.append(collect)
""")
    script = preloading.script("import library, preloaded")
    assert preloading.run([script]).exit_code == 0
    assert preloading.lines("err0") == []


def test_threads_that_go_on_are_no_obstacle(preloading):
    script = preloading.script(
        """
        import threading
        def work():
            while True:
                import json
                sorted(range(100))
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        print("end")
        """
    )
    number = repetitions(5, 2)
    for _ in range(number):
        assert preloading.run([script]).exit_code == 0
    assert preloading.lines("out0") == ["end"] * number
    assert preloading.lines("err0") == []


def test_libraries_that_the_script_loads_are_ended(preloading):
    """Functions registered with C's exit after the fork are called, and the buffers of C are written."""
    script = preloading.script(
        """
        import ctypes
        c = ctypes.CDLL(None)
        c.__cxa_atexit(c.puts, b"registered", None)
        c.printf(b"buffered\\n")
        """
    )
    assert preloading.run([script]).exit_code == 0
    assert preloading.lines("out0") == ["buffered", "registered"]


DESTROYED = """
class Loud:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        print("destroyed", self.name)

loud = Loud("object")
ring = Loud("ring")
ring.me = ring

def function(value=Loud("default")):
    return loud
"""

HELPER = """
import copyreg

class Loud:
    def __del__(self):
        print("destroyed helper")

loud = Loud()
copyreg.kept = lambda: loud
"""

#: What keeps the namespace of a script alive, after it was imported by the script alone.
KEEPERS = {
    "dill": "import dill",
    "syne_tune": "import syne_tune",
    "two names": "import copyreg, sys\nsys.modules['again'] = copyreg.kept = sys.modules['__main__']",
    "another name": "import copyreg, sys\n__name__ = 'again'\ncopyreg.kept = sys.modules['__main__']",
    "a helper": "import helper",
}


def test_what_spawned_processes_return_has_classes_of_the_script(make_launches):
    launches = make_launches(preload=["multiprocessing"])  # which has the server's module under a second name, too
    script = launches.script(
        """
        import multiprocessing, sys
        from concurrent.futures import ProcessPoolExecutor

        class Result:
            value = 7

            def __del__(self):
                print("destroyed")

        if __name__ == "__main__":
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
                result = executor.submit(Result).result()
            print(result.value, sys.modules["__mp_main__"] is sys.modules["__main__"])
        """
    )
    assert launches.run([script]).exit_code == 0
    lines = launches.lines("out0")
    assert "7 True" in lines
    assert lines[-1] == "destroyed"


@pytest.mark.parametrize("preload", [pytest.param((), marks=pytest.mark.slow), ("preloaded",)])
def test_objects_of_a_script_are_destroyed_whatever_it_has_imported(make_launches, monkeypatch, preload):
    launches = make_launches(preload=preload)
    monkeypatch.setenv("PYTHONPATH", str(launches.folder))
    launches.script(PRELOADED, "preloaded.py")
    launches.script(HELPER, "helper.py")
    for name, keeper in KEEPERS.items():
        script = launches.script(f"{keeper}\n{DESTROYED}")
        assert launches.run([script]).exit_code == 0
        expected = [
            "destroyed default",
            *["destroyed helper"] * (name == "a helper"),
            "destroyed object",
            "destroyed ring",
        ]
        assert (name, sorted(launches.lines("out0"))) == (name, expected)
        (launches.folder / "out0").unlink()
