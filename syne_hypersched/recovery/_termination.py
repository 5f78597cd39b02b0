"""SIGTERM to the tuner, which announces the end of a pre-empted machine, and SIGHUP, of a closed terminal."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from syne_hypersched._resent_signals import ResentSignal

EXIT_TERMINATED = 128 + signal.SIGTERM
"""Exit code of a tuner that was ended by SIGTERM, as a shell would give it; that of SIGHUP is made likewise."""

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Termination:
    """Turns the first SIGTERM or SIGHUP into an exception, so that the tuner ends as on Ctrl-C; later ones are ignored.

    A handler of the user's own is left alone, as is a SIGHUP that is ignored (``nohup``), and so are all where the
    tuner does not run in the main thread.
    """

    def __init__(self) -> None:
        #: Whether one has come.
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
            # Whichever has come: one is sent again.
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
        # Nothing else is done here, where the tuner may be holding any lock.
        self.has_come = True
        for each in self._installed:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + signum)
