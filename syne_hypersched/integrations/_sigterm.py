"""Records whether this process was asked to exit."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Sigterm:
    """Records SIGTERM instead of ending the process."""

    def __init__(self) -> None:
        self.has_come = False
        self._before: Any = None
        self._listens = False

    def listen(self) -> None:
        """Replaces the handler of SIGTERM. Does nothing outside the main thread."""
        if threading.current_thread() is threading.main_thread() and not self._listens:
            self._before = signal.signal(signal.SIGTERM, self._on_sigterm)
            self._listens = True

    def close(self) -> None:
        """Restores the handler that SIGTERM had before."""
        if self._listens and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._before is None else self._before)
            self._listens = False

    def _on_sigterm(self, signum: int, frame: object) -> None:
        self.has_come = True
