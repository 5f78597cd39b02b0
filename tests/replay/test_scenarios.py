from __future__ import annotations

from dataclasses import replace

import pytest

from syne_hypersched.experiments import load_run
from syne_hypersched.replay import default_scenarios, run_curves
from syne_hypersched.replay._scenarios import NAMES, make_scheduler, own_scheduler


@pytest.fixture
def known(asha_run):
    return run_curves(load_run(asha_run))


def test_one_thing_differs_at_a_time(known):
    first, *others = default_scenarios(known)
    assert (first.label, first.scheduler) == ("as it was", "asha")
    for other in others:
        differs = [
            name
            for name in ("scheduler", "num_devices", "deadline_s", "grace_period")
            if getattr(other, name) != getattr(first, name)
        ]
        assert differs in (
            ["scheduler"],
            ["scheduler", "grace_period"],
            ["num_devices"],
            ["deadline_s"],
            ["grace_period"],
        )
    assert len({other.label for other in others}) == len(others)


def test_what_is_asked_for_is_searched(known):
    labels = [scenario.label for scenario in default_scenarios(known, ["pasha"], [3.0], [7], [90.0])]
    assert labels == ["as it was", "with pasha", "with a first rung at 3", "with 7 devices", "with 90 s"]
    with pytest.raises(ValueError, match="but got 'hyperband'"):
        default_scenarios(known, ["hyperband"])


@pytest.mark.parametrize(
    "name, kwargs, expected",
    [
        ("HyperSched", {"strategy": "adaptive", "grace_period": 1}, ("hypersched", None)),
        ("HyperSched", {"strategy": "adaptive", "grace_period": 3}, ("hypersched", 3)),
        ("HyperSched", {"strategy": "published", "grace_period": 1}, ("hypersched-published", 1)),
        ("HyperSched", {"strategy": "PublishedRules", "grace_period": 2}, ("hypersched-published", 2)),
        ("ASHA", {"type": "promotion", "grace_period": 1}, ("asha-promotion", 1)),
        ("ASHA", {"type": "stopping"}, ("asha", None)),
        ("PASHA", {}, ("pasha", None)),
    ],
)
def test_the_own_scheduler_is_known_from_the_metadata(known, name, kwargs, expected):
    found = own_scheduler(replace(known, scheduler_name=name, scheduler_kwargs=kwargs))
    assert found is not None
    assert found[:2] == expected


def test_a_scheduler_of_another_package_is_not_replayed_as_it_was(known):
    foreign = replace(known, scheduler_name="MedianStoppingRule", scheduler_kwargs={})
    assert [scenario.scheduler for scenario in default_scenarios(foreign)] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_scheduler_can_be_made(known, name):
    class Nothing:
        def suggest(self, **_):
            return None

        def on_trial_result(self, trial_id, config, metric):
            pass

        on_trial_complete = on_trial_error = on_trial_result

    scenario = replace(default_scenarios(known)[0], scheduler=name, kwargs={}, grace_period=None)
    assert make_scheduler(known, scenario, Nothing()).metric == "val_accuracy"
