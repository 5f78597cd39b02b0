"""Handles SIGTERM, which announces the end of a pre-empted machine, and SIGHUP, which a closed terminal sends."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from syne_hypersched._resent_signals import ResentSignal

EXIT_TERMINATED = 128 + signal.SIGTERM
"""Exit code of a tuner that was ended by SIGTERM, as a shell reports it."""

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Termination:
    """Turns the first SIGTERM or SIGHUP into an exception, so that the tuner ends as on Ctrl-C; later ones are ignored.

    Handlers that the user has set are kept, and so is an ignored SIGHUP (``nohup``). All handlers are kept if the tuner
    does not run in the main thread.
    """

    def __init__(self) -> None:
        #: Whether a signal was received.
        self.has_come = False
        self._installed: tuple[signal.Signals, ...] = ()
        self._resent: ResentSignal | None = None

    def install(self) -> None:
        """Installs the handlers."""
        if threading.current_thread() is not threading.main_thread():
            return
        free = tuple(signum for signum in _SIGNALS if signal.getsignal(signum) is signal.SIG_DFL)
        if free:
            self._installed = free
            self._listen()
            # The signal that was received is sent again.
            self._resent = ResentSignal(free[0], SystemExit, self._listen)
            self._resent.begin()

    def _listen(self) -> None:
        for signum in self._installed:
            signal.signal(signum, self._on_signal)

    def uninstall(self) -> None:
        """Restores the previous handlers, unless a signal was received: then the process is about to end."""
        if not self.has_come:
            for signum in self._installed:
                signal.signal(signum, signal.SIG_DFL)
        if self._resent is not None:
            self._resent.end()
        self._installed = ()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        # Nothing else is done here, because the tuner may hold any lock.
        self.has_come = True
        for each in self._installed:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + signum)
