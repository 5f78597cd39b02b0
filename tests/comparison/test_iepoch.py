from __future__ import annotations

import math

import pytest
from syne_tune.config_space import uniform

from syne_hypersched.blackboxes import TableBlackbox
from syne_hypersched.comparison.iepoch import IEpoch
from syne_hypersched.simulation import simulate
from syne_hypersched.testing import SchedulerContract


class TestIEpoch(SchedulerContract):
    def make_scheduler(self, do_minimize=True, random_seed=0):
        return IEpoch(
            self.config_space,
            self.metric,
            self.time_attr,
            self.max_t,
            deadline_s=40.0,
            do_minimize=do_minimize,
            random_seed=random_seed,
        )


def run(num_devices=1, deadline_s=60.0, **options):
    rows = [{"x": float(x)} for x in range(60)]
    losses = [[abs(row["x"] - 30) + 1 / epoch for epoch in range(1, 11)] for row in rows]
    table = TableBlackbox(rows, {"loss": losses}, [list(range(1, 11))] * len(rows))
    scheduler = IEpoch(
        {"x": uniform(0, 59)}, "loss", "epoch", 10, deadline_s=deadline_s, points_to_evaluate=rows, random_seed=0,
        **options,
    )  # fmt: skip
    return simulate(scheduler, table, num_devices=num_devices, deadline_s=deadline_s, scaling="none").results


def test_each_configuration_gets_its_epochs_and_then_the_best_goes_to_the_end():
    results = run()
    lengths = results.groupby("trial_id").epoch.max()
    best = int(results.loc[results[results.epoch == 1].loss.idxmin()].trial_id)
    assert lengths[best] == 10
    assert results.st_tuner_time.iloc[-1] == pytest.approx(60.0)
    others = lengths.drop(best)
    # 51 s are left for configurations of one epoch each, and the last second or two for the second best.
    assert len(lengths) == 51
    assert (others[others.index != others.idxmax()] == 1).all()


def test_more_epochs_mean_fewer_configurations():
    assert len(run(epochs=3).trial_id.unique()) < len(run(epochs=1).trial_id.unique()) / 2


def test_a_short_deadline_is_divided_in_half():
    """There is no time to train anything to the end: half of it goes into the best ones."""
    results = run(num_devices=2, deadline_s=8.0)
    assert len(results.trial_id.unique()) == 8
    assert results.groupby("trial_id").epoch.max().nlargest(2).tolist() == [5, 5]


def test_the_tuning_goes_on_where_nothing_is_paused_at_the_begin_of_the_selection():
    """A device is free when a trial diverges. Without a suggestion the tuner would never ask again."""
    rows = [{"x": float(x)} for x in range(60)]
    losses = [[1 / epoch if x == 1 else math.nan for epoch in range(1, 11)] for x in range(60)]
    seconds = [[4.5 + epoch if x == 1 else 0.9 * epoch for epoch in range(1, 11)] for x in range(60)]
    table = TableBlackbox(rows, {"loss": losses}, seconds)
    scheduler = IEpoch(
        {"x": uniform(0, 59)}, "loss", "epoch", 10, deadline_s=8.0, points_to_evaluate=rows, random_seed=0
    )  # fmt: skip
    results = simulate(scheduler, table, num_devices=2, deadline_s=8.0, scaling="none").results
    assert results[results.trial_id == 1].epoch.max() == 3


def test_wrong_epochs():
    with pytest.raises(ValueError, match="epochs must be"):
        run(epochs=0)
