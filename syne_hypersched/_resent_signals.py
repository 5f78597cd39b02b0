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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: So many seconds after the hook, the destructor has probably returned. If not, the signal is sent once more.
_PAUSE_S = 0.01

#: Held while the hook of the interpreter is replaced. The threads that watch two tuners may do so at one moment.
_REPLACING = threading.Lock()


class ResentSignal:
    """Watches for a swallowed exception of one signal.

    Several may look at the same time, for instance those of a tuner that has just ended and of the next one. They may
    end in any order.

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
        self._has_ended = False
        #: Whether the main thread is in the hook.
        self._is_hearing = False
        #: How many signals were lost, and how many of these are answered by those that were sent again. Each is changed
        #: only by who holds the lock: the first one by the main thread, the second one by the threads that send.
        self._num_lost = self._num_answered = 0
        self._sending = threading.RLock()  # the garbage collector may run a destructor in the hook

    def begin(self) -> None:
        """Begins to watch for the exception. Does nothing outside the main thread, or at a second call."""
        if threading.current_thread() is threading.main_thread():
            with _REPLACING:
                self._has_ended = False
                if self._before is None:
                    self._before, sys.unraisablehook = sys.unraisablehook, self._hear

    def end(self) -> None:
        """Ends the watch. Any thread may call it."""
        with _REPLACING:
            self._has_ended = True
            later, last = None, _watch_of(sys.unraisablehook)
            while last is not None:  # those that began later may go on
                before = last._before or sys.__unraisablehook__
                if last._has_ended:
                    last._before = None
                    if later is None:
                        sys.unraisablehook = before
                    else:
                        later._before = before
                else:
                    later = last
                last = _watch_of(before)

    def __getstate__(self) -> dict[str, Any]:
        # Another process has its own hook.
        return {name: self.__dict__[name] for name in ("_signum", "_exception", "_prepare")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ResentSignal.__init__(self, state["_signum"], state["_exception"], state["_prepare"])

    def _hear(self, unraisable: UnraisableHookArgs) -> object:
        main = threading.main_thread()
        is_other = not issubclass(unraisable.exc_type, self._exception) or threading.current_thread() is not main
        if is_other or self._has_ended:
            return (self._before or sys.__unraisablehook__)(unraisable)
        # The signal is not sent here, where it would be swallowed again, like any signal that arrives now.
        while True:
            self._is_hearing = True
            try:
                self._prepare()
                with self._sending:
                    self._num_lost += 1
                # Each has a thread of its own: if an exception comes here, it is unknown whether one was started.
                threading.Thread(target=self._send, args=(self._num_lost,), name="resent signal", daemon=True).start()
            except self._exception:
                continue
            finally:
                self._is_hearing = False
            return None

    def _send(self, number: int) -> None:
        while self._is_hearing:  # this happens on a busy machine
            time.sleep(_PAUSE_S)
        time.sleep(_PAUSE_S)
        main = threading.main_thread().ident
        # One for all that were lost before is enough, and a second one would disturb the end. The hook counts none
        # while this thread has the lock: what it counts afterwards may be this one, which was lost again.
        with self._sending:
            if self._num_answered < number and main is not None:
                self._num_answered = self._num_lost
                signal.pthread_kill(main, self._signum)


def _watch_of(hook: object) -> ResentSignal | None:
    """The watch whose hook this is, if there is one."""
    watch = getattr(hook, "__self__", None)
    return watch if isinstance(watch, ResentSignal) else None
