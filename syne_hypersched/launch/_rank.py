"""What happens in a trial's process between the fork and the first line of user code."""

from __future__ import annotations

import atexit
import builtins
import io
import os
import signal
import sys
import threading
import types
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
    try:
        _run_script(spec.argv)
    finally:
        os._exit(1)  # only a script that breaks the interpreter's own end gets here


def _redirect(rank: RankSpec) -> None:
    """Connects standard input to nothing and standard output and error to the log files, as a new process would."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for target, path in ((1, rank.stdout), (2, rank.stderr)):
        log = os.open(path, flags, 0o600)  # scripts may print secrets
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
    path = os.path.abspath(argv[0])
    sys.argv = list(argv)
    sys.path[0] = str(Path(path).resolve().parent)
    # Not by runpy.run_path: it takes the module back when the script ends, while its threads and exit functions,
    # which may look for __main__, still run.
    main = types.ModuleType("__main__")
    vars(main).update(__file__=path, __builtins__=builtins)
    sys.modules["__main__"] = main
    code = 0
    try:
        with io.open_code(path) as file:
            source = file.read()
        exec(compile(source, path, "exec", dont_inherit=True), vars(main))
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
    """Hands the exception in flight to the hook of the script, without the frames of this module."""
    kind, error, frames = sys.exc_info()
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    if kind is not None and error is not None:
        try:
            sys.excepthook(kind, error.with_traceback(frames), frames)
        except BaseException:
            print("Error in sys.excepthook. The original exception was:", file=sys.stderr)
            sys.__excepthook__(kind, error, frames)
