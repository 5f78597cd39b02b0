"""The standard output of rank 0 on its way to the tuner: a file in the shared folder, so that no report is lost.

The agent sends it while it grows. If the agent, its node or the tuner dies, the rest is read from the file. So a
checkpoint can never contain an epoch whose report is lost.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_NAME = re.compile(r"\.rank0-(\d+)-(\d+)\.out")


def rank_log(folder: Path, launch: int, log: Path) -> Path:
    """Where rank 0 of a launch prints.

    Parameters
    ----------
    folder
        A folder of the trial that all nodes share.
    launch
        Index of the launch.
    log
        The tuner's copy, to which the output of the launch will be appended. Its size becomes part of the name.
    """
    size = 0
    with contextlib.suppress(FileNotFoundError):
        size = log.stat().st_size
    return folder / f".rank0-{launch}-{size}.out"


def append_rest(printed: Path, log: Path) -> int:
    """Appends rank 0's unsent output to the tuner's copy, and removes the file.

    Parameters
    ----------
    printed
        A file of :func:`rank_log`, to which no process writes any more; it need not exist.
    log
        The tuner's copy.

    Returns
    -------
    int
        Number of bytes that were missing.
    """
    name = _NAME.fullmatch(printed.name)
    if name is None or not printed.is_file():
        return 0
    descriptor = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "ab") as copy, open(printed, "rb") as file:
        received = os.fstat(descriptor).st_size - int(name[2])
        file.seek(max(0, received))
        rest = file.read()
        copy.write(rest)
    printed.unlink()
    return len(rest)


def left_behind(folder: Path) -> list[Path]:
    """Files of :func:`rank_log` in a trial's folder, in the order of their launches."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda item: (int(item[0][1]), int(item[0][2])))]


def end_line(log: Path) -> None:
    """Ends the last line of a log, which may be incomplete, so that the next launch's output begins a new line."""
    with contextlib.suppress(FileNotFoundError), open(log, "r+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
