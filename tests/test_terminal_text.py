from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched._terminal_text import left, plain_log, right, shown, shown_lines, width

HEBREW = "דיוק"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("val_loss", "val_loss"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("gone\r", "gone\\r"),
        ("a\tb\nc", "a\\tb\\nc"),
        ("\x00\x07\x7f\x9b2J", "\\x00\\x07\\x7f\\x9b2J"),
        ("a\u2028b\u0085", "a\\u2028b\\x85"),
        ("half \ud83d", "half \\ud83d"),
        ("txt\u202egpj", "txt\\u202egpj"),
        ("Genauigkeit für 精度 é 👩‍🔬", "Genauigkeit für 精度 é 👩‍🔬"),
        (HEBREW, f"\u2068{HEBREW}\u2069"),
    ],
)
def test_a_text_stays_in_its_line(text, line):
    assert shown(text) == line


def test_lines_stay_lines_and_names_in_them_stay_whole():
    text = f"trial 0: {shown(HEBREW)} 0.5\nlog: \x1b[2J\r"
    assert shown_lines(text) == f"trial 0: \u2068{HEBREW}\u2069 0.5\nlog: \\x1b[2J\\r"


def test_lines_of_a_log_are_plain():
    assert plain_log("\x1b[1;31mred\x1b[0m\r\n 10 %\r 20 %\n\ta\x1b]0;title\x07\x00") == "red\n 10 %\n 20 %\n    a\\x00"


@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(text):
    line = shown(text)
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in line)
    assert shown_lines(text).count("\n") == text.count("\n")
    line.encode()  # no half of a pair is left, at which a stream would fail


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("abc", 3), ("精度", 4), ("é", 1), ("e\u0301", 1), (f"\u2068{HEBREW}\u2069", 4)]
)
def test_columns_are_those_of_the_terminal(text, columns):
    assert width(text) == columns
    assert left(text, 6) == text + " " * (6 - columns)
    assert right(text, 6) == " " * (6 - columns) + text
