from __future__ import annotations

import ast
import os

import pytest

from benchmarking.speed.strangers_path import PAGE, commands_of, files_of, main, pages_of
from syne_hypersched.cli._app import app
from syne_hypersched.cli._report import spell_out


def test_the_page_has_a_script_of_25_lines_and_commands_that_can_be_parsed():
    page = PAGE.read_text(encoding="utf-8")
    (name,) = files_of(page)
    code = files_of(page)[name]
    ast.parse(code)
    assert len([line for line in code.splitlines() if line]) <= 27
    commands = list(commands_of(page))
    assert [words[1] for words in commands] == ["demo", "tune", "report", "report", "explain", "replay", "verify"]
    assert pages_of(page) == ["first.html"]
    for words in commands:
        app.parse_args(spell_out(words[1:]), exit_on_error=False, print_error=False)
    assert all(words[2] == "first" for words in commands[2:])


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("SYNE_HYPERSCHED_NETWORK"), reason="installs from PyPI")
def test_the_path_leads_to_its_end():
    assert main([]) == 0
