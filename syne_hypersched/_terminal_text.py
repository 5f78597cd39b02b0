"""Foreign texts in lines of a terminal: names, values, reasons and lines of logs, with any characters."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

#: Colours, movements of the cursor, titles and links, as terminals know them.
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
#: Control characters, separators of lines and paragraphs, halves of pairs, and private ones of no font.
_NO_TEXT = frozenset(("Cc", "Zl", "Zp", "Cs", "Cn"))
#: What turns the direction of the text around it.
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RIGHT_TO_LEFT = frozenset(("R", "AL"))
#: Between these, a text has a direction of its own, which changes nothing around it.
_BEGIN, _END = "\u2068", "\u2069"


def is_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal; False without a stream, for a closed one, and for other objects."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):
        return False


def shown(value: object) -> str:
    r"""A text as a part of a line: nothing in it moves the cursor, sets colours, breaks the line or turns it round.

    Parameters
    ----------
    value
        The text. Control characters are written as in Python. A text that is read from right to left gets invisible
        marks around it, so that what stands beside it stays where it is.

    Example
    -------
    >>> shown("val_loss"), shown("two\\nlines"), shown("\\x1b[31mred"), shown(7)
    ('val_loss', 'two\\\\nlines', '\\\\x1b[31mred', '7')
    """
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    text = plain(text)
    return f"{_BEGIN}{text}{_END}" if any(unicodedata.bidirectional(one) in _RIGHT_TO_LEFT for one in text) else text


def plain(value: object) -> str:
    """As :func:`shown`, without the marks around a text that is read from right to left."""
    text = str(value)
    return text if text.isascii() and text.isprintable() else "".join(_escaped(one) for one in text)


def shown_lines(text: str) -> str:
    r"""Lines of text in which nothing moves the cursor or sets colours.

    Example
    -------
    >>> shown_lines("two\\nlines,\\x1b[2J")
    'two\\nlines,\\\\x1b[2J'
    """
    if all(line.isascii() and line.isprintable() for line in text.split("\n")):
        return text
    return "".join(one if one == "\n" or one in (_BEGIN, _END) else _escaped(one) for one in text)


def plain_log(text: str) -> str:
    r"""Lines of a log as plain text: without colours and movements of the cursor, and with blanks for tabs.

    Example
    -------
    >>> plain_log("\x1b[31mred\x1b[0m\x00")
    'red\\x00'
    """
    text = _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")  # progress bars begin lines anew
    return shown_lines(text.expandtabs(4))


def width(text: str) -> int:
    r"""How many columns of a terminal a text takes.

    Example
    -------
    >>> width("loss"), width("損失"), width("e\\u0301")
    (4, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(_width(one) for one in text)


def left(text: str, columns: int) -> str:
    """The text at the left of so many columns."""
    return text + " " * (columns - width(text))


def right(text: str, columns: int) -> str:
    """The text at the right of so many columns."""
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
