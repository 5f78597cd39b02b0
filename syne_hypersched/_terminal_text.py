"""Makes foreign texts safe for a terminal: names, values, reasons and lines of logs, with any characters."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

#: Escape sequences of terminals: colours, cursor movements, titles and links.
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
#: Unicode categories of characters that are not text: control, line and paragraph separators, surrogates, unassigned.
_NO_TEXT = frozenset(("Cc", "Zl", "Zp", "Cs", "Cn"))
#: Characters that change the direction of the text around them.
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RIGHT_TO_LEFT = frozenset(("R", "AL"))
#: Between these marks, a text has its own direction, without an effect on the text around it.
_BEGIN, _END = "\u2068", "\u2069"


def is_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal; False if the stream is None, closed, or another object."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):
        return False


def shown(value: object) -> str:
    r"""A text as a part of a line. It cannot move the cursor, set colours, break the line or change its direction.

    Parameters
    ----------
    value
        The text. Control characters are written as in Python. A text that is read from right to left gets invisible
        marks around it, so that the text beside it keeps its place.

    Example
    -------
    >>> shown("val_loss"), shown("two\nlines"), shown("\x1b[31mred"), shown(7)
    ('val_loss', 'two\\nlines', '\\x1b[31mred', '7')
    """
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    text = plain(text)
    return f"{_BEGIN}{text}{_END}" if any(unicodedata.bidirectional(one) in _RIGHT_TO_LEFT for one in text) else text


def plain(value: object) -> str:
    """The same as :func:`shown`, without the marks around a text that is read from right to left."""
    text = str(value)
    return text if text.isascii() and text.isprintable() else "".join(_escaped(one) for one in text)


def shown_lines(text: str) -> str:
    r"""Lines of text that cannot move the cursor or set colours.

    Example
    -------
    >>> shown_lines("two\nlines,\x1b[2J")
    'two\nlines,\\x1b[2J'
    """
    if all(line.isascii() and line.isprintable() for line in text.split("\n")):
        return text
    return "".join(one if one == "\n" or one in (_BEGIN, _END) else _escaped(one) for one in text)


def plain_log(text: str) -> str:
    r"""Lines of a log as plain text, without colours and cursor movements, and with blanks in place of tabs.

    Example
    -------
    >>> plain_log("\x1b[31mred\x1b[0m\x00")
    'red\\x00'
    """
    text = _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")  # progress bars rewrite their line
    return shown_lines(text.expandtabs(4))


def width(text: str) -> int:
    r"""Number of terminal columns that a text takes.

    Example
    -------
    >>> width("loss"), width("損失"), width("e\u0301")
    (4, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(_width(one) for one in text)


def left(text: str, columns: int) -> str:
    """The text, aligned left in so many columns."""
    return text + " " * (columns - width(text))


def right(text: str, columns: int) -> str:
    """The text, aligned right in so many columns."""
    return " " * (columns - width(text)) + text


def _escaped(one: str) -> str:
    if one in _SHORT:
        return _SHORT[one]
    if one in _TURNS or unicodedata.category(one) in _NO_TEXT:
        return one.encode("unicode_escape").decode("ascii")
    return one


def _width(one: str) -> int:
    if unicodedata.category(one) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(one) in ("W", "F") else 1
