"""An optimiser by ask and tell as a scheduler: jobs are trials that are paused at their levels and go on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform
from syne_tune.optimizer.scheduler import SchedulerDecision

from benchmarking.opponents.ask_and_tell import AskAndTell, Job
from syne_hypersched import simulate
from syne_hypersched.backends import Failures
from syne_hypersched.blackboxes import TableBlackbox

XS = np.linspace(0, 1, 101)
EPOCHS = np.arange(1, 10)


class Halving:
    """Successive halving: nine configurations at level 1, the best three of them at 3, the best one at 9."""

    def __init__(self) -> None:
        xs = np.random.RandomState(0).choice(XS, 9, replace=False).tolist()
        self.jobs = [Job({"x": x}, 1.0, f"configuration {x}", "handle") for x in xs]
        self.told: dict[float, list[tuple[float, Job]]] = {1.0: [], 3.0: [], 9.0: []}
        self.seconds: list[float] = []

    def ask(self) -> Job | None:
        return self.jobs.pop(0) if self.jobs else None

    def tell(self, job: Job, value: float, seconds: float) -> None:
        assert job.handle == "handle"
        rung = self.told[job.level]
        rung.append((value, job))
        self.seconds.append(seconds)
        if len(rung) == 9 / job.level and job.level < 9:
            best = sorted(rung, key=lambda entry: entry[0])[: len(rung) // 3]
            self.jobs += [Job(kept.config, 3 * kept.level, kept.key, "handle") for _, kept in best]


def table(curves) -> TableBlackbox:
    seconds = np.broadcast_to(EPOCHS * 1.0, curves.shape)
    return TableBlackbox(
        [{"x": x} for x in XS.tolist()], {"loss": curves}, seconds, configuration_space={"x": uniform(0, 1)}
    )


def scheduler(optimizer, do_minimize=True):
    return AskAndTell(optimizer, {"x": uniform(0, 1)}, "loss", "epoch", 9, do_minimize)


@pytest.mark.parametrize("sign", [1, -1])
def test_trials_are_paused_at_the_levels_of_their_jobs_and_go_on(sign):
    optimizer = Halving()
    curves = sign * (XS[:, None] + 1 / EPOCHS[None, :])
    run = simulate(scheduler(optimizer, sign == 1), table(curves), num_devices=1, deadline_s=200, scaling="linear")
    assert run.num_trials == 9
    lengths = run.results.groupby("trial_id").epoch.max()
    assert sorted(lengths) == [1] * 6 + [3] * 2 + [9]
    # Nothing is trained twice, and the best configuration goes to the end.
    assert not run.results.duplicated(["trial_id", "epoch"]).any()
    first = run.results.drop_duplicates("trial_id").set_index("trial_id").config_x
    assert lengths.idxmax() == first.idxmin()
    assert [len(rung) for rung in optimizer.told.values()] == [9, 3, 1]
    assert all(value == pytest.approx(job.config["x"] + 1 / 9) for value, job in optimizer.told[9.0])
    # A job that goes on is told with the seconds since it went on.
    assert optimizer.seconds == pytest.approx([1.0] * 9 + [2.0] * 3 + [6.0])


def test_failures_and_values_that_are_not_finite_count_as_the_worst():
    curves = XS[:, None] + 1 / EPOCHS[None, :]
    curves[::2] = math.nan
    optimizer = Halving()
    simulate(scheduler(optimizer), table(curves), num_devices=1, deadline_s=200, failures=Failures(0.05))
    values = [value for value, _ in optimizer.told[1.0]]
    assert len(values) == 9
    assert all(math.isfinite(value) for value in values)
    assert len(set(values)) < 9


def test_a_curve_that_ends_before_the_level_counts_with_its_last_value():
    optimizer = Halving()
    optimizer.jobs = optimizer.jobs[:1]
    asked = scheduler(optimizer)
    trial = Trial(0, asked.suggest().config, None)
    asked.on_trial_add(trial)
    asked.on_trial_complete(trial, {"epoch": 0.5, "loss": 0.75})
    assert [value for value, _ in optimizer.told[1.0]] == [0.75]
    assert asked.on_trial_result(trial, {"epoch": 1, "loss": 0.5}) == SchedulerDecision.STOP
    assert asked.suggest() is None
