"""Learns from a running script which slow modules it imports, without leaving a trace in it.

The server makes a piece of memory before it forks the script's process. A wrapper of the interpreter's import function
records slow imports there. The script sees no file, thread or module of this package.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from syne_hypersched.launch._warmth import PRELOADABLE

#: An import is slow if it takes this many seconds of CPU time or more. Wall time depends on other processes.
SLOW_S = 0.02
#: Preloading is worth a second server if the imports take at least this many seconds together.
WORTH_S = 0.05
_NOTED_S = 0.01
_NUM_BYTES = 1 << 18
#: Layout of the memory: the writing process, whether it imports now, the number of bytes, and the bytes.
_WRITER, _BUSY, _LENGTH, _CONTENT = slice(0, 8), 8, slice(16, 24), 24
#: Compiled under the file name of the interpreter's import code, which tracebacks omit.
_AROUND = """
def _find_and_load(name, import_):
    began = begin()
    try:
        return find_and_load(name, import_)
    finally:
        end(name, began)
"""


@dataclass(frozen=True)
class SlowImport:
    """A module that was imported, with the slow imports inside of it."""

    name: str
    seconds: float
    file: str | None
    inner: tuple[SlowImport, ...] = ()

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> SlowImport:
        """Makes an object from a recorded list."""
        name, seconds, file, inner = data
        return cls(name, seconds, file, tuple(map(cls.from_json, inner)))


class ImportRecord:
    """Memory shared with forks, in which one fork records its slow imports."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _NUM_BYTES)

    def clear(self) -> None:
        """Forgets everything; another process may write then."""
        self._memory[:_CONTENT] = bytes(_CONTENT)

    def claim(self, pid: int) -> bool:
        """Whether a process may write: only the first one may."""
        writer = int.from_bytes(self._memory[_WRITER], "little")
        if not writer:
            self._memory[_WRITER] = pid.to_bytes(8, "little")
        return writer in (0, pid)

    def set_busy(self, is_busy: bool) -> None:
        """Records whether an import is in progress."""
        self._memory[_BUSY] = is_busy

    @property
    def is_busy(self) -> bool:
        """Whether an import is in progress."""
        return bool(self._memory[_BUSY])

    def write(self, imports: list[Any]) -> None:
        """Records the slow imports so far, unless there are too many."""
        content = json.dumps(imports).encode()
        if len(content) <= _NUM_BYTES - _CONTENT:
            self._memory[_LENGTH] = bytes(8)  # readers see incomplete data from here
            self._memory[_CONTENT : _CONTENT + len(content)] = content
            self._memory[_LENGTH] = len(content).to_bytes(8, "little")

    def read(self) -> tuple[SlowImport, ...]:
        """The slow imports so far, in their order; none if they cannot be read at this moment."""
        length = int.from_bytes(self._memory[_LENGTH], "little")
        try:
            return tuple(map(SlowImport.from_json, json.loads(self._memory[_CONTENT : _CONTENT + length])))
        except ValueError:
            return ()


def record_imports(record: ImportRecord) -> None:
    """Records slow imports of this process's main thread from now on."""
    pid, thread = os.getpid(), threading.get_ident()
    if not record.claim(pid):
        return
    clock: Callable[[], float] = time.thread_time
    get_pid, get_thread, modules = os.getpid, threading.get_ident, sys.modules
    levels: list[list[Any]] = [[]]

    def begin() -> float:
        if get_thread() == thread and get_pid() == pid:
            if len(levels) == 1:
                record.set_busy(True)
            levels.append([])
        return clock()

    def end(name: str, began: float) -> None:
        if get_thread() != thread or get_pid() != pid or len(levels) == 1:
            return
        inner, seconds = levels.pop(), clock() - began
        if seconds >= _NOTED_S:
            file = getattr(modules.get(name), "__file__", None)
            levels[-1].append([name, round(seconds, 4), file if isinstance(file, str) else None, inner])
        if len(levels) == 1:
            if seconds >= _NOTED_S:
                record.write(levels[0])
            record.set_busy(False)

    bootstrap: Any = sys.modules["_frozen_importlib"]
    namespace: dict[str, Any] = {"begin": begin, "end": end, "find_and_load": bootstrap._find_and_load}
    exec(compile(_AROUND, "<frozen importlib._bootstrap>", "exec"), namespace)
    bootstrap._find_and_load = namespace["_find_and_load"]


def library_folders() -> tuple[str, ...]:
    """The folders of installed packages."""
    folders = {entry for entry in sys.path if os.path.basename(entry) in ("site-packages", "dist-packages")}
    folders |= {sysconfig.get_paths()[name] for name in ("purelib", "platlib", "stdlib")}
    return tuple(sorted({os.path.realpath(folder) for folder in folders}))


def modules_to_learn(
    imports: Iterable[SlowImport], loaded: Collection[str], folders: Sequence[str], left_out: Collection[str] = ()
) -> tuple[str, ...]:
    """The slow modules of installed packages among what was imported; a pure function.

    Parameters
    ----------
    imports
        What was imported.
    loaded
        Modules that are loaded already.
    folders
        The folders of installed packages. The user's own modules are never preloaded, only what they import.
    left_out
        Modules and whole packages that must not be preloaded, but what they import may be.

    Returns
    -------
    tuple of str
        The modules; empty if preloading would save too little time. Modules known to be harmless come first, so that
        their threads are not attributed to modules that import them.
    """
    known: dict[str, None] = {}
    others: dict[str, float] = {}

    def is_left_out(name: str) -> bool:
        return name in left_out or name.partition(".")[0] in left_out

    def find_known(found: SlowImport) -> None:
        if found.name.partition(".")[0] in PRELOADABLE:
            known.setdefault(found.name)
        else:
            for each in found.inner:
                if each.seconds >= SLOW_S:
                    find_known(each)

    def visit(found: SlowImport) -> None:
        if found.seconds < SLOW_S:
            return
        file = None if found.file is None else os.path.realpath(found.file)
        is_installed = file is not None and any(file.startswith(f"{folder}{os.sep}") for folder in folders)
        if is_installed and not is_left_out(found.name):
            find_known(found)
            others.setdefault(found.name, found.seconds)
        else:
            for each in found.inner:
                visit(each)

    for found in imports:
        visit(found)
    if sum(seconds for name, seconds in others.items() if name not in loaded) < WORTH_S:
        return ()
    chosen = dict.fromkeys([*known, *others])
    return tuple(name for name in chosen if name not in loaded and not is_left_out(name))
