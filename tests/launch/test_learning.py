"""What is learnt from a launch about slow imports, and what later launches have of it."""

from __future__ import annotations

import os

import pytest

from syne_hypersched.launch import Launcher
from syne_hypersched.launch._learning import ImportRecord, SlowImport, library_folders, modules_to_learn

LIBRARIES = ("/site",)


def slow(name, *inner, seconds=1.0, file=None):
    return SlowImport(name, seconds, file or f"/site/{name.replace('.', '/')}.py", inner)


def own(name, *inner):
    return slow(name, *inner, file=f"/home/me/{name}.py")


@pytest.mark.parametrize(
    ("imports", "modules"),
    [
        ([slow("transformers"), slow("json")], ("transformers", "json")),
        ([slow("quick", seconds=0.01)], ()),
        ([slow("small", seconds=0.04)], ()),
        ([slow("small", seconds=0.04), slow("another", seconds=0.03)], ("small", "another")),
        ([own("model", slow("lightning"), slow("quick", seconds=0.01))], ("lightning",)),
        ([own("model", own("layers", slow("peft")))], ("peft",)),
        ([slow("lightgbm", slow("pandas", slow("pandas.core")), slow("scipy"))], ("pandas", "scipy", "lightgbm")),
        ([slow("torch"), slow("there")], ("torch",)),
        ([slow("bad", slow("good"), slow("pandas"))], ("good", "pandas")),
        ([slow("bad.part", slow("good"))], ("good",)),
        ([SlowImport("fails", 1.0, None, (slow("good"),))], ("good",)),
        ([slow("twice"), slow("twice")], ("twice",)),
    ],
)
def test_what_is_worth_preloading(imports, modules):
    chosen = modules_to_learn(imports, {"there"}, LIBRARIES, left_out={"bad"})
    assert sorted(chosen) == sorted(modules)
    known = [name for name in chosen if name in ("pandas", "scipy")]
    assert tuple(known) == chosen[: len(known)] or "good" in chosen


def test_only_one_process_writes_a_record():
    record = ImportRecord()
    assert record.read() == ()
    assert record.claim(7)
    assert not record.claim(8)
    record.write([["a", 1.5, None, [["b", 1.0, "/b.py", []]]]])
    assert record.read() == (SlowImport("a", 1.5, None, (SlowImport("b", 1.0, "/b.py"),)),)
    record.write([["x" * (1 << 20), 1.0, None, []]])  # too long: what was known stays
    assert record.read()[0].name == "a"
    record.set_busy(True)
    assert record.is_busy
    record.clear()
    assert (record.read(), record.is_busy, record.claim(8)) == ((), False, True)


def test_installed_packages_are_found():
    folders = library_folders()
    assert any(os.path.realpath(pytest.__file__).startswith(folder) for folder in folders)
    assert not any(os.path.realpath(__file__).startswith(folder) for folder in folders)


# It is slow to import.
SLOW_MODULE = "import time\nbegan = time.thread_time()\nwhile time.thread_time() < began + 0.1:\n    pass\n"
SCRIPT = """
import sys
before = sorted(name for name in sys.modules if name.startswith("some_"))
import helper
import threading, warnings
print(before, threading.active_count(), len([f for f in warnings.filters if f[2] is FutureWarning]))
"""


@pytest.fixture
def learning(tmp_path, wait_for, monkeypatch, make_launches):
    """A launcher that learns, whose scripts import slow installed libraries through a module beside them."""
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(libraries))

    def make(text, named=(), **modules):
        for name, source in modules.items():
            (libraries / f"{name}.py").write_text(SLOW_MODULE + source)
        launches = make_launches()
        (tmp_path / "helper.py").write_text(text)
        launches.launcher.close()
        launches.launcher = Launcher(
            launches.on_launched, launches.on_exit, log_path=tmp_path / "server.log", named=named
        )
        return launches

    return make


def run_until(launches, wait_for, caplog, text):
    """Launches the script once, and waits until the log has a text."""
    script = launches.script(SCRIPT)
    assert launches.run([script]).exit_code == 0, launches.lines("err0")
    wait_for(lambda: text in caplog.text)
    return script


@pytest.mark.usefixtures("no_process_left")
def test_later_launches_have_what_the_first_one_has_imported(learning, wait_for, caplog):
    caplog.set_level("INFO")
    launches = learning("import some_slow", some_slow="import warnings\nwarnings.simplefilter('once', FutureWarning)")
    script = run_until(launches, wait_for, caplog, "From now on trials start with some_slow loaded")
    assert launches.run([script]).exit_code == 0
    assert launches.run([script], num_ranks=2).exit_code == 0
    assert launches.lines("out0") == ["[] 1 1", "['some_slow'] 1 1", "['some_slow'] 1 1"]
    assert launches.lines("out1") == ["['some_slow'] 1 1"]
    assert caplog.text.count("From now on") == 1
    # Its end is told and its processes are drained as those of the first server.
    waiting = launches.script("import signal, time; print('ready', flush=True); time.sleep(600)", "waits.py")
    launch = launches.launcher.launch(launches.spec([waiting]))
    wait_for(lambda: "ready" in launches.lines("out0"))
    launches.launcher.drain(launch, grace_s=5.0)
    exit_ = launches.exit(launch)
    assert (exit_.exit_codes, exit_.drained, exit_.lost) == ((-15,), True, False)


@pytest.mark.usefixtures("no_process_left")
def test_what_only_a_later_launch_imports_is_learnt_from_it(learning, wait_for, caplog):
    caplog.set_level("INFO")
    text = "import sys\nfor name in sys.argv[1:]:\n    __import__(name)"
    bad = "import threading\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    launches = learning(text, some_slow="", some_later="", some_last="", some_bad=bad)
    script = launches.script(SCRIPT)
    for name in ("some_slow", "some_later", "some_last"):
        assert launches.run([script, name, "some_bad"]).exit_code == 0, launches.lines("err0")
        wait_for(lambda name=name: f"From now on trials start with {name} loaded" in caplog.text)
    assert launches.run([script]).exit_code == 0
    befores = [line.rpartition("]")[0] for line in launches.lines("out0")]
    assert befores[-1] == "['some_last', 'some_later', 'some_slow'"
    assert caplog.text.count("some_bad is not preloaded") == 1


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(
    ("source", "why"),
    [
        pytest.param(
            "import threading\nthreading.Thread(target=time.sleep, args=(60,), daemon=True, name='mine').start()",
            "since it starts 1 thread(s) when it is imported (mine)",
            marks=pytest.mark.slow,  # the test above has such a module, too
        ),
        ("import os\nos.environ.get('MY_FLAG')", "since it reads MY_FLAG when it is imported"),
        pytest.param(
            "import signal\nsignal.signal(signal.SIGUSR1, print)",
            "since it handles signals",
            marks=pytest.mark.slow,  # test_trial_import.py has all reasons
        ),
    ],
)
def test_what_must_not_be_preloaded_is_found_out(learning, wait_for, caplog, source, why):
    caplog.set_level("INFO")
    launches = learning("import some_good, some_bad", named=["MY_FLAG"], some_good="", some_bad=source)
    script = run_until(launches, wait_for, caplog, "From now on trials start with some_good loaded")
    assert f"Module some_bad is not preloaded, {why}" in caplog.text
    assert launches.run([script]).exit_code == 0
    assert launches.lines("out0")[-1].startswith("['some_good'] ")
    assert "not preloaded" not in (launches.folder / "server.log").read_text()


@pytest.mark.usefixtures("no_process_left")
def test_a_module_that_ends_the_process_ends_only_the_learning(learning, wait_for, caplog):
    source = "import os, sys\nif os.path.basename(sys.argv[0]) != 'train.py': os._exit(3)"
    launches = learning("import some_fatal", some_fatal=source)
    script = run_until(launches, wait_for, caplog, "some_fatal is not preloaded, since an import has ended the process")
    assert launches.run([script]).exit_code == 0
    assert launches.lines("out0") == ["[] 1 0"] * 2


@pytest.mark.usefixtures("no_process_left")
def test_a_second_server_that_is_killed_loses_its_launches_and_no_others(learning, wait_for, caplog):
    import psutil

    caplog.set_level("INFO")
    launches = learning("import some_slow", some_slow="")
    first = launches.script("import time; print('first', flush=True); time.sleep(600)", "first.py")
    script = run_until(launches, wait_for, caplog, "From now on")
    waiting = launches.launcher.launch(launches.spec([first]))
    wait_for(lambda: "first" in launches.lines("out0"))
    (second,) = psutil.Process(launches.launcher.server_pid).children()
    second.kill()
    exit_ = launches.exit(waiting)
    assert exit_.lost
    assert launches.run([script]).exit_code == 0
    assert launches.lines("out0")[-1] == "[] 1 0"


def test_nothing_is_learnt_unless_it_is_asked_for(learning, wait_for, caplog):
    caplog.set_level("INFO")
    launches = learning("import some_slow", named=None, some_slow="")
    script = launches.script(SCRIPT)
    for _ in range(2):
        assert launches.run([script]).exit_code == 0
    assert launches.lines("out0") == ["[] 1 0"] * 2


def test_a_traceback_of_a_failed_import_has_only_frames_of_the_user(learning, wait_for):
    launches = learning("import some_failing", some_failing="raise ImportError('broken')")
    for warm in (True, False):
        assert launches.run([launches.script(SCRIPT)], warm=warm).exit_code == 1
    errors = launches.lines("err0")
    assert errors[: len(errors) // 2] == errors[len(errors) // 2 :]


def test_a_named_module_that_starts_threads_is_left_out(make_launches, monkeypatch, caplog):
    launches = make_launches(preload=["wave", "some_bad", "some_good"])
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    (launches.folder / "some_bad.py").write_text(thread)
    (launches.folder / "some_good.py").write_text("import pandas")  # which may start threads, but is known
    monkeypatch.setenv("PYTHONPATH", str(launches.folder))
    script = launches.script(
        "import sys\nprint([name for name in ('wave', 'some_bad', 'some_good', 'pandas') if name in sys.modules])"
    )
    assert launches.run([script]).exit_code == 0
    assert launches.lines("out0") == ["['wave', 'some_good', 'pandas']"]
    assert caplog.text.count("is not preloaded") == 1
    assert "Module some_bad is not preloaded, since it starts 1 thread(s) when it is imported" in caplog.text
