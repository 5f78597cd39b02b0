"""HyperSched by hand: rungs, admission and arguments."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from syne_hypersched.schedulers.hypersched._hypersched import HyperSched
from tests.schedulers.hypersched.tunings import SPACE, Tuning


class TestRungs:
    def test_the_first_report_continues_and_a_strictly_worse_one_is_paused(self):
        tuning = Tuning()
        tuning.start(3)
        assert tuning.report(0, 1, 0.5) == "CONTINUE"
        assert tuning.report(1, 1, 0.5) == "CONTINUE"
        assert tuning.report(2, 1, 0.6) == "PAUSE"

    def test_the_retrospective_rule(self):
        for speculation, decision in ((True, "PAUSE"), (False, "CONTINUE")):
            tuning = Tuning(speculation=speculation)
            tuning.start(2)
            assert tuning.report(0, 1, 0.5) == "CONTINUE"
            assert tuning.report(1, 1, 0.4) == "CONTINUE"
            assert tuning.report(0, 2, 0.1) == decision

    def test_without_pausing_weak_trials_are_stopped_and_none_is_resumed(self):
        tuning = Tuning(use_pausing=False)
        tuning.start(2)
        tuning.report(0, 1, 0.5)
        assert tuning.report(1, 1, 0.6) == "STOP"
        for trial_id in range(2, 12):
            tuning.start()
            assert tuning.report(trial_id, 1, 0.9 + trial_id) == "STOP"
        assert not tuning.decided("resume")

    def test_a_skipped_rung_is_recorded_and_max_t_stops(self):
        tuning = Tuning(max_t=20, reduction_factor=4)
        tuning.start(2)
        assert tuning.report(0, 17, 0.5) == "CONTINUE"
        assert tuning.report(1, 3, 0.4) == "CONTINUE"
        assert tuning.report(1, 16, 0.6) == "PAUSE"
        tuning.start()
        assert tuning.report(2, 20, 0.1) == "STOP"

    def test_a_promotable_paused_trial_comes_before_a_new_one(self):
        tuning = Tuning(reduction_factor=2)
        tuning.start(2)
        tuning.report(0, 1, 0.5)
        assert tuning.report(1, 1, 0.6) == "PAUSE"
        tuning.start()
        assert tuning.report(2, 1, 0.9) == "PAUSE"
        suggestion = tuning.scheduler.suggest()
        assert not suggestion.spawn_new_trial_id
        assert suggestion.checkpoint_trial_id == 1
        assert tuning.scheduler.allocation == {0: 1, 1: 1}
        tuning.start()
        assert tuning.report(1, 2, 0.55) == "CONTINUE"

    @pytest.mark.parametrize("do_minimize", [True, False])
    @pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
    def test_a_trial_without_a_finite_metric_is_paused_for_good(self, do_minimize, loss):
        tuning = Tuning(do_minimize=do_minimize, num_devices=8)
        tuning.start(4)
        assert [tuning.report(trial_id, 1, loss) for trial_id in range(3)] == ["PAUSE"] * 3
        tuning.start()
        assert tuning.report(3, 1, 0.5) == "CONTINUE"
        assert tuning.report(4, 1, 0.5) == "CONTINUE"
        assert tuning.report(3, 2, loss) == "PAUSE"
        tuning.start(2)
        assert not tuning.decided("resume")
        assert tuning.scheduler.incumbent.trial_id == 3

    def test_a_trial_that_diverged_at_a_rung_is_not_resumed_when_most_others_have_diverged_there(self):
        tuning = Tuning(reduction_factor=2)
        tuning.start(2)
        tuning.report(0, 1, 0.5)
        for trial_id in range(1, 4):
            assert tuning.report(trial_id, 1, math.nan) == "PAUSE"
            tuning.start()

    def test_a_failed_trial_is_not_resumed_and_keeps_what_it_has_recorded(self):
        tuning = Tuning(reduction_factor=2)
        tuning.start(2)
        tuning.report(0, 1, 0.5)
        tuning.report(1, 1, 0.6)
        tuning.scheduler.on_trial_error(trial=tuning.trials[1])
        tuning.start()
        assert tuning.report(2, 1, 0.9) == "PAUSE"
        tuning.start()
        tuning.scheduler.on_trial_error(trial=tuning.trials[0])
        assert set(tuning.scheduler.allocation) == {3}
        # The cutoff is 0.65, halfway between 0.6, which trial 1 has recorded, and 0.7.
        assert tuning.report(3, 1, 0.7) == "PAUSE"

    def test_a_report_after_a_pause_records_nothing(self):
        tuning = Tuning()
        tuning.start(2)
        tuning.report(0, 1, 0.5)
        assert tuning.report(1, 1, 0.6) == "PAUSE"
        assert tuning.report(1, 4, 0.0) == "PAUSE"
        assert tuning.scheduler.incumbent.trial_id == 0
        assert tuning.report(0, 4, 0.5) == "CONTINUE"


class TestAdmission:
    def test_it_closes_by_the_rule_and_for_good(self):
        # Epochs of 10 s and max_t = 20: a full run takes 200 s, the longest trial has run for 30 s and eta is 4.
        tuning = Tuning(max_t=20, deadline_s=1000)
        tuning.start()
        for epoch in (1, 2, 3):
            tuning.report(0, epoch, 0.5, now_s=10.0 * epoch)
        tuning.now_s = 879.9
        assert tuning.scheduler.suggest() is not None
        tuning.now_s = 880.1
        assert tuning.scheduler.suggest() is None
        assert not tuning.scheduler.admission_open
        assert tuning.scheduler.suggest() is None
        assert len(tuning.decided("close")) == 1

    def test_a_full_run_at_most_is_needed(self):
        tuning = Tuning(max_t=20, deadline_s=1000)
        tuning.start()
        for epoch in range(1, 20):
            tuning.report(0, epoch, 0.5, now_s=10.0 * epoch)
        tuning.now_s = 799.0
        assert tuning.scheduler.suggest() is not None
        tuning.now_s = 801.0
        assert tuning.scheduler.suggest() is None

    @pytest.mark.parametrize(("ignore_overhead", "closes_at_s"), [(False, 968.0), (True, 960.0)])
    def test_the_cost_of_a_launch_is_no_trial_time(self, ignore_overhead, closes_at_s):
        # 2 s of launch before the first epoch of 4 s: the longest trial has run for 10 s.
        tuning = Tuning(ignore_overhead=ignore_overhead)
        tuning.start()
        tuning.report(0, 1, 0.5, now_s=6.0, st_launch=0, st_num_devices=1, st_signal_to_report_s=6.0, st_worker_time=5)
        tuning.report(0, 2, 0.5, now_s=10.0, st_launch=0, st_num_devices=1, st_worker_time=9)
        tuning.now_s = closes_at_s - 0.1
        assert tuning.scheduler.suggest() is not None
        tuning.now_s = closes_at_s + 0.1
        assert tuning.scheduler.suggest() is None

    def test_it_closes_at_a_report_and_paused_trials_are_not_resumed(self):
        tuning = Tuning(reduction_factor=2, deadline_s=100)
        tuning.start(2)
        tuning.report(0, 1, 0.5, now_s=30.0)
        assert tuning.report(1, 1, 0.6) == "PAUSE"
        tuning.start()
        tuning.report(2, 1, 0.9, now_s=60.0)
        assert [result["st_admission_open"] for result in tuning.results] == [True, True, False]
        assert tuning.scheduler.suggest() is None

    def test_it_closes_at_the_deadline_without_the_rule(self):
        tuning = Tuning(job_limit=False, deadline_s=100)
        tuning.start()
        tuning.report(0, 1, 0.5, now_s=99.0)
        tuning.start()
        tuning.now_s = 100.0
        assert tuning.scheduler.suggest() is None

    def test_fixed_exploration(self):
        tuning = Tuning(fixed_exploration=0.25, deadline_s=100)
        tuning.start()
        tuning.report(0, 1, 0.5, now_s=25.0)
        tuning.start()
        tuning.now_s = 25.1
        assert tuning.scheduler.suggest() is None

    def test_it_closes_when_the_searcher_has_no_more(self):
        class Empty:
            def suggest(self):
                return None

            def on_trial_result(self, trial_id, config, metric, resource_level=None):
                pass

            on_trial_complete = on_trial_result

            def on_trial_error(self, trial_id):
                pass

        tuning = Tuning(searcher=Empty())
        assert tuning.scheduler.suggest() is None
        assert not tuning.scheduler.admission_open

    def test_the_first_trials_start_whatever_the_deadline(self):
        tuning = Tuning(deadline_s=1e-6, num_devices=2)
        tuning.now_s = 5.0
        tuning.start(2)


class TestArguments:
    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"policy": np.array(["uniform", "x"])}, ValueError, "policy must be one of 'uniform', .*, but got array"),
            ({"policy": "fair"}, ValueError, "policy must be one of 'uniform', .*, but got 'fair'"),
            ({"deadline_s": 0}, ValueError, "deadline_s must be a finite number greater than 0, but got 0"),
            ({"deadline_s": math.nan}, ValueError, "deadline_s must be a finite number"),
            ({"deadline_s": "1h"}, TypeError, "deadline_s must be a finite number greater than 0, but got '1h'"),
            ({"num_devices": 0}, ValueError, "num_devices must be at least 1, but got 0"),
            ({"num_devices": 2.0}, TypeError, "num_devices must be an integer, but got 2.0"),
            ({"max_t": 3, "grace_period": 4}, ValueError, "grace_period must be at most max_t = 3, but got 4"),
            ({"reduction_factor": 1}, ValueError, "reduction_factor must be a finite number greater than 1"),
            ({"scaling": {2: 1.9}}, ValueError, "scaling must have an entry for 1 device"),
            ({"scaling": "linaer"}, ValueError, "scaling must be one of 'resnet18', .*'linear', 'none', a table"),
            ({"scaling": 2}, TypeError, "scaling must be a name, a mapping"),
            ({"scaling": "linaer", "num_devices": None}, ValueError, "scaling must be one of"),
            ({"policy": "fair", "num_devices": None}, ValueError, "policy must be one of"),
            ({"allocation_grid": 0}, ValueError, "allocation_grid must be at least 1, but got 0"),
            ({"recharge_period": -1}, ValueError, "recharge_period must be at least 0, but got -1"),
            ({"use_pausing": 1}, TypeError, "use_pausing must be True or False, but got 1"),
            ({"speculation": None}, TypeError, "speculation must be True or False, but got None"),
            ({"fixed_exploration": 1.5}, ValueError, "fixed_exploration must be a share of the deadline from 0 to 1"),
            (
                {"fixed_exploration": 0.5, "job_limit": False},
                ValueError,
                "fixed_exploration must be None with job_limit",
            ),
            (
                {"strategy": "greedy"},
                ValueError,
                r"strategy must be one of .* but got 'greedy'",
            ),
            ({"clock": 5}, TypeError, "clock must be a callable"),
        ],
    )
    def test_bad_arguments(self, changes, error, message):
        with pytest.raises(error, match=message):
            Tuning(**changes)

    def test_metadata_has_the_arguments(self):
        scheduler = HyperSched(
            SPACE,
            "loss",
            "epoch",
            9,
            num_devices=2,
            deadline_s=60,
            scaling=lambda n: 2 * n**0.5,
            random_seed=5,
            strategy="published",
        )
        arguments = json.loads(json.dumps(scheduler.metadata()))["scheduler_kwargs"]
        assert arguments["scaling"] == {"1": 1.0, "2": pytest.approx(2**0.5)}
        expected = {"num_devices": 2, "deadline_s": 60, "policy": "uniform", "strategy": "published", "random_seed": 5}
        assert {name: arguments[name] for name in expected} == expected

    def test_points_to_evaluate_come_first(self):
        points = [{"lr": 0.5, "width": 3}, {"lr": 0.25, "width": 1}]
        tuning = Tuning(points_to_evaluate=points)
        tuning.start(3)
        assert [trial.config for trial in tuning.trials[:2]] == points
