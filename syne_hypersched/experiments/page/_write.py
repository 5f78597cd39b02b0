"""The page of a run as one file that needs nothing else."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from syne_hypersched import checks
from syne_hypersched._console import cannot
from syne_hypersched.experiments.page._data import PageData, encode
from syne_hypersched.experiments.page._html import render
from syne_hypersched.experiments.page._reader import RunReader
from syne_hypersched.filenames import PAGE_FILENAME


def write_page(path: Path | str, output: Path | str | None = None, time_attr: str | None = None) -> Path:
    """Writes a page that shows a run: charts, tables, decisions with their reasons, failures.

    The page holds everything that it needs, loads nothing, and can be sent to others. It has the configurations of the
    trials and the last lines of the logs of those that failed.

    Parameters
    ----------
    path
        The experiment's folder or name. It may be finished, running, killed or simulated.
    output
        File to be written; by default ``run.html`` in the experiment's folder or, if nothing can be written there, in a
        new temporary one.
    time_attr
        Entry of the results that is the resource level; by default the scheduler's own.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    FileNotFoundError, ValueError
        The run cannot be read, as in :func:`~syne_hypersched.experiments.load_run`, or ``output`` has no name, or
        is in a folder that does not exist.
    ModuleNotFoundError
        plotly is not installed.
    OSError
        ``output`` cannot be written; a file that was there before is still whole.
    """
    if output is not None:
        output = checks.output_file_in_place("output", output)
    reader = RunReader(path, time_attr)
    reader.update()
    page = render(reader.path.name, encode(PageData(reader).collect()))
    if output is not None:
        return _write(output if output.suffix else output.with_name(f"{output.name}.html"), page)
    try:
        return _write(reader.path / PAGE_FILENAME, page)
    except OSError:
        return _write(Path(tempfile.mkdtemp(prefix=f"{reader.path.name}-")) / PAGE_FILENAME, page)


def print_page(path: Path | str, output: Path | None = None, time_attr: str | None = None) -> int:
    """Writes the page of a run and prints where it is, or on the standard error why there is none.

    Parameters
    ----------
    path
        The experiment's folder or name. It may be finished, running, killed or simulated.
    output
        File to be written; by default ``run.html`` in the experiment's folder.
    time_attr
        Entry of the results that is the resource level; by default the scheduler's own.

    Returns
    -------
    int
        Exit code: 0, or 2 if the run cannot be read, the page cannot be written, or plotly is not installed.
    """
    try:
        page = write_page(path, output, time_attr)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        print(cannot("report on", path, error, path="RUN", output="--html"), file=sys.stderr)
        return 2
    print(f"page: {page}")
    return 0


def _write(path: Path, page: str) -> Path:
    aside = path.with_name(f".{path.name}.new")
    try:
        # Like the logs that it quotes, it is for the user alone until the user sends it to others.
        with open(
            os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(page)
        os.replace(aside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError):  # the user knows nothing of the other file
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    return path
