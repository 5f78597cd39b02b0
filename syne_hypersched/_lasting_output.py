"""Lets a tuning survive the loss of its standard output: a closed pipe or terminal, or a log on a full disk."""

from __future__ import annotations

import contextlib
import errno
import inspect
import logging
import sys
from typing import Any

from syne_hypersched._console import drop_output

logger = logging.getLogger(__name__)

#: Errors after which nothing can be written any more: reader or terminal are gone. A full disk may have room again.
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
#: After this message, the tuner prints its last table by itself.
_END = "print_tuning_complete"


def outlive_output(tuner: Any) -> None:
    """Makes a tuner that begins continue if its messages cannot be printed.

    Syne Tune itself would end the tuning, without stopping the trials.
    """
    messages = getattr(tuner, "output_logger", None)
    if not hasattr(messages, "__dict__"):
        return
    output = _LostOutput()
    for name in dir(messages):
        if name.startswith("print_") and not isinstance(vars(messages).get(name), _Message):
            setattr(messages, name, _Message(messages, name, output))


class _LostOutput:
    """Warns once that messages cannot be printed."""

    def __init__(self) -> None:
        self._has_warned = False

    def fails(self, error: OSError) -> None:
        """Handles a message that could not be printed."""
        if error.errno in _GONE:
            drop_output()  # otherwise the next printed line would end the tuning
        if not self._has_warned:
            self._has_warned = True
            logger.warning("The tuner's messages cannot be printed (%s); the tuning goes on.", error.strerror or error)

    def check(self) -> None:
        """Makes sure that the next output can be printed."""
        try:
            with contextlib.suppress(AttributeError, ValueError):  # an object that can only write, or a closed one
                sys.stdout.flush()
        except OSError as error:
            self.fails(error)
            drop_output()


class _Message:
    """A method of the tuner's logger, which can be stored with the tuner."""

    def __init__(self, messages: Any, name: str, output: _LostOutput) -> None:
        self._messages, self._name, self._output = messages, name, output
        #: A function that replaced the method of the logger's class before.
        self._own = vars(messages).get(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        method = self._own
        if method is None:
            # Not through the instance, which has this object under that name.
            kind = type(self._messages)
            method = inspect.getattr_static(kind, self._name).__get__(self._messages, kind)
        try:
            return method(*args, **kwargs)
        except OSError as error:
            self._output.fails(error)
            if self._name == _END:
                drop_output()
        finally:
            if self._name == _END:
                self._output.check()
        return None
