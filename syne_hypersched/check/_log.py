"""The end of a script's log."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence

from syne_hypersched._terminal_text import plain_log

_NUM_BYTES = 20_000
_TRACEBACK = "Traceback (most recent call last)"
#: Prefix that torch writes before each line of a rank's traceback.
_RANK = re.compile(r"^\[rank\d+\]:\s?")


def last_lines(path: str) -> list[str]:
    """The last lines of a log that are not empty; none if there is no log."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _NUM_BYTES))
        lines = [plain_log(line).rstrip() for line in file.read().decode(errors="replace").splitlines()]
        return [line for line in lines if line]
    return []


def error_line(lines: Sequence[str]) -> str:
    """The line that describes the error: the error after the last traceback, or the last line; empty without lines.

    The message of an error may have several lines. The first one tells most.
    """
    begin = max((index for index, line in enumerate(lines) if _TRACEBACK in line), default=None)
    if begin is not None:
        for line in lines[begin + 1 :]:
            if not _RANK.sub("", line).startswith((" ", "\t")):
                return line
    return lines[-1].strip() if lines else ""
