"""HyperSched by hand: which devices trials get, and what happens at the deadline."""

from __future__ import annotations

import logging

import dill
import pytest

from tests.schedulers.hypersched.tunings import Tuning


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
