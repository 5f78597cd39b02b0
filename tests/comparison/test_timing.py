from __future__ import annotations

from datetime import datetime

from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform

from syne_hypersched.comparison import timing
from syne_hypersched.comparison.timing import TimedScheduler
from syne_hypersched.schedulers import ASHA


class Clock:
    """Each look at it takes a second."""

    def __init__(self):
        self.now_s = 0.0

    def perf_counter(self):
        self.now_s += 1.0
        return self.now_s


def make():
    return ASHA({"x": uniform(0, 1)}, metric="loss", time_attr="epoch", max_t=9, random_seed=0)


def test_it_decides_as_the_scheduler_and_counts_its_seconds(monkeypatch):
    monkeypatch.setattr(timing, "time", Clock())
    timed, plain = TimedScheduler(make()), make()
    for number in range(4):
        assert timed.suggest().config == plain.suggest().config
        trial = Trial(number, {"x": 0.5}, datetime(2026, 1, 1))
        timed.on_trial_add(trial=trial)
        plain.on_trial_add(trial=trial)
        result = {"loss": float(number), "epoch": 1}
        assert timed.on_trial_result(trial=trial, result=result) == plain.on_trial_result(trial=trial, result=result)
        timed.on_trial_remove(trial=trial)
    assert timed.elapsed_s == 4 * 4
    timed.on_trial_error(trial=Trial(9, {"x": 0.1}, datetime(2026, 1, 1)))
    assert timed.elapsed_s == 17


def test_it_describes_itself_as_the_scheduler():
    timed, plain = TimedScheduler(make()), make()
    assert timed.metric_names() == plain.metric_names() == ["loss"]
    assert timed.metric_mode() == plain.metric_mode() == "min"
    assert timed.metadata()["scheduler_name"] == plain.metadata()["scheduler_name"]
