from __future__ import annotations

import json
import logging
import math
from datetime import datetime

import dill
import numpy as np
import pytest
from syne_tune.backend.trial_status import Status, Trial
from syne_tune.config_space import randint, uniform

from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.schedulers.hypersched._hypersched import HyperSched
from tests.schedulers.families import with_rules

SPACE = {"lr": uniform(0, 1), "width": randint(1, 8)}


class Wishes:
    """The part of a backend that receives requests."""

    def __init__(self):
        self.devices = {}
        self.published = []
        self.noted = []
        self.time_attrs = []

    def wished_devices(self, trial_id):
        return self.devices.get(trial_id, 1)

    def wish_devices(self, trial_id, num_devices):
        self.devices[trial_id] = num_devices

    def follow(self, time_attr):
        self.time_attrs.append(time_attr)

    def publish(self, trial_id, result):
        self.published.append((trial_id, result["loss"]))

    def note(self, trial_id, what, reason, numbers):
        self.noted.append((trial_id, what, reason, numbers))


class Tuning:
    """A tuning by hand: one call per line of a test."""

    def __init__(self, elastic=True, **changes):
        arguments = {"max_t": 100, "num_devices": 4, "deadline_s": 1000, "scaling": {1: 1, 8: 8}, "random_seed": 3}
        self.now_s = 0.0
        if "clock" not in changes:
            changes["clock"] = lambda: self.now_s
        self.scheduler = HyperSched(
            SPACE, "loss", "epoch", **with_rules({"strategy": "published", **arguments, **changes})
        )
        self.wishes = Wishes()
        self.elastic = elastic
        self.trials = []
        self.results = []

    def start(self, count=1):
        for _ in range(count):
            suggestion = self.scheduler.suggest()
            assert suggestion is not None
            assert suggestion.spawn_new_trial_id
            arguments = {
                "trial_id": len(self.trials),
                "config": suggestion.config,
                "creation_time": datetime(2024, 1, 1),
            }
            if self.elastic:
                trial = ElasticTrial(**arguments, metrics=[], status=Status.in_progress, backend=self.wishes)
            else:
                trial = Trial(**arguments)
            self.trials.append(trial)
            self.scheduler.on_trial_add(trial=trial)

    def report(self, trial_id, epoch, loss, now_s=None, **entries):
        self.now_s = self.now_s if now_s is None else now_s
        result = {"loss": loss, "epoch": epoch, **entries}
        self.results.append(result)
        trial = self.trials[trial_id]
        decision = self.scheduler.on_trial_result(trial=trial, result=result)
        if decision != "CONTINUE":
            self.scheduler.on_trial_remove(trial=trial)
        return decision

    def decided(self, what):
        return [decision for decision in self.scheduler.decisions if decision.what == what]


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


class TestResizing:
    def closed(self, num_trials=2, **changes):
        """A tuning whose trials have reported often, with admission closed just now."""
        tuning = Tuning(**{"deadline_s": 1000, "fixed_exploration": 0.0, **changes})
        tuning.start(num_trials)
        return tuning

    def test_leftover_devices_go_round_robin_to_the_best_after_the_recharge_period(self):
        tuning = self.closed(num_devices=5)
        for epoch in range(1, 6):
            for trial_id in (0, 1):
                assert tuning.report(trial_id, epoch, 0.5, now_s=float(epoch)) == "CONTINUE"
        assert tuning.wishes.devices == {}
        assert tuning.report(0, 6, 0.5, now_s=6.0) == "CONTINUE"
        assert tuning.report(1, 6, 0.5) == "CONTINUE"
        assert tuning.wishes.devices == {0: 3, 1: 2} == tuning.scheduler.allocation
        assert [decision[1:4] for decision in tuning.decided("resize")] == [("resize", 0, 3), ("resize", 1, 2)]

    def test_a_paused_trial_leaves_its_devices_to_the_other(self):
        tuning = self.closed(num_devices=2)
        for epoch in range(1, 7):
            tuning.report(0, epoch, 0.5, now_s=float(epoch))
            if epoch < 4:
                tuning.report(1, epoch, 0.5)
        assert tuning.report(1, 4, 0.6) == "PAUSE"
        assert tuning.report(0, 7, 0.5, now_s=7.0) == "CONTINUE"
        assert tuning.wishes.devices == {0: 2}

    def test_shrinking_makes_room_for_a_trial_that_has_become_better(self):
        tuning = self.closed(num_devices=4, policy="top_job", recharge_period=0, reduction_factor=50)
        assert tuning.report(0, 1, 0.5, now_s=1.0) == "CONTINUE"
        assert tuning.wishes.devices == {0: 3}
        tuning.report(1, 1, 0.5)
        tuning.report(1, 2, 0.1, now_s=2.0)
        assert tuning.wishes.devices == {0: 3}
        tuning.report(0, 2, 0.5)
        assert tuning.wishes.devices == {0: 1}
        tuning.report(1, 3, 0.1)
        assert tuning.wishes.devices == {0: 1, 1: 3}

    def test_nothing_is_resized_while_admission_is_open(self):
        tuning = Tuning(num_devices=8, recharge_period=0)
        tuning.start()
        for epoch in range(1, 10):
            tuning.report(0, epoch, 0.5, now_s=float(epoch))
        assert tuning.scheduler.admission_open
        assert tuning.wishes.devices == {}

    def test_a_launch_that_costs_too_much_is_not_worth_it(self):
        for ignore_overhead, devices in ((False, {}), (True, {0: 2})):
            tuning = self.closed(num_devices=2, num_trials=1, ignore_overhead=ignore_overhead)
            for epoch in range(1, 7):
                # A launch of 460 s before the first epoch: half of what is left is too much for twice the speed.
                first = {"st_signal_to_report_s": 461.0} if epoch == 1 else {}
                tuning.report(0, epoch, 0.5, now_s=100.0 + epoch, st_launch=0, st_num_devices=1, **first)
            assert tuning.wishes.devices == devices

    def test_a_size_that_is_slower_is_never_asked_for(self):
        tuning = self.closed(num_trials=1, num_devices=8, scaling={1: 1, 2: 1.8, 4: 3, 8: 2}, recharge_period=0)
        tuning.report(0, 1, 0.5, now_s=1.0)
        assert tuning.wishes.devices == {0: 4}

    def test_scaling_is_learnt_from_the_epoch_times_on_each_number_of_devices(self):
        tuning = self.closed(num_trials=1, num_devices=2, scaling=None)
        worker_time = 0.0
        for epoch in range(1, 7):
            worker_time += 1.0
            tuning.report(0, epoch, 0.5, now_s=float(epoch), st_launch=0, st_num_devices=1, st_worker_time=worker_time)
        assert tuning.wishes.devices == {0: 2}
        for epoch in range(7, 12):
            worker_time += 3.0
            tuning.report(0, epoch, 0.5, now_s=float(epoch), st_launch=1, st_num_devices=2, st_worker_time=worker_time)
        # On two devices it is three times slower than on one.
        assert tuning.wishes.devices == {0: 1}

    def test_a_trial_that_cannot_be_resized_is_said_so_once(self, caplog):
        tuning = self.closed(elastic=False, recharge_period=0)
        with caplog.at_level(logging.WARNING):
            for epoch in range(1, 4):
                for trial_id in (0, 1):
                    assert tuning.report(trial_id, epoch, 0.5, now_s=float(epoch)) == "CONTINUE"
        assert [record.message for record in caplog.records if "cannot be resized" in record.message] == [
            "trials of this backend cannot be resized: each stays on the devices it was started on"
        ]
        assert tuning.scheduler.allocation == {0: 1, 1: 1}

    def test_more_workers_than_devices(self):
        tuning = Tuning(num_devices=2)
        tuning.start(2)
        with pytest.raises(ValueError, match="num_devices must be at least the tuner's n_workers, but trial 2"):
            tuning.start()

    def test_a_backend_that_starts_trials_on_more_than_one_device(self):
        tuning = Tuning()
        tuning.wishes.devices[0] = 2
        with pytest.raises(ValueError, match="num_devices_per_trial=1, but trial 0 was started on 2"):
            tuning.start()


class TestDeadline:
    def test_late_results_stop_their_trial_and_count_for_nothing(self):
        tuning = Tuning(deadline_s=100, job_limit=False)
        tuning.start(2)
        tuning.report(0, 1, 0.5, now_s=100.0)
        assert tuning.report(1, 1, 0.1, now_s=100.1) == "STOP"
        assert tuning.report(0, 2, 0.1, now_s=100.2) == "STOP"
        assert tuning.scheduler.incumbent.value == 0.5
        assert tuning.wishes.published == [(0, 0.5)]

    def test_the_incumbent_is_published_when_it_improves(self):
        tuning = Tuning()
        tuning.start(2)
        for trial_id, epoch, loss in ((0, 1, 0.5), (1, 1, 0.5), (0, 2, 0.6), (0, 3, 0.4), (1, 2, 0.3)):
            tuning.report(trial_id, epoch, loss)
        assert tuning.wishes.published == [(0, 0.5), (0, 0.4), (1, 0.3)]
        assert tuning.wishes.time_attrs == ["epoch", "epoch"]

    def test_simulated_time_counts_from_the_first_report_on(self):
        tuning = Tuning(clock=None, deadline_s=100, job_limit=False)
        tuning.start(2)
        tuning.report(0, 1, 0.5, st_tuner_time=40.0)
        assert tuning.scheduler.admission_open
        tuning.report(1, 1, 0.4, st_tuner_time=100.0)
        assert tuning.scheduler.suggest() is None
        assert [decision.time_s for decision in tuning.scheduler.decisions] == [0.0, 0.0, 100.0]

    def test_a_loaded_scheduler_forgets_trials_that_the_tuner_has_forgotten(self):
        tuning = Tuning(num_devices=2, clock=None)
        tuning.start(2)
        tuning.report(0, 1, 0.5)
        tuning.scheduler = dill.loads(dill.dumps(tuning.scheduler))
        assert set(tuning.scheduler.allocation) == {0, 1}
        tuning.report(0, 2, 0.5)
        tuning.start()
        assert set(tuning.scheduler.allocation) == {0, 2}
        with pytest.raises(ValueError, match="n_workers"):
            tuning.start()

    def test_a_dilled_scheduler_resizes_identically(self):
        twins = []
        for at in (None, 4):
            tuning = Tuning(clock=None, num_devices=4, deadline_s=50, recharge_period=1, policy="random", scaling=None)
            tuning.start(2)
            for epoch in range(1, 20):
                if epoch == at:
                    tuning.scheduler = dill.loads(dill.dumps(tuning.scheduler))
                for trial_id in (0, 1):
                    tuning.report(trial_id, epoch, 0.5, st_tuner_time=2.0 * epoch + 0.1 * trial_id)
            twins.append(tuning)
        assert twins[0].wishes.devices == twins[1].wishes.devices != {}
        assert twins[0].scheduler.decisions == twins[1].scheduler.decisions


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
