"""Tells the user how to resume an experiment: at an interruption, and once in a long run that cannot be resumed."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from syne_tune.util import experiment_path

from syne_hypersched.filenames import EVENTS_FILENAME, JOURNAL_DIRNAME, SEGMENT

logger = logging.getLogger(__name__)

#: A tuning of at least this length gets the advice at its start; one of unknown length gets it after this time. It
#: costs little then to start it again with a journal.
LONG_S = 600.0
UNKNOWN_S = 300.0

_NOT_BEGUN = "It had not begun: start it again."


def how_to_go_on(folder: Path, can_resume: bool = True, in_notebook: bool = False) -> str:
    """How to resume an interrupted experiment, in one or two sentences.

    Parameters
    ----------
    folder
        Folder of the experiment.
    can_resume
        Whether experiments of its backend can be resumed.
    in_notebook
        Whether the text is for a notebook, so that it names a call instead of a command.
    """
    if (folder / JOURNAL_DIRNAME).is_dir():
        if not _has_begun(folder / JOURNAL_DIRNAME):
            return _NOT_BEGUN
        name = _name(folder)
        how = f"resume_experiment({name!r})" if in_notebook else f"hypersched resume {shlex.quote(name)}"
        return f"To go on with it: {how}"
    results = f"Results are in {folder}."
    if not can_resume:
        return results
    if not (folder / EVENTS_FILENAME).exists():  # it may have been to get a Journal
        return _NOT_BEGUN
    return f"{results} It cannot be resumed, because no Journal was kept: next time Tuner(..., callbacks=[Journal()])"


def _has_begun(journal: Path) -> bool:
    with os.scandir(journal) as entries:
        return any(SEGMENT.fullmatch(entry.name) and entry.stat().st_size for entry in entries)


def _name(folder: Path) -> str:
    """What names the experiment to this package: its name, or its folder where experiments are not all kept."""
    return folder.name if Path(experiment_path(tuner_name=folder.name)) == folder else str(folder)


@contextmanager
def telling_how_to_go_on(folder: Path, can_resume: bool = True, grace_s: float = 0.0) -> Iterator[None]:
    """Surrounds the end of a tuning.

    If the tuning ends by Ctrl-C or SIGTERM, the last output tells the user how to
    resume it.

    The tuner lets the interruption pass through. Python then prints a traceback, whose last line becomes the sentence;
    a notebook prints the sentence alone, since thirty lines of the tuner's traceback are of no help.

    A SIGTERM or SIGHUP that comes meanwhile, and would end the process at once, waits until the end: the trials are
    ending already, and ``best/`` is to be brought up to date. A Ctrl-C does not wait.

    Parameters
    ----------
    folder, can_resume
        As in :func:`how_to_go_on`.
    grace_s
        Seconds that the trials have to end.
    """
    interruption = sys.exc_info()[1]
    if isinstance(interruption, KeyboardInterrupt) and grace_s > 0:
        logger.warning("Interrupted: the trials have %g s to checkpoint and exit.", grace_s)
    with _PostponedSignals() as postponed:
        try:
            yield
        except KeyboardInterrupt as again:
            _explain(again, folder, can_resume)
            raise
    if postponed.first is None or isinstance(interruption, SystemExit):
        _explain(interruption, folder, can_resume)
        return
    termination = SystemExit(128 + postponed.first)
    _explain(termination, folder, can_resume)
    raise termination


class _PostponedSignals:
    """Notes a SIGTERM or SIGHUP, if it would end the process. Does nothing in another thread than the main one."""

    def __init__(self) -> None:
        self.first: int | None = None
        self._handled: list[signal.Signals] = []

    def __enter__(self) -> _PostponedSignals:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(signum) is signal.SIG_DFL:
                    self._handled.append(signum)
                    signal.signal(signum, self._note)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        for signum in self._handled:
            signal.signal(signum, signal.SIG_DFL)
        if error is not None and self.first is not None:
            raise SystemExit(128 + self.first) from error

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.first = self.first or signum


def _explain(interruption: BaseException | None, folder: Path, can_resume: bool) -> None:
    sentence = how_to_go_on(folder, can_resume)
    if isinstance(interruption, SystemExit) and (folder / JOURNAL_DIRNAME).is_dir():
        logger.warning("The tuning was terminated. %s", sentence)
    if not isinstance(interruption, KeyboardInterrupt):
        return
    in_notebook = f"The tuning was interrupted. {how_to_go_on(folder, can_resume, in_notebook=True)}"
    sentence = f"The tuning was interrupted. {sentence}"
    if sys.version_info >= (3, 11):
        interruption.add_note(sentence)
    else:
        logger.warning("%s", sentence)
    # IPython prints these lines for an exception that has them.
    interruption._render_traceback_ = lambda: [f"KeyboardInterrupt: {in_notebook}"]  # type: ignore[attr-defined]


class ResumeHint:
    """Says once of a long tuning that it cannot be resumed."""

    def __init__(self) -> None:
        self._has_looked = False

    def look(self, folder: Path, time_s: float, deadline_s: float | None) -> None:
        """To be called now and then.

        Parameters
        ----------
        folder
            Folder of the experiment.
        time_s
            Seconds since the tuning started.
        deadline_s
            Its deadline, if there is one.
        """
        is_time = time_s >= UNKNOWN_S if deadline_s is None else deadline_s >= LONG_S
        if self._has_looked or not is_time:
            return
        self._has_looked = True
        if not (folder / JOURNAL_DIRNAME).is_dir():
            length = "a tuning without a deadline" if deadline_s is None else f"{deadline_s:.0f} s of tuning"
            logger.warning(
                "If this process dies, %s cannot be resumed: no Journal is kept. Tuner(..., callbacks=[Journal()]) "
                "keeps one, and stores the results as StoreResultsCallback does.", length,
            )  # fmt: skip
