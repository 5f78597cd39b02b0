"""The message for a missing library: it names the feature and the extra that installs the library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Context manager for imports of optional libraries.

    Parameters
    ----------
    what
        The feature that needs the libraries.
    extra
        The extra of this package that installs the libraries.

    Raises
    ------
    ModuleNotFoundError
        A library is not installed; the message tells how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None:  # the library is installed, but fails for another reason
            raise
        message = f'{what} needs {error.name}, which is not installed: pip install "syne-hypersched[{extra}]"'
        raise ModuleNotFoundError(message, name=error.name, path=error.path) from None
