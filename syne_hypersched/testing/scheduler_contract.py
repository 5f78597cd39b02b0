"""A suite of tests that every Syne Tune scheduler must pass, whatever it decides."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, ClassVar

import dill
import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import Domain, choice, loguniform, randint, uniform
from syne_tune.constants import ST_TUNER_TIME, ST_WORKER_ITER, ST_WORKER_TIME, ST_WORKER_TIMESTAMP
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler, TrialSuggestion
from syne_tune.util import dump_json_with_numpy

from syne_hypersched.contract import RemovingScheduler

_DECISIONS = (SchedulerDecision.CONTINUE, SchedulerDecision.PAUSE, SchedulerDecision.STOP)

Step = tuple[Any, ...]
"""One line of a trace: ``("start", trial_id, configuration)``, ``("resume", trial_id)``, ``("exhausted",)``,
``("report", trial_id, epoch, decision)``, ``("fail", trial_id)`` or ``("complete", trial_id)``."""


class TuningLoop:
    """Calls a scheduler as Syne Tune's tuner does, in virtual time, on trials with invented learning curves.

    Trials report once a second. The metric depends only on the configuration and the epoch. A paused trial keeps its
    epoch. A trial that is stopped, fails or completes does not come back. An assertion fails if a tuner would break, or
    if a trial is resumed or running after the scheduler has released its checkpoint.

    Parameters
    ----------
    metric, time_attr
        Names of the metric and the resource level in a report.
    num_workers
        Number of trials that run at the same time.
    max_t
        Number of epochs after which a trial completes.
    sign
        With -1, the negated metric is reported.
    fail_every
        Every trial whose id is one less than a multiple of this fails after two epochs; 0: none.
    diverge_every
        Every trial whose id is two less than a multiple of this reports NaN after two epochs; 0: none.
    """

    def __init__(
        self,
        metric: str,
        time_attr: str,
        num_workers: int,
        max_t: int,
        sign: float = 1.0,
        fail_every: int = 0,
        diverge_every: int = 0,
    ) -> None:
        self.metric = metric
        self.time_attr = time_attr
        self.num_workers = num_workers
        self.max_t = max_t
        self.sign = sign
        self.fail_every = fail_every
        self.diverge_every = diverge_every
        self.trials: list[Trial] = []
        self.running: list[int] = []
        self.paused: list[int] = []
        self.epochs: dict[int, int] = {}
        self.last_result: dict[int, dict[str, Any]] = {}
        #: Trials whose checkpoints the scheduler has released, in this order.
        self.over: list[int] = []
        self.exhausted = False
        self.time_s = 0

    def run(self, scheduler: TrialScheduler, seconds: int) -> list[Step]:
        """Continues the tuning of ``scheduler`` for some seconds of virtual time.

        Returns
        -------
        list of Step
            The steps, in order.
        """
        return [step for _ in range(seconds) for step in self._second(scheduler)]

    def _remove_checkpoints(self, scheduler: TrialScheduler) -> None:
        if isinstance(scheduler, RemovingScheduler):
            new = list(scheduler.trials_checkpoints_can_be_removed(len(self.over)))
            assert len(set(new)) == len(new), f"a trial may be named once, but got {new}"
            assert not set(new) & {*self.over, *self.running}, f"{new} are named, but {self.running} are running"
            self.over += new

    def _second(self, scheduler: TrialScheduler) -> Iterator[Step]:
        while not self.exhausted and len(self.running) < self.num_workers:
            yield self._schedule(scheduler)
            self._remove_checkpoints(scheduler)
        self.time_s += 1
        for trial_id in list(self.running):
            yield from self._epoch(scheduler, trial_id)
            self._remove_checkpoints(scheduler)

    def _schedule(self, scheduler: TrialScheduler) -> Step:
        suggestion = scheduler.suggest()
        if suggestion is None:
            self.exhausted = True
            return ("exhausted",)
        assert isinstance(suggestion, TrialSuggestion)
        if not suggestion.spawn_new_trial_id:
            trial_id = suggestion.checkpoint_trial_id
            assert trial_id in self.paused, "only a paused trial can be resumed"
            assert trial_id not in self.over, f"the checkpoint of trial {trial_id}, now resumed, was released before"
            self.paused.remove(trial_id)
            self.running.append(trial_id)
            if suggestion.config is not None:
                self.trials[trial_id].config = dict(suggestion.config)
            return ("resume", trial_id)
        trial_id = len(self.trials)
        trial = Trial(trial_id, dict(suggestion.config), datetime(2024, 1, 1, tzinfo=timezone.utc))
        self.trials.append(trial)
        self.running.append(trial_id)
        scheduler.on_trial_add(trial=trial)
        return ("start", trial_id, dict(suggestion.config))

    def _epoch(self, scheduler: TrialScheduler, trial_id: int) -> Iterator[Step]:
        trial = self.trials[trial_id]
        if self.epochs.get(trial_id, 0) == self.max_t:
            # The trial was paused at its last report. It is resumed now, and its script has nothing left to do.
            yield self._complete(scheduler, trial_id)
            return
        epoch = self.epochs[trial_id] = self.epochs.get(trial_id, 0) + 1
        if self.fail_every and (trial_id + 1) % self.fail_every == 0 and epoch > 2:
            self.running.remove(trial_id)
            scheduler.on_trial_error(trial=trial)
            yield ("fail", trial_id)
            return
        result = self.last_result[trial_id] = self._result(trial, epoch)
        decision = scheduler.on_trial_result(trial=trial, result=result)
        assert decision in _DECISIONS, f"on_trial_result must return one of {_DECISIONS}, but returned {decision!r}"
        yield ("report", trial_id, epoch, decision)
        if decision != SchedulerDecision.CONTINUE:
            self.running.remove(trial_id)
            scheduler.on_trial_remove(trial=trial)
            if decision == SchedulerDecision.PAUSE:
                self.paused.append(trial_id)
        elif epoch == self.max_t:
            yield self._complete(scheduler, trial_id)

    def _complete(self, scheduler: TrialScheduler, trial_id: int) -> Step:
        self.running.remove(trial_id)
        scheduler.on_trial_complete(trial=self.trials[trial_id], result=self.last_result[trial_id])
        return ("complete", trial_id)

    def _result(self, trial: Trial, epoch: int) -> dict[str, Any]:
        config = trial.config
        # Curves with different floors and speeds, so that they cross.
        floor = abs(config["x"] - 0.3) + 0.1 * (config["n"] % 3) + (0.2 if config["kind"] == "b" else 0.0)
        speed = 0.5 + math.log10(config["rate"]) / -10
        loss = floor + (1 + config["x"]) * math.exp(-speed * epoch)
        if self.diverge_every and (trial.trial_id + 2) % self.diverge_every == 0 and epoch > 2:
            loss = math.nan
        return {
            self.metric: self.sign * loss,
            self.time_attr: epoch,
            ST_TUNER_TIME: float(self.time_s),
            ST_WORKER_TIME: float(epoch),
            ST_WORKER_ITER: epoch - 1,
            ST_WORKER_TIMESTAMP: 1.7e9 + self.time_s,
        }


class SchedulerContract:
    """Base class of a test class for a scheduler; a subclass defines :meth:`make_scheduler`.

    .. code-block:: python

        class TestMyScheduler(SchedulerContract):
            def make_scheduler(self, do_minimize=True, random_seed=0):
                return MyScheduler(self.config_space, self.metric, do_minimize=do_minimize, random_seed=random_seed)

    Attributes
    ----------
    config_space
        Configuration space of the scheduler: three kinds of numbers, categories and a constant.
    metric, time_attr, max_t
        Names of the metric and the resource level in a report, and the number of epochs of the scripts.
    num_workers
        Number of trials that run at the same time.
    seconds
        Virtual seconds for which a test runs. Every running trial trains one epoch in each second.
    """

    config_space: ClassVar[dict[str, Any]] = {
        "x": uniform(0.0, 1.0),
        "rate": loguniform(1e-5, 1e-1),
        "n": randint(1, 10),
        "kind": choice(["a", "b", "c"]),
        "constant": 7,
    }
    metric: ClassVar[str] = "loss"
    time_attr: ClassVar[str] = "epoch"
    max_t: ClassVar[int] = 20
    num_workers: ClassVar[int] = 4
    seconds: ClassVar[int] = 60

    def make_scheduler(self, do_minimize: bool = True, random_seed: int = 0) -> TrialScheduler:
        """Makes a scheduler for :attr:`config_space`, :attr:`metric`, :attr:`time_attr` and :attr:`max_t`.

        Parameters
        ----------
        do_minimize
            Whether the metric is to be minimised.
        random_seed
            Seed of all its random choices.
        """
        raise NotImplementedError(f"{type(self).__name__} must define make_scheduler()")

    def make_loop(self, **changes: Any) -> TuningLoop:
        """Makes the loop that calls the scheduler; ``changes`` are arguments of :class:`TuningLoop`."""
        return TuningLoop(self.metric, self.time_attr, self.num_workers, self.max_t, **changes)

    def test_suggestions_are_complete_and_in_the_space(self) -> None:
        """Every hyperparameter and every constant is present, with a value of its domain."""
        trace = self.make_loop().run(self.make_scheduler(), self.seconds)
        configs = [step[2] for step in trace if step[0] == "start"]
        assert configs
        for config in configs:
            assert set(self.config_space) <= set(config)
            for name, domain in self.config_space.items():
                if isinstance(domain, Domain):
                    assert domain.is_valid(config[name]), f"{name} = {config[name]!r} is not in {domain}"
                else:
                    assert config[name] == domain

    def test_suggestions_belong_to_the_caller(self) -> None:
        """If the caller changes a suggested configuration, nothing changes in the scheduler."""
        untouched = self.make_loop().run(self.make_scheduler(), 10)

        class Careless(TuningLoop):
            def _schedule(self, scheduler: TrialScheduler) -> Step:
                started = len(self.trials)
                step = super()._schedule(scheduler)
                for trial in self.trials[started:]:
                    trial.config["st_checkpoint_dir"] = "somewhere"
                return step

        careless = Careless(self.metric, self.time_attr, self.num_workers, self.max_t)
        assert careless.run(self.make_scheduler(), 10) == untouched

    def test_trials_that_fail_do_not_stop_the_others(self) -> None:
        """A failed trial is never resumed (the loop checks this), and the tuning goes on."""
        trace = self.make_loop(fail_every=3).run(self.make_scheduler(), self.seconds)
        failed = [step[1] for step in trace if step[0] == "fail"]
        after_failure = trace[[step[0] for step in trace].index("fail") + 1 :] if failed else trace
        assert any(step[0] == "report" for step in after_failure)

    def test_a_trial_that_fails_before_it_has_reported_is_accepted(self) -> None:
        """For example, a script that crashes at once."""
        scheduler, loop = self.make_scheduler(), self.make_loop()
        suggestion = scheduler.suggest()
        assert suggestion is not None
        crashed = Trial(0, dict(suggestion.config), datetime(2024, 1, 1, tzinfo=timezone.utc))
        loop.trials.append(crashed)
        scheduler.on_trial_add(trial=crashed)
        scheduler.on_trial_error(trial=crashed)
        trace = loop.run(scheduler, 10)
        assert [step[1] for step in trace if step[0] == "start"][:1] == [1]
        assert any(step[0] == "report" for step in trace)

    def test_every_trial_that_completes_is_accepted(self) -> None:
        """Scripts may end before ``max_t``, or report only once: other trials take their place."""
        for max_t in (1, self.max_t // 2):
            loop = TuningLoop(self.metric, self.time_attr, self.num_workers, max_t)
            trace = loop.run(self.make_scheduler(), 2 * max_t)
            completed = [step[1] for step in trace if step[0] == "complete"]
            assert len(completed) == len(set(completed))
            assert len([step for step in trace if step[0] == "start"]) > self.num_workers

    def test_a_paused_trial_may_be_removed_and_resumed(self) -> None:
        """The tuner removes a trial when it is paused. A resume continues from there."""
        loop = self.make_loop()
        trace = loop.run(self.make_scheduler(), self.seconds)
        resumed = {step[1] for step in trace if step[0] == "resume"}
        if not resumed:
            pytest.skip("this scheduler has resumed no trial")
        for trial_id in resumed:
            epochs = [step[2] for step in trace if step[0] == "report" and step[1] == trial_id]
            assert epochs == list(range(1, len(epochs) + 1))

    @pytest.mark.parametrize("seconds", [0, 1, 7, 25])
    def test_a_stored_and_loaded_scheduler_goes_on_identically(self, seconds: int) -> None:
        """The tuner stores its scheduler with dill."""
        scheduler, loop = self.make_scheduler(), self.make_loop(fail_every=5)
        loop.run(scheduler, seconds)
        loaded_scheduler, loaded_loop = dill.loads(dill.dumps((scheduler, loop)))
        rest = self.seconds - seconds
        assert loaded_loop.run(loaded_scheduler, rest) == loop.run(scheduler, rest)

    @pytest.mark.parametrize("random_seed", [0, 1, 2])
    def test_checkpoints_are_given_up_when_a_trial_is_over(self, random_seed: int) -> None:
        """And not earlier: the loop checks that no such trial is resumed or running."""
        scheduler, loop = self.make_scheduler(random_seed=random_seed), self.make_loop(fail_every=5, diverge_every=4)
        if not isinstance(scheduler, RemovingScheduler):
            pytest.skip("this scheduler does not tell which checkpoints it no longer needs")
        trace = loop.run(scheduler, self.seconds)
        ended = {step[1] for step in trace if step[0] in ("fail", "complete")}
        ended |= {step[1] for step in trace if step[0] == "report" and step[3] == SchedulerDecision.STOP}
        assert ended
        assert ended <= set(loop.over) <= ended | set(loop.paused)
        # Once there is nothing left to suggest, the trials paused last are not resumed any more.
        assert not loop.exhausted or set(loop.paused) <= set(loop.over)
        assert list(scheduler.trials_checkpoints_can_be_removed()) == loop.over
        assert list(scheduler.trials_checkpoints_can_be_removed(len(loop.over))) == []

    def test_one_seed_gives_one_sequence_of_decisions(self) -> None:
        """Suggestions and decisions are the same for the same seed."""
        first, second = (
            self.make_loop(fail_every=5).run(self.make_scheduler(random_seed=17), self.seconds) for _ in range(2)
        )
        assert first == second

    def test_maximising_the_negated_metric_is_the_same(self) -> None:
        """``do_minimize`` only changes a sign."""
        minimised = self.make_loop().run(self.make_scheduler(do_minimize=True), self.seconds)
        maximised = self.make_loop(sign=-1.0).run(self.make_scheduler(do_minimize=False), self.seconds)
        assert minimised == maximised

    def test_metadata_is_json_with_what_experiments_are_read_by(self) -> None:
        """The tuner writes it before the first trial."""
        for do_minimize, mode in ((True, "min"), (False, "max")):
            scheduler = self.make_scheduler(do_minimize=do_minimize)
            metadata = json.loads(dump_json_with_numpy(scheduler.metadata()))
            assert metadata["scheduler_name"] == type(scheduler).__name__
            assert metadata["metric_names"] == [self.metric] == scheduler.metric_names()
            assert metadata["metric_mode"] == mode == scheduler.metric_mode()
            space = metadata["config_space"]
            assert set(self.config_space) <= set(json.loads(space) if isinstance(space, str) else space)
