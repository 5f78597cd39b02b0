from __future__ import annotations

import pytest

from benchmarking.speed.searcher_cost import main, measure


def test_each_size_and_searcher_has_a_line(capsys):
    main(["--sizes", "5", "12", "--searchers", "random_search", "joint", "--suggestions", "3"])
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["searcher", "trials"]
    assert [line.split()[:2] for line in lines] == [
        [name, n] for name in ("random_search", "joint") for n in ("5", "12")
    ]


def test_a_suggestion_and_a_report_have_a_time():
    suggestions, reports = measure("joint", 8, 4)
    assert len(suggestions) == 3
    assert min(suggestions) > 0
    assert len(reports) == 4


def test_too_few_suggestions():
    with pytest.raises(SystemExit):
        main(["--suggestions", "1"])
