"""Names and values in pictures of matplotlib, with any characters."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from syne_hypersched._terminal_text import plain


def picture_text(text: object) -> str:
    r"""A text as a part of a line of a picture; a dollar is a dollar and begins no formula.

    Example
    -------
    >>> picture_text("loss $")
    'loss \\$'
    """
    return plain(text).replace("$", r"\$")


@contextlib.contextmanager
def without_missing_glyphs() -> Iterator[None]:
    """A character that the font lacks is an empty box, and no warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from ", category=UserWarning)
        yield
