"""The launches that live, and the launcher that is made for the first one."""

from __future__ import annotations

import time

import pytest

from syne_hypersched.backends.local._launches import Launches
from tests.backends.local.fleets import FIRST, NoProcesses, make_spec, make_trial


@pytest.fixture
def launcher():
    return NoProcesses()


@pytest.fixture
def launches(launcher):
    launches = Launches(launcher.make)
    launches.callbacks = {"on_exit": print}
    return launches


@pytest.fixture
def spec(tmp_path):
    return make_spec(make_trial(tmp_path), ["cpu0"])


def test_the_launcher_is_made_for_the_first_launch_and_knows_the_callbacks(launches, launcher, spec):
    assert launches.launcher is None
    launches.drain(FIRST, 1.0)
    launches.follow("epoch", "loss", True)
    assert launches.take_launcher() is None
    assert (launcher.drained, launcher.followed) == ([], []), "there is none to be told"
    assert launches.launch(spec, 3) == FIRST
    assert launches.launcher is launcher
    assert launcher.callbacks == {"on_exit": print}
    assert launcher.specs == [spec]


def test_to_ask_whether_the_server_is_ready_starts_it(launches, launcher):
    launcher.is_ready = False
    assert not launches.is_server_ready()
    assert launches.launcher is launcher


def test_whose_a_launch_is_is_known_until_it_has_ended(launches, spec):
    assert [launches.launch(spec, 3), launches.launch(spec, 4)] == [FIRST, FIRST + 1]
    assert launches.trial_ids == {FIRST: 3, FIRST + 1: 4}
    launches.forget(FIRST)
    launches.forget(FIRST)
    assert launches.trial_ids == {FIRST + 1: 4}


def test_orders_reach_the_launcher(launches, launcher, spec):
    launches.launch(spec, 3)
    launches.drain(FIRST, 1.5)
    launches.follow("epoch", "loss", True)
    assert (launcher.drained, launcher.grace_s, launcher.followed) == ([FIRST], [1.5], [("epoch", "loss", True)])


@pytest.mark.parametrize("is_first", [False, True])
def test_the_launcher_knows_the_deadline_whichever_comes_first(launches, launcher, spec, is_first):
    if is_first:
        launches.set_deadline(5.0, 7.0)
        assert launcher.deadlines == []
    launches.launch(spec, 3)
    if not is_first:
        launches.set_deadline(5.0, 7.0)
    assert launcher.deadlines == [(5.0, 7.0)]


def test_it_is_too_late_from_the_drain_on_and_while_all_is_ended(launches):
    now = time.monotonic()
    assert not launches.is_too_late()
    launches.set_deadline(now + 1000.0, now + 2000.0)
    assert not launches.is_too_late()
    launches.set_deadline(now, now + 1000.0)
    assert launches.is_too_late()
    launches.set_deadline(now + 1000.0, now + 2000.0)
    launches.is_closing = True
    assert launches.is_too_late()


def test_a_launcher_that_is_taken_is_replaced_for_the_next_launch(launches, launcher, spec):
    launches.launch(spec, 3)
    assert launches.take_launcher() is launcher
    assert launches.launcher is None
    launcher.callbacks = {}
    launches.launch(spec, 3)
    assert launcher.callbacks == {"on_exit": print}
