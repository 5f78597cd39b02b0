"""Imports modules in a fork of the server, and says of a module why it must not be imported before a fork."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from syne_hypersched.launch._threads import pool_libraries
from syne_hypersched.launch._warmth import PRELOADABLE

#: The reason for a module that cannot be imported: the script will see, and may have its own way.
FAILS = "its import fails"
#: Variables that modules read when they are imported, and that are read again in each fork (see ``_rank.py``).
_READ_AGAIN = {
    package: frozenset({"RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"})
    for package in ("lightning", "lightning_fabric", "lightning_utilities", "pytorch_lightning")
}

#: Variables that modules read to find files of the user, and that scripts name without changing them.
_OF_THE_USER = frozenset({"HOME", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "USER", "USERNAME"})


class _ReadingEnviron(os._Environ):  # type: ignore[type-arg]
    """``os.environ`` while modules are imported: notes the variables that are asked for, set or not."""

    asked: ClassVar[set[str]] = set()

    def __getitem__(self, key: str) -> str:
        self.asked.add(key)
        value: str = super().__getitem__(key)
        return value

    def copy(self) -> dict[str, str]:
        """A copy, for the environment of another process: nothing is read."""
        return dict(zip(self, map(self.decodevalue, vars(self)["_data"].values()), strict=True))


@contextlib.contextmanager
def asked_variables() -> Iterator[set[str]]:
    """Context manager that gives the variables that are asked for inside."""
    _ReadingEnviron.asked = set()
    before: Any = os.environ.__class__
    os.environ.__class__ = _ReadingEnviron
    try:
        yield _ReadingEnviron.asked
    finally:
        os.environ.__class__ = before


def uses_gpu() -> bool:
    """Whether this process has opened a GPU, as initialising CUDA does."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").startswith("/dev/nvidia"):
                    return True
    return False


@dataclass(frozen=True)
class ThreadsHere:
    """The threads of a process."""

    of_python: tuple[str, ...]
    """Names of those that Python knows, without the main thread."""
    total: int
    """Number of all, also those that libraries in C have started."""
    pools: frozenset[str]
    """Loaded libraries that start threads of their own and can be forked."""

    @classmethod
    def look(cls) -> ThreadsHere:
        """Those of this process."""
        others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        return cls(tuple(others), len(os.listdir("/proc/self/task")), pool_libraries())

    def why_not(self, before: ThreadsHere) -> str:
        """Why a module must not be preloaded whose import has made these threads of those before; empty if it may."""
        started = len(self.of_python) - len(before.of_python)
        if started <= 0 and self.pools == before.pools:
            started = self.total - before.total
        if started <= 0:
            return ""
        names = f" ({', '.join(self.of_python)})" if self.of_python else ""
        return f"it starts {started} thread(s) when it is imported{names}"


def _handlers() -> dict[int, Any]:
    return {signum: signal.getsignal(signum) for signum in signal.valid_signals()}


def import_or_say_why_not(module: str, named: Collection[str]) -> str:
    """Imports a module; returns why it must not be preloaded, or an empty text.

    Parameters
    ----------
    module
        The module.
    named
        Names of variables that a script may set before it imports the module, or that differ from launch to launch.
    """
    threads, handlers = ThreadsHere.look(), _handlers()
    package = module.partition(".")[0]
    with asked_variables() as asked:
        try:
            importlib.import_module(module)
        except BaseException as error:
            return f"{FAILS} ({type(error).__name__}: {error})"
    if uses_gpu():
        return "it opens a GPU when it is imported"
    if package in PRELOADABLE:
        return ""
    why = ThreadsHere.look().why_not(threads)
    if why:
        return why
    if _handlers() != handlers:
        return "it handles signals when it is imported"
    read = (asked & set(named)) - _READ_AGAIN.get(package, frozenset()) - (_OF_THE_USER & os.environ.keys())
    if read:
        return f"it reads {', '.join(sorted(read))} when it is imported, which the script or a launch sets"
    return ""


def import_all(
    modules: Sequence[str], named: Collection[str], import_: Callable[[str, Collection[str]], str]
) -> tuple[str, str] | None:
    """Imports modules up to the first that must not be preloaded; returns it and the reason."""
    for module in modules:
        why = import_(module, named)
        if why:
            return module, why
    return None
