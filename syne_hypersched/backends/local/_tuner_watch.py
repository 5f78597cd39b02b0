"""Notices a tuner that has ended without stopping its trials."""

from __future__ import annotations

import atexit
import logging
import signal
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from syne_hypersched._lasting_output import outlive_output
from syne_hypersched._resent_signals import ResentSignal
from syne_hypersched._storing import store_safely_to_the_end
from syne_hypersched.backends.shared.interruption import how_to_go_on
from syne_hypersched.backends.shared.tuner_run import run_of_tuner

logger = logging.getLogger(__name__)

#: Seconds from one look to the next.
PERIOD_S = 1.0


class TunerWatch:
    """Stops the trials of a tuner whose ``run`` has ended, and has not stopped them itself.

    Syne Tune's tuner stores its results and itself before it stops the trials. If that raises, as on a full disk, or is
    interrupted by another Ctrl-C, it never gets to it. In a program the trials end with the process; in a notebook they
    would train on and hold their devices, without any control. A program says at its end how to go on, since the end of
    the trials, which says it otherwise, was not reached.

    Parameters
    ----------
    stop
        Stops the trials.
    has_trials
        Whether there are any that run.
    is_open
        Whether the experiment is not ended yet, although no trial runs.
    """

    #: The run that waits for its first trial. Objects that earlier versions stored lack it.
    _holder: FrameType | None = None

    def __init__(self, stop: Callable[[], None], has_trials: Callable[[], bool], is_open: Callable[[], bool]) -> None:
        self._stop = stop
        self._has_trials = has_trials
        self._is_open = is_open
        self._run: FrameType | None = None
        self._folder: Path | None = None

    def hold(self, release: Callable[[], None]) -> None:
        """Calls ``release`` in a thread if the tuner that runs in this thread ends without a trial.

        If the start of a callback raises, and then the end of one, too, Syne Tune does not get to stop the trials.
        """
        run = run_of_tuner()
        if run is not None and run not in (self._run, self._holder):
            self._holder = run
            name = "syne-hypersched-hold"
            threading.Thread(target=self._watch_start, args=(run, release), name=name, daemon=True).start()

    def _watch_start(self, run: FrameType, release: Callable[[], None]) -> None:
        ended = threading.Event()  # never set: it lets this thread sleep
        while self._run is not run and is_running(run):
            ended.wait(PERIOD_S)
        if self._holder is run:
            self._holder = None
            if self._run is None:
                release()

    def begin(self, num_devices: int, per_trial: int) -> None:
        """Watches the tuner that runs in this thread, if one does and it is not watched yet.

        A full disk or a lost standard output will be no reason for it to end, whatever callbacks it has. Ctrl-C will be
        one, whatever it does.

        Raises
        ------
        ValueError
            The tuner has more workers than there can be trials on the devices.
        """
        run = run_of_tuner()
        if run is not None and run is not self._run:
            tuner = run.f_locals["self"]
            if tuner.n_workers > num_devices // per_trial:
                raise ValueError(
                    f"n_workers must be at most {num_devices // per_trial} with {num_devices} devices and {per_trial} "
                    f"per trial, but got {tuner.n_workers!r}"
                )
            self._run, self._folder = run, Path(tuner.tuner_path)
            _begun.add(self)
            store_safely_to_the_end(tuner)
            outlive_output(tuner)
            ctrl_c = ResentSignal(signal.SIGINT, KeyboardInterrupt)
            ctrl_c.begin()
            threading.Thread(target=self._watch, args=(run, ctrl_c), name="syne-hypersched-watch", daemon=True).start()

    def _watch(self, run: FrameType, ctrl_c: ResentSignal) -> None:
        ended = threading.Event()  # never set: it lets this thread sleep
        while is_running(run):
            ended.wait(PERIOD_S)
        ctrl_c.end()
        if self._run is not run:
            return  # another tuner has taken over the trials
        self._run = self._folder = None
        has_trials = self._has_trials()
        if has_trials:
            logger.warning(
                "The tuner has ended without stopping its trials: they are asked to checkpoint and exit now."
            )
        if has_trials or self._is_open():
            self._stop()

    def tell(self) -> None:
        """Tells how to go on if this process ends before the experiment has."""
        folder = self._folder
        if folder is not None and self._is_open():
            logger.warning("The tuning was interrupted. %s", how_to_go_on(folder))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_run": None, "_holder": None}


#: All that have watched a tuner. A thread must not remove an exit function, since the main thread may be calling it.
_begun: weakref.WeakSet[TunerWatch] = weakref.WeakSet()


@atexit.register
def _tell() -> None:
    for watch in list(_begun):
        watch.tell()


def is_running(frame: FrameType) -> bool:
    """Whether a call has not returned or raised yet; if it has, its local variables are dropped.

    The frames of another thread must not be followed by ``f_back`` while it runs: Python 3.11 may crash.
    """
    try:
        frame.clear()
    except RuntimeError:
        return True
    return False
