"""When a trial goes back to the checkpoint before the last one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syne_hypersched.backends.local._fallback import CheckpointFallback
from syne_hypersched.checkpoints import Ending

IDLE = Ending(has_changed=False)


@pytest.fixture
def fallback():
    made = CheckpointFallback()
    made.begin_launch(num_reports=3)
    made.begin_from(7)
    return made


def test_a_launch_that_has_neither_reported_nor_written_goes_back_once(fallback):
    fallback.fail(3, IDLE)
    assert (fallback.take(), fallback.take()) == (7, None)
    fallback.begin_launch(3)
    fallback.begin_from(6)
    fallback.fail(3, IDLE)
    assert fallback.take() is None
    fallback.hear()
    fallback.fail(3, IDLE)
    assert fallback.take() == 6


@pytest.mark.parametrize(("num_reports", "ending"), [(4, IDLE), (3, None), (3, replace(IDLE, has_changed=True))])
def test_a_launch_that_had_got_further_does_not_go_back(fallback, num_reports, ending):
    fallback.fail(num_reports, ending)
    assert fallback.take() is None


def test_a_launch_that_somebody_has_killed_does_not_go_back(fallback):
    fallback.fail(3, IDLE, -9)
    assert fallback.take() is None
    fallback.fail(3, IDLE, 1)
    assert fallback.take() == 7


def test_a_launch_that_began_without_a_checkpoint_has_none_before_it(fallback):
    fallback.begin_launch(3)
    fallback.fail(3, IDLE)
    assert fallback.take() is None


def test_what_the_next_launch_is_to_do_is_known_to_another_tuner(fallback):
    assert fallback.state() == {}
    fallback.fail(3, IDLE)
    copy = CheckpointFallback()
    copy.restore(**fallback.state())
    assert (copy.take(), copy.take(), copy.state()) == (7, None, {})
    copy.begin_launch(3)
    copy.begin_from(6)
    copy.fail(3, IDLE)
    assert copy.take() is None  # once, as without another tuner
