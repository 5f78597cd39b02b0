"""HyperSched and ResizeBest while devices come and go, in simulations."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from syne_hypersched import ASHA, PASHA, HyperSched, LaunchCost, ResizeBest, simulate
from syne_hypersched.experiments import check_devices, read_events
from tests.schedulers.hypersched.test_adaptive import NUM_LEVELS, TABLE, make_scheduler
from tests.thoroughness import examples

DEVICES = [f"device{index}" for index in range(8)]
SCHEDULES = st.lists(st.tuples(st.integers(0, 55), st.integers(0, 8)), max_size=6).map(
    lambda entries: [*sorted(dict(entries).items()), (56, 8)]
)
INSIDE = {"asha": (ASHA, {"type": "promotion"}), "stopping": (ASHA, {"type": "stopping"}), "pasha": (PASHA, {})}


def make(kind, seed):
    if kind in INSIDE:
        scheduler, arguments = INSIDE[kind]
        inside = scheduler(
            TABLE.configuration_space, "accuracy", "epoch", NUM_LEVELS, do_minimize=False, random_seed=seed, **arguments
        )
        return ResizeBest(inside, num_devices=8, max_trials=10, deadline_s=60.0)
    if kind == "published":
        return HyperSched(
            TABLE.configuration_space, "accuracy", "epoch", NUM_LEVELS, 8, 60.0, do_minimize=False, random_seed=seed,
            strategy="published",
        )  # fmt: skip
    return make_scheduler(seed=seed, policy=kind, scaling=None)


@settings(max_examples=examples(8), deadline=None, phases=[Phase.explicit, Phase.generate])
@given(schedule=SCHEDULES, seed=st.integers(0, 9))
@pytest.mark.parametrize(
    "kind",
    [
        *("uniform", "goodput", "published", "asha"),
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("top_job", "none", "stopping", "pasha")),
    ],
)
def test_whatever_comes_and_goes_no_rule_is_broken_and_nothing_is_planned_beyond_what_is_there(
    tmp_path_factory, kind, schedule, seed
):
    path, seen = tmp_path_factory.mktemp("run") / "events.jsonl", []
    scheduler = make(kind, seed)

    def look(trial, result, decision):
        # A trial that has just reported may keep what it has, or wish for as much as there is.
        present = result.get("st_devices_present", 8)
        seen.append(scheduler.allocation.get(trial.trial_id, 0) <= max(present, 1))

    simulate(
        scheduler, TABLE, num_devices=8, deadline_s=60.0, scaling="resnet50", launch_cost=LaunchCost(start_s=0.1),
        devices_over_time=schedule, events_path=path, on_result=look,
    )  # fmt: skip
    assert all(seen)
    assert check_devices(read_events(path), DEVICES) == ()


def test_the_last_stretch_uses_what_is_there(tmp_path):
    sizes = set()
    for seed in range(4):
        path, scheduler = tmp_path / "events.jsonl", make("uniform", seed)
        simulate(
            scheduler, TABLE, num_devices=8, deadline_s=60.0, scaling="resnet50", launch_cost=LaunchCost(start_s=0.1),
            devices_over_time=[(45, 6)], events_path=path,
        )  # fmt: skip
        sizes |= {len(event.devices) for event in read_events(path) if event.event == "launch" and event.time_s > 46}
    assert {1} < sizes <= set(range(1, 7))
