"""What happens in a trial's process between the fork and the first line of user code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from syne_hypersched.launch._linux import die_with_parent
from syne_hypersched.launch._postponed import start_without_effects
from syne_hypersched.launch._script import ScriptStart
from syne_hypersched.launch._spec import LaunchSpec, RankSpec
from syne_hypersched.launch._threads import set_thread_numbers

#: Signals that supervisors handle and training scripts must not inherit; blocked in a rank until it has reset them.
RANK_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

#: Signals that this interpreter ignores from its start on. Another program would inherit that: of a pipe of which the
#: reader has left, for instance, the writer would never end.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


#: Called last in each rank before its script begins.
_before: list[Callable[[], None]] = []


def before_the_script(what: Callable[[], None]) -> None:
    """Has something called in each rank of a warm launch before its script begins. A supervisor calls this."""
    _before.append(what)


def run_rank(spec: LaunchSpec, rank: RankSpec, supervisor_pid: int, gate: int) -> NoReturn:
    """Turns this forked process into the process of ``rank``. Never returns.

    The script begins when ``gate``, the end of a pipe that nobody writes to, is closed at its other end.

    A warm one raises :class:`ScriptStart`, upon which the script runs where the server's interpreter has started. A
    process that cannot be started exits with code 127 (as shells do) and says why on its standard error.
    """
    try:
        die_with_parent(supervisor_pid)
        os.setpgid(0, 0)  # a script may send a signal to its whole group, to which the supervisor must not belong
        _redirect(rank)
        if rank.cores:
            os.sched_setaffinity(0, rank.cores)
        if spec.cwd is not None:
            os.chdir(spec.cwd)
        for signum in RANK_SIGNALS:
            signal.signal(signum, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, RANK_SIGNALS)
        if not spec.warm:
            for signum in _IGNORED_BY_PYTHON:
                signal.signal(signum, signal.SIG_DFL)
            _wait_for(gate)
            os.execvpe(spec.argv[0], spec.argv, rank.env)
        os.environ.clear()
        os.environ.update(rank.env)
        _reset_libraries()
        set_thread_numbers()
        _wait_for(gate)
        for what in _before:
            what()
    except BaseException as error:
        os.write(2, f"Cannot start {spec.argv[0]!r}: {error}\n".encode(errors="backslashreplace"))
        os._exit(127)
    raise ScriptStart(spec.argv)


def _wait_for(gate: int) -> None:
    os.read(gate, 1)
    os.close(gate)


def _redirect(rank: RankSpec) -> None:
    """Connects standard input to nothing and standard output and error to the log files, as a new process would."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for target, path in ((1, rank.stdout), (2, rank.stderr)):
        log = os.open(path, flags, 0o600)  # scripts may print secrets
        os.dup2(log, target)
        os.close(log)


def _reset_libraries() -> None:
    """Gives preloaded libraries the state that they would have in a new process."""
    # Python's streams are those of the server, which were made in the same environment. Their buffers are empty, but
    # they may have stored a position in the server's log.
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.seek(0)
    start_without_effects()
    for name in ("lightning.fabric.utilities.rank_zero", "lightning_fabric.utilities.rank_zero"):
        ranks = sys.modules.get(name)
        if ranks is not None and hasattr(ranks, "_get_rank"):
            ranks.rank_zero_only.rank = ranks._get_rank() or 0  # read when it was imported
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()  # otherwise all trials draw the same numbers; Python's own generator reseeds itself
    generator = getattr(sys.modules.get("torch"), "default_generator", None)
    if generator is not None:
        generator.seed()  # that of the process has been seeded at random when PyTorch was loaded
