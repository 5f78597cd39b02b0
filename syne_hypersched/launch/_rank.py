"""What happens in a trial's process between the fork and the first line of user code."""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

from syne_hypersched.launch._linux import die_with_parent
from syne_hypersched.launch._spec import LaunchSpec, RankSpec

#: Signals that supervisors handle and training scripts do not inherit; blocked in a rank until it has its own handlers.
RANK_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def run_rank(spec: LaunchSpec, rank: RankSpec, supervisor_pid: int) -> NoReturn:
    """Turns this freshly forked process into the process of ``rank``. Never returns.

    A process that cannot be started exits with code 127 (as shells do) and says why on its standard error.
    """
    try:
        die_with_parent(supervisor_pid)
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
            os.execvpe(spec.argv[0], spec.argv, rank.env)
        os.environ.clear()
        os.environ.update(rank.env)
        _reset_libraries(rank.num_threads)
    except BaseException as error:
        os.write(2, f"Cannot start {spec.argv[0]!r}: {error}\n".encode(errors="backslashreplace"))
        os._exit(127)
    _run_script(spec.argv)


def _redirect(rank: RankSpec) -> None:
    """Connects standard input to nothing and standard output and error to the log files, as a new process would."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for target, path in ((1, rank.stdout), (2, rank.stderr)):
        log = os.open(path, flags, 0o644)
        os.dup2(log, target)
        os.close(log)
    # Python's own objects may hold output or a position from before the fork.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)


def _reset_libraries(num_threads: int | None) -> None:
    """Gives preloaded libraries the state that they would have in a new process."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()  # else all trials would draw the same numbers; Python's own generator reseeds itself
    torch = sys.modules.get("torch")
    if torch is not None and num_threads is not None:
        torch.set_num_threads(num_threads)


def _run_script(argv: tuple[str, ...]) -> NoReturn:
    """Runs a Python script as ``python SCRIPT ARGUMENTS`` would, then ends the process."""
    sys.argv = list(argv)
    sys.path[0] = str(Path(argv[0]).resolve().parent)
    code = 0
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            code = error.code or 0
        else:
            print(error.code, file=sys.stderr)
            code = 1
    except BaseException:
        _print_exception()
        code = 1
    # The rest of what the interpreter does at its end. Leaving through the frames of the server would run its code.
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        _print_exception()
        code = code or 1
    os._exit(code & 0xFF)


def _print_exception() -> None:
    """Prints the exception in flight without the frames of this module and of :mod:`runpy`."""
    kind, error, frames = sys.exc_info()
    while frames is not None and frames.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        frames = frames.tb_next
    traceback.print_exception(kind, error, frames)
