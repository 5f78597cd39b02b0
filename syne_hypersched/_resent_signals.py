"""Sends a signal again if Python has swallowed its exception.

The handler of a signal raises an exception wherever the main thread is. In a destructor, or in a callback of the
garbage collector or of a weak reference, Python prints the exception as ignored, and the program continues as if there
had been no Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: So many seconds after the hook, the destructor has probably returned. If not, the signal is sent once more.
_PAUSE_S = 0.01


class ResentSignal:
    """Watches for a swallowed exception of one signal.

    Parameters
    ----------
    signum
        The signal.
    exception
        The exception that its handler raises.
    prepare
        Called in the main thread before the signal is sent again.
    """

    def __init__(self, signum: int, exception: type[BaseException], prepare: Callable[[], object] = bool) -> None:
        self._signum = signum
        self._exception = exception
        self._prepare = prepare
        self._before: Callable[[UnraisableHookArgs], object] | None = None
        #: Whether the main thread is in the hook, and whether a signal must be sent again.
        self._is_hearing = self._is_pending = False

    def begin(self) -> None:
        """Begins to watch for the exception. Does nothing outside the main thread, or at a second call."""
        if self._before is None and threading.current_thread() is threading.main_thread():
            self._before, sys.unraisablehook = sys.unraisablehook, self._hear

    def end(self) -> None:
        """Ends the watch. Any thread may call it."""
        if sys.unraisablehook == self._hear and self._before is not None:
            sys.unraisablehook, self._before = self._before, None

    def __getstate__(self) -> dict[str, object]:
        # Another process has its own hook.
        return {**self.__dict__, "_before": None, "_is_hearing": False, "_is_pending": False}

    def _hear(self, unraisable: UnraisableHookArgs) -> object:
        main = threading.main_thread()
        if not issubclass(unraisable.exc_type, self._exception) or threading.current_thread() is not main:
            return (self._before or sys.__unraisablehook__)(unraisable)
        # The signal is not sent here, where it would be swallowed again, like any signal that arrives now.
        while True:
            self._is_hearing = True
            try:
                self._prepare()
                if not self._is_pending:  # otherwise two signals would be sent, and the second would disturb the end
                    threading.Thread(target=self._send, name="resent signal", daemon=True).start()
            except self._exception:
                continue
            finally:
                self._is_hearing = False
            return None

    def _send(self) -> None:
        self._is_pending = True
        while self._is_hearing:  # this happens on a busy machine
            time.sleep(_PAUSE_S)
        time.sleep(_PAUSE_S)
        self._is_pending = False
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, self._signum)
