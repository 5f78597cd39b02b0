"""The studies with a known truth that the referee is checked with."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarking.fidelity.referee_check import KINDS, differences, main, shares


@pytest.mark.parametrize("kind", KINDS)
def test_differences_have_the_mean_that_they_are_said_to_have(kind):
    random_state = np.random.RandomState(0)
    for gain in (0.0, 1.0):
        (found,) = differences(kind, (400, 50), 1, gain, random_state)
        assert found.shape == (400, 50)
        weight = 1.0 if kind != "unequal" else np.exp(0.7**2 / 2)
        assert found.mean() == pytest.approx(weight * gain, abs=0.15)
    assert differences(kind, (1, 4), 3, 0.0, random_state)[2].shape == (1, 4)


def test_a_lead_is_found_more_often_than_none():
    wrong, found = shares("normal", (6, 6), 1, 12, 100)
    assert wrong <= 0.25
    assert found >= 0.6


def test_it_prints_a_line_for_each_kind_and_shape(capsys):
    main(
        ["--kinds", "normal", "skewed", "--shapes", "2x3", "--rivals", "1", "2", "--studies", "2", "--resamples", "100"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| differences | tables | seeds | rivals | wrong | found |"
    assert [line.split(" | ")[:4] for line in lines[2:]] == [
        [f"| {kind}", "2", "3", rivals] for kind in ("normal", "skewed") for rivals in ("1", "2")
    ]
