"""Launched processes are drained and reaped, and none is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from syne_hypersched.launch import Launcher, LaunchSpec, RankSpec
from syne_hypersched.launch._identity import start_ticks
from tests.launch.modes import WARM_AND_COLD

pytestmark = pytest.mark.usefixtures("no_process_left")


def wait_until_ready(launches, script_says="ready"):
    launches.wait_for(lambda: script_says in launches.lines("out0"))
    launches.wait_for(lambda: launches.launcher.is_ready)  # its thread may be slower than the script


@WARM_AND_COLD
def test_a_drain_that_is_honoured_needs_no_kill(shared_launches, warm):
    script = shared_launches.script(
        """
        import signal, sys, time
        def leave(*_):
            open("checkpoint", "w").close()
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        print("ready", flush=True)
        time.sleep(600)
        """
    )
    launch = shared_launches.launcher.launch(shared_launches.spec([script], warm=warm))
    wait_until_ready(shared_launches)
    shared_launches.launcher.drain(launch, grace_s=30)
    exit_ = shared_launches.exit(launch)
    assert (exit_.exit_code, exit_.drained, exit_.killed) == (0, True, False)
    assert (shared_launches.folder / "checkpoint").exists()


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""


def test_a_drain_that_is_ignored_ends_with_the_grace_period(shared_launches):
    script = shared_launches.script(STUBBORN + "print('ready', flush=True)\ntime.sleep(600)")
    launch = shared_launches.launcher.launch(shared_launches.spec([script]))
    wait_until_ready(shared_launches)
    asked = time.monotonic()
    shared_launches.launcher.drain(launch, grace_s=0.3)
    exit_ = shared_launches.exit(launch)
    assert (exit_.exit_code, exit_.drained, exit_.killed) == (-9, True, True)
    assert shared_launches.exit_times[launch] - asked >= 0.3


def test_the_whole_process_tree_has_ended_before_the_exit_is_reported(shared_launches):
    script = shared_launches.script(
        STUBBORN
        + textwrap.dedent(
            """
            def note():
                with open("pids", "a") as file:
                    file.write(f"{os.getpid()}\\n")

            if os.fork() == 0:            # a child in a session of its own
                os.setsid()
                note()
                time.sleep(600)
            if os.fork() == 0:            # a daemon: its parent leaves
                if os.fork() == 0:
                    os.setsid()
                    note()
                    time.sleep(600)
                os._exit(0)
            note_and_sleep = "import os, time; open('pids', 'a').write(f'{os.getpid()}\\\\n'); time.sleep(600)"
            subprocess.Popen([sys.executable, "-c", note_and_sleep])
            note()
            print("ready", flush=True)
            time.sleep(float(sys.argv[1]))
            """
        )
    )
    for seconds, drained in ((60, True), (0, False)):
        pids_file = shared_launches.folder / "pids"
        pids_file.unlink(missing_ok=True)
        (shared_launches.folder / "out0").unlink(missing_ok=True)
        launch = shared_launches.launcher.launch(shared_launches.spec([script, str(seconds)]))
        if drained:
            shared_launches.wait_for(lambda: len(shared_launches.lines("pids")) == 4)
            shared_launches.launcher.drain(launch, grace_s=0.1)
        assert shared_launches.exit(launch).drained is drained
        # Children that had not written their pid yet would be found by the fixture.
        assert not any(psutil.pid_exists(int(pid)) for pid in shared_launches.lines("pids"))


def test_a_rank_that_dies_ends_the_others(shared_launches):
    script = shared_launches.script(
        "import os, sys, time\nif os.environ['RANK'] == '1':\n    sys.exit(5)\ntime.sleep(600)"
    )
    exit_ = shared_launches.run([script], num_ranks=3)
    assert (exit_.first_failed, exit_.exit_code, exit_.killed, exit_.drained) == (1, 5, True, False)


@pytest.mark.parametrize("warm", [True, False])
def test_a_launch_that_starts_when_the_deadline_has_passed_ends_at_once(launches, warm):
    """As one that was ordered in time, and waited for the server to start."""
    script = launches.script("import time; time.sleep(1000)")
    now = time.monotonic()
    launches.launcher.set_deadline(now - 2.0, now - 1.0)
    assert launches.run([script], warm=warm).drained


@pytest.mark.parametrize("is_stubborn, grace_s", [(False, 600.0), (True, 0.5)])
def test_the_deadline_is_kept_whatever_the_tuner_does(launches, is_stubborn, grace_s):
    script = launches.script(STUBBORN * is_stubborn + "import time\nprint('ready', flush=True)\ntime.sleep(600)")
    # With a grace of its own, neither would be ended as is expected.
    launch = launches.launcher.launch(launches.spec([script], grace_s=600.5 - grace_s))
    wait_until_ready(launches)
    drain_at = time.monotonic() + 0.3
    launches.launcher.set_deadline(drain_at, drain_at + grace_s)  # after which the tuner's thread does nothing
    exit_ = launches.exit(launch)
    assert (exit_.drained, exit_.killed) == (True, is_stubborn)
    assert launches.exit_times[launch] >= drain_at + grace_s * is_stubborn


def test_a_second_drain_only_shortens_what_is_left(shared_launches):
    script = shared_launches.script(STUBBORN + "print('ready', flush=True)\ntime.sleep(600)")
    for first_s, second_s in ((0.3, 600.0), (600.0, 0.3)):
        (shared_launches.folder / "out0").unlink(missing_ok=True)
        launch = shared_launches.launcher.launch(shared_launches.spec([script]))
        wait_until_ready(shared_launches)
        for grace_s in (first_s, second_s):
            shared_launches.launcher.drain(launch, grace_s=grace_s)
        assert shared_launches.exit(launch).killed


def sleeper(launches):
    script = launches.script(STUBBORN.replace("signal.signal", "#") + "print('ready', flush=True)\ntime.sleep(600)")
    launch = launches.launcher.launch(launches.spec([script]))
    launches.wait_for(lambda: launch in launches.launched)
    wait_until_ready(launches)
    return launch


def test_a_killed_supervisor_takes_its_launch_along(shared_launches):
    launch = sleeper(shared_launches)
    (pid,) = shared_launches.launched[launch]
    os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
    exit_ = shared_launches.exit(launch)
    assert exit_.lost
    assert "supervisor" in exit_.error
    assert not psutil.pid_exists(pid)


def test_what_a_killed_supervisor_leaves_behind_is_ended(shared_launches):
    """A daemon of the script gets no signal when its parent dies. Its devices are not free before it is gone."""
    script = shared_launches.script(
        STUBBORN + "if os.fork() == 0:\n    os.setsid()\n    print(os.getpid(), flush=True)\ntime.sleep(600)"
    )
    launch = shared_launches.launcher.launch(shared_launches.spec([script]))
    shared_launches.wait_for(lambda: launch in shared_launches.launched and shared_launches.lines("out0"))
    (rank,), daemon = shared_launches.launched[launch], int(shared_launches.lines("out0")[0])
    os.kill(psutil.Process(rank).ppid(), signal.SIGKILL)
    assert shared_launches.exit(launch).lost
    assert not psutil.pid_exists(daemon)


def test_a_killed_server_is_replaced(launches, caplog):
    launch = sleeper(launches)
    (pid,) = launches.launched[launch]
    os.kill(launches.launcher.server_pid, signal.SIGKILL)
    assert launches.exit(launch).lost
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert caplog.text.count("ended unexpectedly") == 1
    assert launches.run([launches.script("print('again')", "again.py")]).exit_code == 0


def test_a_launch_that_outlives_its_server_has_not_ended(tmp_path, wait_for, caplog):
    """Its devices are not free before its processes are gone."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys, time
            def leave(*_):
                print("leaving", flush=True)
                while not os.path.exists("may_leave"):
                    time.sleep(0.005)
                os._exit(0)
            signal.signal(signal.SIGTERM, leave)
            print("ready", flush=True)
            while True:
                time.sleep(1)
            """
        )
    )
    pids, lived, log = [], [], tmp_path / "out"
    launcher = Launcher(
        lambda launch, launched, moment: pids.extend(launched),
        lambda launch, exit_, moment: lived.append(start_ticks(pids[0]) is not None),
    )
    try:
        rank = RankSpec(dict(os.environ), str(log), str(tmp_path / "err"))
        launcher.launch(LaunchSpec((str(script),), (rank,), True, 30.0, str(tmp_path)))
        wait_for(lambda: pids and log.exists() and "ready" in log.read_text())
        os.kill(launcher.server_pid, signal.SIGKILL)
        wait_for(lambda: "leaving" in log.read_text() and "ended unexpectedly" in caplog.text)
        (tmp_path / "may_leave").touch()
        wait_for(lambda: lived)
        assert lived == [False]
    finally:
        (tmp_path / "may_leave").touch()
        launcher.close()


def test_ranks_die_with_their_supervisor_even_if_the_server_cannot_see_to_it(shared_launches):
    """The kernel sends the signal. A server that is stopped, or killed at the same time, could not."""
    launch = sleeper(shared_launches)
    (pid,) = shared_launches.launched[launch]
    rank = psutil.Process(pid)
    server = shared_launches.launcher.server_pid
    os.kill(server, signal.SIGSTOP)
    try:
        os.kill(rank.ppid(), signal.SIGKILL)
        shared_launches.wait_for(lambda: has_ended(rank))
    finally:
        os.kill(server, signal.SIGCONT)
    assert shared_launches.exit(launch).lost


def has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_trials_die_with_a_killed_tuner(tmp_path, wait_for):
    tuner = tmp_path / "tuner.py"
    tuner.write_text(
        textwrap.dedent(
            f"""
            import os, sys, time
            from syne_hypersched.launch import Launcher, LaunchSpec, RankSpec
            script = {str(tmp_path / "train.py")!r}
            open(script, "w").write({STUBBORN!r} + "open('pid', 'w').write(str(os.getpid()))\\ntime.sleep(600)")
            launcher = Launcher(lambda *_: None, lambda *_: None)
            rank = RankSpec(dict(os.environ), {str(tmp_path / "out")!r}, {str(tmp_path / "err")!r})
            launcher.launch(LaunchSpec((script,), (rank,), True, 0.2, {str(tmp_path)!r}))
            if os.fork() == 0:      # an innocent child that has inherited the socket to the server
                time.sleep(3)
                os._exit(0)
            time.sleep(600)
            """
        )
    )
    process = subprocess.Popen([sys.executable, str(tuner)], env={**os.environ, "PYTHONPATH": os.getcwd()})
    pid_file = tmp_path / "pid"
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    trial = psutil.Process(int(pid_file.read_text()))
    server = trial.parent().parent()
    process.kill()
    process.wait()
    wait_for(lambda: has_ended(trial))
    wait_for(lambda: has_ended(server))


@pytest.mark.parametrize("warm", [True, False])
def test_a_script_that_kills_its_process_group_harms_no_other_process(launches, warm):
    other = sleeper(launches)
    script = launches.script("import os, signal\nos.killpg(0, signal.SIGKILL)", "kills.py")
    exit_ = launches.run([script], warm=warm)
    assert (exit_.exit_code, exit_.lost, exit_.error) == (-signal.SIGKILL, False, "")
    assert launches.run([launches.script("print('trained')", "third.py")]).exit_code == 0
    assert other not in launches.exits


def test_a_server_that_is_terminated_drains_its_launches(launches):
    script = launches.script(
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('ready', flush=True)\n"
        "time.sleep(600)"
    )
    launch = launches.launcher.launch(launches.spec([script], grace_s=600.0))
    wait_until_ready(launches)
    os.kill(launches.launcher.server_pid, signal.SIGTERM)
    exit_ = launches.exit(launch)
    assert (exit_.exit_code, exit_.drained, exit_.killed) == (7, True, False)


def test_close_returns_when_every_exit_has_been_reported(tmp_path, wait_for):
    told, launched = [], []

    def on_exit(launch, exit_, moment):
        time.sleep(0.3)  # a callback that takes its time
        told.append(launch)

    launcher = Launcher(lambda launch, pids, moment: launched.append(launch), on_exit)
    (tmp_path / "train.py").write_text("import time\ntime.sleep(600)")
    rank = RankSpec(dict(os.environ), str(tmp_path / "out"), str(tmp_path / "err"))
    launch = launcher.launch(LaunchSpec((str(tmp_path / "train.py"),), (rank,), True, 0.2, str(tmp_path)))
    wait_for(lambda: launched)
    launcher.close()
    assert told == [launch]


def test_close_drains_what_runs(launches):
    launch = sleeper(launches)
    launches.launcher.close()
    assert launches.exits[launch].drained
    with pytest.raises(RuntimeError, match="closed"):
        launches.launcher.launch(launches.spec(["x.py"]))
