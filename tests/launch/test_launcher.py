"""Launching real processes: what a script finds, and what its end is reported as."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.launch.modes import WARM_AND_COLD

pytestmark = pytest.mark.usefixtures("no_process_left")


@WARM_AND_COLD
def test_arguments_arrive_as_they_are(shared_launches, warm):
    script = shared_launches.script("import json, sys; print(json.dumps(sys.argv[1:]))")
    arguments = [
        "two words",
        "'quo\"tes'",
        "ünïcødé ☃",
        "line\nbreak",
        "--x",
        "-1",
        "",
        "$(touch shell)",
        "*",
        "back\\slash",
    ]
    assert shared_launches.run([script, *arguments], warm=warm).exit_code == 0
    assert json.loads(shared_launches.lines("out0")[0]) == arguments
    assert not (shared_launches.folder / "shell").exists()


@WARM_AND_COLD
def test_a_script_finds_what_it_would_find_on_the_command_line(shared_launches, warm):
    (shared_launches.folder / "beside.py").write_text("VALUE = 42")
    script = shared_launches.script(
        """
        import json, os, sys
        import beside
        if __name__ == "__main__":
            values = [beside.VALUE, os.getcwd(), os.environ["MINE"], "PATH" in os.environ, sys.argv[0], __file__]
            values += [sorted(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS"), sys.stdin.read()]
            print(json.dumps(values))
        """
    )
    core = sorted(os.sched_getaffinity(0))[0]
    shared_launches.run([script], warm=warm, env={"MINE": "a b", "OMP_NUM_THREADS": "1"}, cores=(core,))
    assert json.loads(shared_launches.lines("out0")[0]) == [
        42, str(shared_launches.folder), "a b", True, script, script, [core], "1", ""
    ]  # fmt: skip


@WARM_AND_COLD
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pass", 0),
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('a reason')", 1),
        ("raise RuntimeError('broken')", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("def f(:", 1),
        ("import atexit; atexit.register(print, 'at exit', flush=True)", 0),
    ],
)
def test_exit_codes(shared_launches, text, code, warm):
    exit_ = shared_launches.run([shared_launches.script(text)], warm=warm)
    assert (exit_.exit_code, exit_.drained, exit_.killed, exit_.lost) == (code, False, False, False)
    assert exit_.first_failed == (None if code == 0 else 0)
    if "reason" in text:
        assert "a reason" in shared_launches.lines("err0")
    if "broken" in text:
        assert shared_launches.lines("err0")[-1] == "RuntimeError: broken"
    if "at exit" in text:
        assert shared_launches.lines("out0") == ["at exit"]


def test_a_traceback_shows_the_users_frames_only(shared_launches):
    shared_launches.run([shared_launches.script("def f():\n    1 / 0\nf()")])
    trace = "\n".join(shared_launches.lines("err0"))
    assert "ZeroDivisionError" in trace
    assert "in f" in trace
    assert "syne_hypersched" not in trace
    assert "runpy" not in trace


@WARM_AND_COLD
def test_what_cannot_be_started_says_why(shared_launches, warm):
    exit_ = shared_launches.run([str(shared_launches.folder / "nothing-here")], warm=warm)
    assert exit_.exit_code == (2 if warm else 127)
    assert "nothing-here" in "\n".join(shared_launches.lines("err0"))


def test_any_program_can_be_run(shared_launches):
    script = shared_launches.script('#!/bin/sh\nprintf "%s|" "$@"', "train.sh")
    os.chmod(script, 0o755)
    assert shared_launches.run([script, "a b", "c"], warm=False).exit_code == 0
    assert shared_launches.lines("out0") == ["a b|c|"]


def test_a_program_ignores_no_signals_that_python_ignores(shared_launches):
    assert shared_launches.run(["/bin/sh", "-c", "grep SigIgn /proc/self/status"], warm=False).exit_code == 0
    ignored = int(shared_launches.lines("out0")[0].split()[1], 16)
    assert not [signum for signum in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (signum - 1) & 1]


def test_two_forks_draw_different_numbers(make_launches):
    launches = make_launches(preload=["numpy"])
    script = launches.script("import numpy, random; print(numpy.random.rand(), random.random())")
    for _ in range(2):
        launches.run([script])
    first, second = launches.lines("out0")
    assert set(first.split()).isdisjoint(second.split())


def test_a_script_may_use_multiprocessing(shared_launches):
    script = shared_launches.script(
        """
        import multiprocessing, sys

        def square(x):
            return x * x

        if __name__ == "__main__":
            with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
                print(pool.map(square, [1, 2, 3]))
        """
    )
    for method in ("fork", "spawn"):
        assert shared_launches.run([script, method]).exit_code == 0, shared_launches.lines("err0")
    assert shared_launches.lines("out0") == ["[1, 4, 9]"] * 2


def test_a_package_that_fails_leaves_no_half_of_it_to_the_trials(make_launches, monkeypatch, caplog):
    launches = make_launches(preload=["half", "wave"])
    package = launches.folder / "half"
    package.mkdir()
    (package / "part.py").write_text("VALUE = 3")
    (package / "__init__.py").write_text("import os\nfrom half.part import VALUE\nos.environ['IS_READY']")
    monkeypatch.setenv("PYTHONPATH", str(launches.folder))
    script = launches.script(
        "import os, sys\nos.environ['IS_READY'] = 'yes'\nimport half\nprint(half.part.VALUE, 'wave' in sys.modules)"
    )
    assert launches.run([script]).exit_code == 0
    assert launches.lines("out0") == ["3 True"]
    assert caplog.text.count("half cannot be preloaded") == 1


def test_modules_are_preloaded(make_launches, caplog):
    launches = make_launches(preload=["wave", "no_such_module"])
    launches.run([launches.script("import sys; print('wave' in sys.modules)")])
    assert launches.lines("out0") == ["True"]
    assert "no_such_module cannot be preloaded" in caplog.text


def test_a_drain_does_not_wait_for_an_import(make_launches, monkeypatch, caplog):
    launches = make_launches(preload=["slow"])
    monkeypatch.setenv("PYTHONPATH", str(launches.folder))
    begun, module = launches.folder / "begun", launches.folder / "slow.py"
    module.write_text(f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(1e6)")
    numbers = [launches.launcher.launch(launches.spec([launches.script("print('ran')")])) for _ in range(2)]
    launches.wait_for(begun.exists)
    launches.launcher.drain(numbers[0], 0.5)
    launches.launcher.drain(numbers[1], 0.5)
    for number in numbers:
        exit_ = launches.exit(number)
        assert (exit_.drained, exit_.lost, exit_.error) == (True, False, "")
    assert not launches.launched
    assert not caplog.records
    module.write_text("")  # the next server preloads it again
    assert launches.run([launches.script("import sys; print('slow' in sys.modules)")]).exit_code == 0
    assert launches.lines("out0") == ["True"]
