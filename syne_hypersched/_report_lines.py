"""Finds the reports in a line of a log that may contain other text."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, TypeGuard

#: The tag before every report. Syne Tune's own constants are not imported, since that takes a third of a second in each
#: process that watches a trial. A test compares the values.
TAG = b"[tune-metric]: "
_TAG = TAG.decode()
#: Entries that Syne Tune's reporter adds to a report, numbers; what is none is left out, as if it were not there. Other
#: names with this prefix are reserved for the tuner.
_RESERVED = "st_"
OF_REPORTER = frozenset({"st_worker_cost", "st_worker_iter", "st_worker_time", "st_worker_timestamp"})
#: An entry that is the tuner's own in every result, and how an entry of that name is kept which a script reports.
TRIAL_ID, REPORTED = "trial_id", "reported_"
#: Integers with at most this many digits are within the range of a float.
_MAX_DIGITS = 300
#: Text before a tag is cut off when it has this many characters, since an error of the JSON parser counts its lines.
_MAX_BEFORE = 4096


@dataclass(frozen=True, slots=True)
class RawReport:
    """A report as the script has printed it."""

    values: dict[str, Any]
    """Its entries, without those that are reserved for the tuner (``st_tuner_time``...).

    An entry ``trial_id`` is ``reported_trial_id``."""

    end: int
    """Bytes of the log up to the end of the report. The report exists once the log has this many bytes."""


@dataclass(frozen=True, slots=True)
class LineReports:
    """The reports found in a line."""

    reports: tuple[RawReport, ...]
    """The whole reports, in order."""

    torn: bytes | None
    """The beginning of the first report that is not whole, if there is one."""

    used: int
    """Bytes of the line that need not be read again."""

    waits: bool = False
    """Whether a report begins after these bytes that may still be incomplete."""


def reports_of(line: bytes, begin: int = 0, is_whole: bool = True) -> LineReports:
    """The reports in a line, in order, and whether the line has an incomplete one.

    An integer too large for a float becomes infinite, and half a surrogate pair becomes a question mark, so that every
    report can be used in computations and written to files.

    Parameters
    ----------
    line
        The line, or the part of it that has been written so far. If the text before the first tag is long, cut it off.
    begin
        Bytes of the log before it.
    is_whole
        Whether the line is complete. If not, a report that cannot be read yet may still be incomplete.
    """
    # One character for each byte, so that positions in the text are positions in the line.
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
    if TRIAL_ID in report:
        kept_as = free_name(TRIAL_ID, report)
        report[kept_as] = report.pop(TRIAL_ID)
    # All reports share their names in memory: thousands of trials report the same ones.
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
    """A name that is taken, with ``reported_`` before it; any other one as it is."""
    while name in taken:
        name = f"{REPORTED}{name}"
    return name


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)
