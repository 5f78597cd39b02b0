from __future__ import annotations

from pathlib import Path

import pytest

from syne_hypersched.experiments import load_run, trial_table
from syne_hypersched.experiments._run import Report, RunGoal
from syne_hypersched.experiments.page._reader import RunReader
from syne_hypersched.experiments.page._state import PageState
from syne_hypersched.experiments.page._views import MOST_POINTS
from syne_hypersched.records.events import Event
from tests.experiments.page.runs import state_of, write_example

GOAL = RunGoal("loss", True, "epoch", {"scheduler_kwargs": {"grace_period": 1, "reduction_factor": 3, "max_t": 27}})


def read(path: Path) -> PageState:
    return RunReader(path).update()


def test_the_trials_are_those_of_the_report(simulate):
    path = simulate(num_devices=3, deadline_s=30.0, seed=3)
    state, known = read(path), {trial.trial_id: trial for trial in trial_table(load_run(path))}
    assert set(state.trials) == set(known)
    for trial_id, view in state.trials.items():
        trial = known[trial_id]
        assert (view.status, view.resource, view.last) == (trial.status, trial.resource, trial.last)
        assert (None if view.best is None else view.best[0]) == trial.best
        assert (view.num_devices, view.max_devices) == (trial.num_devices, trial.max_devices)
        assert view.num_launches == trial.num_launches
        assert view.cost_s == pytest.approx(trial.launch_cost_s)
        assert view.config == trial.config


def test_the_incumbent_is_that_of_the_report(simulate):
    path = simulate(num_devices=3, deadline_s=30.0, seed=3)
    best = load_run(path).incumbent
    value, trial_id, resource, _ = read(path).incumbent
    assert (value, trial_id, resource) == (best.value, best.trial_id, best.resource)


def test_a_report_counts_when_the_worker_made_it(tmp_path):
    run = write_example(tmp_path)
    state = read(tmp_path)
    assert state.trials[0].points[0][0] == pytest.approx(2.0 - 0.25, abs=1e-3)  # not when the tuner received it
    assert state.trials[0].points[-1][0] == pytest.approx(run.now_s - 0.25, abs=1e-3)


def test_a_clock_that_moves_is_compared_anew():
    def launch(time_s, timestamp):
        return Event(time_s, "launch", 0, ("cpu0",), 0, details={"timestamp": timestamp})

    state = state_of(GOAL, [launch(0.0, 1000.0), launch(10.0, 5010.0)], [])
    state.add_report(Report(0, 12.5, 1.0, 0.5, worker_timestamp=5012.0))
    state.add_report(Report(0, 5.5, 2.0, 0.4, worker_timestamp=1005.0))
    assert [point[0] for point in state.trials[0].points] == [12.0, 5.0]


@pytest.mark.parametrize("ahead_s", [-40.0, 3600.0])
def test_the_clock_of_another_machine_is_not_taken_for_the_tuners(ahead_s):
    """Each launch says how far that of its machine is ahead."""
    events = [
        Event(0.0, "launch", 0, ("a/0",), 0, details={"timestamp": 1000.0, "clock_ahead_s": ahead_s}),
        Event(8.0, "launch", 0, ("b/0",), 1, details={"timestamp": 1008.0, "clock_ahead_s": "much"}),
    ]
    state = state_of(GOAL, events, [])
    state.add_report(Report(0, 5.5, 1.0, 0.5, launch=0, worker_timestamp=1005.0 + ahead_s))
    state.add_report(Report(0, 9.5, 2.0, 0.4, launch=1, worker_timestamp=1009.0))
    assert [point[0] for point in state.trials[0].points] == [5.0, 9.0]
    assert state.last_timestamp == 1009.0
    assert state.stamp(0, 1010.0) == 1010.0
    assert state.stamp(0, None) is None


def test_a_launch_imports_until_it_trains(tmp_path):
    write_example(tmp_path)
    launch = read(tmp_path).launches[0, 0, 0]
    # The first report came after two seconds, of which the trial trained one.
    assert launch.train_s == pytest.approx(2.0 - 0.25 - 1.0, abs=1e-3)
    assert launch.drain_s is not None
    assert launch.end_s == pytest.approx(launch.drain_s + 0.5)
    assert (launch.how, launch.reason) == ("drained", "resize")
    assert launch.why == "resize trial 0: grows from 1 to 3 devices: rank 1 of 1"


def test_a_launch_without_a_report_still_imports(tmp_path):
    write_example(tmp_path)
    assert read(tmp_path).launches[3, 0, 0].train_s is None


def test_a_launch_whose_devices_change_has_parts(tmp_path):
    """A process that joins or leaves a trial that trains does not end its launch."""
    run = write_example(tmp_path, num_devices=8)
    run.now_s += 1.0
    devices = [*run.held[0], "node1/gpu7"]
    run.event("joined", 0, devices, 1, reason="resize")
    reader = RunReader(tmp_path)
    state = reader.update()
    before, after = state.launches[0, 1, 0], state.launches[0, 1, 1]
    assert (before.end_s, before.how, before.reason) == (run.now_s, "changed", "joined: resize")
    assert (after.start_s, after.train_s, len(after.devices), after.end_s) == (run.now_s, run.now_s, 4, None)
    assert (state.trials[0].num_devices, state.trials[0].num_launches) == (4, 2)
    run.exit(0, "drained", "stop")
    assert reader.update().launches[0, 1, 1].how == "drained"


def test_devices_join_and_retire():
    state = PageState(GOAL)
    for name, devices in (("setup", ("a", "b")), ("retire", ("a",)), ("join", ("a", "c")), ("lose", ("b",))):
        state.add_event(Event(0.0, name, None, devices))
    assert (list(state.devices), set(state.attendance.away)) == (["a", "b", "c"], {"b"})


def test_rungs_are_those_of_the_decisions_if_they_name_any():
    reports = [Report(trial_id, 1.0, level, 0.1 * trial_id) for trial_id in (1, 2) for level in (1.0, 2.0, 3.0)]
    assert list(state_of(GOAL, [], reports).rungs) == [1, 3, 9, 27]
    state = state_of(GOAL, [], reports)
    state.add_event(Event(5.0, "decision", 1, details={"what": "pause", "numbers": {"rung": 2}}))
    assert state.rungs == {2: {1: pytest.approx(0.1), 2: pytest.approx(0.2)}}


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_best():
    state = PageState(GOAL)
    for level in range(1, 5001):
        state.add_report(Report(0, float(level), float(level), abs(level - 3333.0), worker_time_s=float(level)))
    trial = state.trials[0]
    assert len(trial.points) <= MOST_POINTS + 1
    levels = [point[2] for point in trial.points]
    assert (levels[0], levels[-1]) == (1.0, 5000.0)
    assert levels == sorted(levels)
    assert trial.best == (0.0, 3333.0, 3333.0)


def test_values_that_are_not_finite_are_no_best_and_no_error(tmp_path):
    state = state_of(GOAL, [], [Report(0, 1.0, 1.0, float("nan")), Report(0, 2.0, 2.0, float("inf"))])
    assert state.incumbent is None
    assert state.trials[0].best is None
