"""Texts with any characters in matplotlib pictures."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from syne_hypersched._terminal_text import plain


def picture_text(text: object) -> str:
    r"""A text as a part of a line in a picture. A dollar sign stays a dollar sign and does not begin a formula.

    Example
    -------
    >>> picture_text("loss $")
    'loss \\$'
    """
    return plain(text).replace("$", r"\$")


@contextlib.contextmanager
def without_missing_glyphs() -> Iterator[None]:
    """Draws an empty box for a character that the font lacks, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from ", category=UserWarning)
        yield
