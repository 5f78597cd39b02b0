"""What reports a line of a log holds, whatever else is printed before, between and behind them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

#: What stands before every report. Syne Tune's own constants are not imported: that takes a third of a second, which
#: the processes that watch trials have no use for. A test compares.
TAG = b"[tune-metric]: "
_TAG = TAG.decode()
#: What Syne Tune's reporter adds to a report. Other names with this prefix are for the tuner to give.
_RESERVED = "st_"
OF_REPORTER = frozenset({"st_worker_cost", "st_worker_iter", "st_worker_time", "st_worker_timestamp"})
#: Integers of so many digits are within the range of a float.
_MAX_DIGITS = 300
#: Characters before a tag that are cut off once there are so many: an error counts all lines before it.
_MAX_BEFORE = 4096


@dataclass(frozen=True, slots=True)
class RawReport:
    """A report as the script has printed it."""

    values: dict[str, Any]
    """Its entries, without those whose names are the tuner's to give (``st_tuner_time``...)."""

    end: int
    """Bytes of the log up to the end of its text. When the log had so many bytes, the report was made."""


@dataclass(frozen=True, slots=True)
class LineReports:
    """What was found in a line."""

    reports: tuple[RawReport, ...]
    """The whole reports, in order."""

    torn: bytes | None
    """The beginning of the first report that is not whole, if there is one."""

    used: int
    """Bytes of the line that need not be looked at again."""

    waits: bool = False
    """Whether a report begins behind them that may be in the middle of being written."""


def reports_of(line: bytes, begin: int = 0, is_whole: bool = True) -> LineReports:
    """The reports in a line, in order, and whether there is one that is torn.

    An integer too large for a float is infinite, and half a surrogate pair is a question mark, so that whoever
    calculates with a report or writes it down can.

    Parameters
    ----------
    line
        The line, or the part of it that has been written so far. Cut what is before its first tag, if it is long.
    begin
        Bytes of the log before it.
    is_whole
        Whether nothing is added to it any more. Else a report that cannot be read yet may be in the middle of being
        written.
    """
    # Each byte is a character, so that positions in the text are positions in the line.
    text, cut = line.decode("latin-1"), 0
    found: list[RawReport] = []
    torn: bytes | None = None
    position = 0
    # No regular expression: a line of a megabyte full of tags would take it hours.
    while (tag := text.find(_TAG, position)) >= 0:
        if tag > _MAX_BEFORE:
            text, cut, tag = text[tag:], cut + tag, 0
        values, end = _parse(text, tag + len(_TAG), line, cut)
        if values is not None:
            found.append(RawReport(values, begin + cut + end))
            position = end
        elif not is_whole:
            return LineReports(tuple(found), torn, cut + tag, waits=True)
        else:
            torn = torn or line[cut + tag : cut + tag + 200]
            position = tag + len(_TAG)
    return LineReports(tuple(found), torn, len(line) if is_whole else cut + position)


def _parse(text: str, begin: int, line: bytes, cut: int) -> tuple[dict[str, Any] | None, int]:
    """The report that begins at a position of the text, and where it ends."""
    if text[begin : begin + 1] != "{":
        return None, begin
    try:
        report, end = _DECODER.raw_decode(text, begin)
        written = line[cut + begin : cut + end]
        if not written.isascii():
            report = _DECODER.decode(written.decode(errors="replace"))
        if b"\\u" in written:
            report = _DECODER.decode(json.dumps(report, ensure_ascii=False).encode(errors="replace").decode())
    except (ValueError, RecursionError):
        return None, begin
    # All reports share their names in memory: thousands of trials report the same ones.
    values = {
        sys.intern(name): value
        for name, value in report.items()
        if not name.startswith(_RESERVED) or name in OF_REPORTER
    }
    return values, end


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)
