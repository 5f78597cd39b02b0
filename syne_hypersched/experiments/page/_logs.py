"""The last lines of a log of a run, as plain text."""

from __future__ import annotations

import os
import re
from pathlib import Path

from syne_hypersched.filenames import STDERR_FILENAME

_MOST_BYTES = 8192
_MOST_LINES = 15
_MOST_CHARACTERS = 300
#: Colours and movements of the cursor, and other characters that are no text.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


def last_lines(folder: Path, trial_id: int, log: str | None) -> list[str]:
    """The last lines of a trial's log, none if there is no such file.

    Only files in the folder of the run are read, whatever path is given.

    Parameters
    ----------
    folder
        Folder of the run.
    trial_id
        The trial.
    log
        The log that an event names; by default the standard error of the trial.
    """
    own = folder / str(trial_id) / STDERR_FILENAME
    # The folder may have been moved since.
    candidates = [own] if log is None else [Path(log), folder / str(trial_id) / Path(log).name, own]
    for path in candidates:
        if path.resolve().is_relative_to(folder.resolve()) and path.is_file():
            try:
                return _tail(path)
            except OSError:
                continue
    return []


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MOST_BYTES))
        content = file.read(_MOST_BYTES)
    text = _ESCAPES.sub("", content.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n"))
    lines = [line.rstrip()[:_MOST_CHARACTERS] for line in text.split("\n") if line.strip()]
    return lines[-_MOST_LINES:]
