"""Finds the reports in a line of a log that may contain other text."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, TypeGuard

#: The tag before every report. Syne Tune's own constants are not imported, since the import takes a third of a second
#: in each process that watches a trial. A test compares the values.
TAG = b"[tune-metric]: "
_TAG = TAG.decode()
#: Prefix of the numeric entries that Syne Tune's reporter adds to a report. An entry with an invalid value is ignored.
#: Other names with this prefix are reserved for the tuner.
_RESERVED = "st_"
OF_REPORTER = frozenset({"st_worker_cost", "st_worker_iter", "st_worker_time", "st_worker_timestamp"})
#: Name of an entry that the tuner sets in every result, and the prefix for a script's entry of that name.
TRIAL_ID, REPORTED = "trial_id", "reported_"
#: Integers with at most this many digits are in the range of a float.
_MAX_DIGITS = 300
#: Longer text before a tag is cut off to this length, since an error of the JSON parser counts its lines.
_MAX_BEFORE = 4096


@dataclass(frozen=True, slots=True)
class RawReport:
    """A report as the script printed it."""

    values: dict[str, Any]
    """The entries of the report, without those that are reserved for the tuner (``st_tuner_time``...).

    An entry ``trial_id`` is stored as ``reported_trial_id``."""

    end: int
    """Number of bytes of the log up to the end of the report. The report exists once the log has this size."""


@dataclass(frozen=True, slots=True)
class LineReports:
    """The reports found in a line."""

    reports: tuple[RawReport, ...]
    """The whole reports, in order."""

    torn: bytes | None
    """The beginning of the first incomplete report, if there is one."""

    used: int
    """Number of bytes of the line that need not be read again."""

    waits: bool = False
    """Whether a report begins after these bytes that may not be complete yet."""


def reports_of(line: bytes, begin: int = 0, is_whole: bool = True) -> LineReports:
    """The reports in a line, in order, and whether the line has an incomplete one.

    An integer too large for a float becomes infinite, and half of a surrogate pair becomes a question mark. So every
    report can be used in computations and written to files.

    Parameters
    ----------
    line
        The line, or the part of it that was written so far. If the text before the first tag is long, cut it off.
    begin
        Number of bytes of the log before the line.
    is_whole
        Whether the line is complete. If not, a report that cannot be read may be unfinished.
    """
    # One character for each byte, so that positions in the text are positions in the line.
    text, cut = line.decode("latin-1"), 0
    found: list[RawReport] = []
    torn: bytes | None = None
    position = 0
    # No regular expression is used: on a line of a megabyte full of tags, it would take hours.
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
    """The report that begins at a position of the text, and the position of its end."""
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
    if TRIAL_ID in report:
        kept_as = free_name(TRIAL_ID, report)
        report[kept_as] = report.pop(TRIAL_ID)
    # All reports share their names in memory, since thousands of trials report the same names.
    values = {
        sys.intern(name): value
        for name, value in report.items()
        if not name.startswith(_RESERVED) or (name in OF_REPORTER and is_finite(value))
    }
    return values, end


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether an entry of a report is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def free_name(name: str, taken: Container[str]) -> str:
    """The name; with ``reported_`` before it if it is taken."""
    while name in taken:
        name = f"{REPORTED}{name}"
    return name


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)
