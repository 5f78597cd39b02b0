from __future__ import annotations

import math

import pytest

from syne_hypersched.rungs import Rung
from syne_hypersched.schedulers._reasons import NO_REASON, because, resizing, weak_at


def test_numbers_that_json_lacks_are_left_out():
    reason = because("so it is", a=1.0, b=None, c=math.inf, d=math.nan, e=0.0)
    assert reason.text == "so it is"
    assert dict(reason.numbers) == {"a": 1.0, "e": 0.0}
    assert not NO_REASON.text


def test_a_weak_trial_has_its_rank_at_the_rung():
    rung = Rung(9)
    for trial_id, value in enumerate((0.4, 0.1, 0.3, 0.3)):
        rung.record(trial_id, value)
    reason = weak_at(3, rung, 3)
    assert reason.text == "rank 2 of 4 at the rung of level 9, where one in 3 goes on"
    assert dict(reason.numbers) == {"rung": 9, "rank": 2, "num_recorded": 4, "reduction_factor": 3}


def test_a_trial_grows_for_the_progress_that_it_makes():
    reason = resizing((2, 8), 1, 3, lambda n: n**0.5, 100.0, 20.0, ", as planned")
    # Twice as fast, for 80 of 100 seconds.
    assert reason.text == (
        "grows from 2 to 8 devices: rank 1 of 3, makes 1.6 times the progress in the 100 s left, "
        "a launch of 20 s included, as planned"
    )
    numbers = dict(reason.numbers)
    assert numbers.pop("speed_up") == pytest.approx(2.0)
    assert numbers.pop("gain") == pytest.approx(1.6)
    assert numbers == {
        "from_devices": 2, "to_devices": 8, "rank": 1, "num_live": 3, "time_left_s": 100.0, "launch_cost_s": 20.0,
    }  # fmt: skip


def test_a_trial_shrinks_to_its_share():
    reason = resizing((4, 1), 2, 2, float, 50.0, 5.0)
    assert reason.text == "shrinks from 4 to 1 devices: rank 2 of 2, that is its share with 50 s left"
    assert reason.numbers["speed_up"] == 0.25
