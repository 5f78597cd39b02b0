"""What is the same in schedulers that ask another package for configurations."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform

from syne_hypersched.comparison.asked import AskedScheduler


class Counting(AskedScheduler[int]):
    """Asks a package that counts."""

    def suggest(self):
        self._suggested.append(len(self._suggested) + len(self._running))


@pytest.mark.parametrize(("do_minimize", "mode"), [(True, "min"), (False, "max")])
def test_it_describes_itself(do_minimize, mode):
    scheduler = Counting({"x": uniform(0, 1)}, "loss", "epoch", 9, do_minimize, random_seed=3)
    assert scheduler.random_seed == 3
    assert (scheduler.metric_names(), scheduler.metric_mode()) == (["loss"], mode)
    metadata = scheduler.metadata()
    assert set(json.loads(metadata.pop("config_space"))) == {"x"}
    assert metadata == {
        "scheduler_name": "Counting", "scheduler_kwargs": {"max_t": 9}, "metric": "loss", "metric_names": ["loss"],
        "metric_mode": mode,
    }  # fmt: skip


def test_suggestions_become_trials_in_their_order():
    scheduler = Counting({"x": uniform(0, 1)}, "loss", "epoch", 9, True)
    for _ in range(3):
        scheduler.suggest()
    for trial_id in (5, 7):
        scheduler.on_trial_add(Trial(trial_id, {}, datetime.now()))
    assert scheduler._running == {5: 0, 7: 1}
