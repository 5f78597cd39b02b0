"""Garbage collections are rare during a simulation, and as before after it."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap

import pytest
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, simulate
from syne_hypersched.simulation import _garbage
from syne_hypersched.simulation._garbage import RARE, YOUNG, rare_collections
from tests.backends.virtual.curves import RoundCurves


@pytest.fixture
def thresholds():
    gc.unfreeze()  # another test of this process may have frozen what there was
    before = gc.get_threshold()
    gc.set_threshold(500, 7, 9)
    yield 500, 7, 9
    gc.set_threshold(*before)


def test_they_are_rare_until_the_last_one_has_left(thresholds):
    with rare_collections():
        assert gc.get_threshold() == (YOUNG, 7, RARE)
        with rare_collections():
            assert gc.get_threshold() == (YOUNG, 7, RARE)
        assert gc.get_threshold() == (YOUNG, 7, RARE)
    assert gc.get_threshold() == thresholds


def test_they_are_as_before_after_an_error(thresholds):
    with pytest.raises(ZeroDivisionError), rare_collections():
        raise ZeroDivisionError
    assert gc.get_threshold() == thresholds


def test_who_has_switched_them_off_or_made_them_rarer_keeps_that(thresholds):
    gc.set_threshold(0, 7, 2 * RARE)
    with rare_collections():
        assert gc.get_threshold() == (0, 7, 2 * RARE)
    assert gc.get_threshold() == (0, 7, 2 * RARE)


def test_a_simulation_makes_them_rare(thresholds):
    blackbox = RoundCurves()
    seen = []
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", 9, random_seed=0)
    simulate(
        scheduler, blackbox, num_devices=2, max_num_trials=4, on_result=lambda *_: seen.append(gc.get_threshold()[2])
    )
    assert seen
    assert set(seen) == {RARE}
    assert gc.get_threshold() == thresholds


#: A process with nothing but the module: a full collection would visit the million objects of all tests.
ALONE = """
import gc, importlib.util, sys

spec = importlib.util.spec_from_file_location("garbage", sys.argv[1])
garbage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(garbage)
gc.set_threshold(500, 7, 9)
gc.collect()
"""


def run_alone(text):
    command = [sys.executable, "-c", ALONE + textwrap.dedent(text), _garbage.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_new_is_taken_as_old_at_the_end_without_a_full_collection():
    run_alone(
        """
        def is_old(found):
            young = [*gc.get_objects(generation=0), *gc.get_objects(generation=1)]
            return gc.is_tracked(found) and not gc.get_freeze_count() and not any(each is found for each in young)

        num_full = gc.get_stats()[2]["collections"]
        for _ in range(garbage.MOST_SKIPPED):
            with garbage.rare_collections():
                new = [[]]
            assert is_old(new)
        assert gc.get_stats()[2]["collections"] == num_full
        with garbage.rare_collections():
            new = [[]]
        assert not is_old(new), "too many in turn"
        gc.collect()
        with garbage.rare_collections():
            new = [[]]
        assert is_old(new)
        """
    )


def test_what_somebody_has_frozen_stays_so():
    run_alone(
        """
        gc.freeze()
        num_frozen = gc.get_freeze_count()
        with garbage.rare_collections():
            pass
        assert gc.get_freeze_count() >= num_frozen > 0
        """
    )
