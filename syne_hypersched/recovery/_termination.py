"""SIGTERM to the tuner, which announces the end of a pre-empted machine."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from syne_hypersched._resent_signals import ResentSignal

EXIT_TERMINATED = 128 + signal.SIGTERM
"""Exit code of a tuner that was ended by SIGTERM, as a shell would give it."""


class Termination:
    """Turns the first SIGTERM into an exception, so that the tuner ends as on Ctrl-C; later ones are ignored.

    A handler of the user's own is left alone, and so are all where the tuner does not run in the main thread.
    """

    def __init__(self) -> None:
        #: Whether SIGTERM has come.
        self.has_come = False
        self._installed = False
        self._resent: ResentSignal | None = None

    def install(self) -> None:
        """Installs the handler of SIGTERM."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._listen()
            self._resent = ResentSignal(signal.SIGTERM, SystemExit, self._listen)
            self._resent.begin()
            self._installed = True

    def _listen(self) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)

    def uninstall(self) -> None:
        """Restores the previous handler, unless SIGTERM was received: then the process is about to end."""
        if self._installed and not self.has_come:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._installed and self._resent is not None:
            self._resent.end()
        self._installed = False

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        # Nothing else is done here, where the tuner may be holding any lock.
        self.has_come = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(EXIT_TERMINATED)
