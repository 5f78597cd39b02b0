"""A warm launch does what ``python SCRIPT`` does: each script runs both ways, and both have to say the same."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.usefixtures("no_process_left")

SCRIPTS = {
    "threads and exit functions find the module": """
        import atexit, sys, threading, time
        x = 5
        def late(who):
            time.sleep(0.1)
            print(who, x, __name__, sys.modules["__main__"].x)
        atexit.register(late, "exit function")
        threading.Thread(target=late, args=["thread"]).start()
        """,
    "executors": """
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        import time
        def square(n):
            return n * n
        if __name__ == "__main__":
            with ProcessPoolExecutor(2) as executor:
                print(list(executor.map(square, range(4))))
            ThreadPoolExecutor(1).submit(lambda: (time.sleep(0.1), print("late")))
        """,
    "pickling": """
        import pickle
        class Model:
            pass
        print(type(pickle.loads(pickle.dumps(Model()))))
        """,
    "names of a module": """
        import inspect, os, sys
        print(__name__, __file__, __doc__, __package__, __spec__, __annotations__ if False else "", sys.argv)
        print(sys.path[0] == os.path.dirname(os.path.realpath(__file__)), sys.stdout.encoding)
        print(inspect.getsource(inspect.currentframe()).count("inspect"))
        """,
    "an exception hook": """
        import sys
        sys.excepthook = lambda kind, error, frames: print("hooked", kind.__name__, error, frames.tb_lineno)
        raise KeyError("x")
        """,
    "a chain of exceptions": """
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise ValueError("bad") from error
        """,
    "an exit function that fails": """
        import atexit
        atexit.register(lambda: 1 / 0)
        """,
    "wrong arguments": """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--lr", required=True)
        parser.parse_args()
        """,
    "no input": "input()",
    "bad syntax": "def f(:",
    "an exit code beyond a byte": "import sys; sys.exit(-3)",
}


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
def test_warm_is_as_cold(launches, text):
    script = launches.script(text)
    said = []
    for warm in (True, False):
        exit_ = launches.run([script], warm=warm)
        errors = [re.sub("0x[0-9a-f]+", "(address)", line) for line in launches.lines("err0")]
        said.append((exit_.exit_code, launches.lines("out0"), errors))
        for name in ("out0", "err0"):
            (launches.folder / name).unlink()
    warm_says, cold_says = said
    assert warm_says == cold_says
    assert cold_says != (0, [], [])


@pytest.mark.parametrize(
    ("text", "last_line"),
    [
        ("import sys; sys.excepthook = lambda *_: 1 / 0; raise KeyError('x')", "KeyError: 'x'"),
        ("import sys; sys.stderr = None; sys.exit('unheard')", None),
        ("class Silent:\n    def __str__(self):\n        1 / 0\nraise SystemExit(Silent())", None),
    ],
)
def test_a_script_that_breaks_its_own_end_still_ends(launches, text, last_line):
    assert launches.run([launches.script(text)]).exit_code == 1
    if last_line is not None:
        assert launches.lines("err0")[-1] == last_line
