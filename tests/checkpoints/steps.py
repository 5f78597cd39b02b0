"""Counts the work of a function, which no other process disturbs."""

from __future__ import annotations

import sys


def num_steps(function, *arguments):
    """Steps of work: instructions of Python."""
    count = 0

    def count_one(frame, event, argument):
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += 1
        return count_one

    before = sys.gettrace()
    sys.settrace(count_one)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return count
