from __future__ import annotations

from syne_hypersched.schedulers._checkpoints import NeededCheckpoints
from syne_hypersched.schedulers.hypersched._strategy import Strategy


class OddOnes(Strategy):
    """A strategy that resumes no trial with an odd number."""

    def __init__(self, admission_open: bool) -> None:
        self._admission_open = admission_open
        self.ended: list[tuple[int, bool]] = []
        self.asked: list[int] = []

    @property
    def admission_open(self):
        return self._admission_open

    def never_resumes(self, trial_id):
        self.asked.append(trial_id)
        return trial_id % 2 == 1

    def end(self, trial_id, resumable):
        self.ended.append((trial_id, resumable))

    allocation = num_free = None
    __contains__ = set_present = close_if_due = admission = close = set_deadline = next_paused = next_weak = None
    begin = report = pause = resize = limit = None


def paused(count: int) -> NeededCheckpoints:
    checkpoints = NeededCheckpoints()
    for trial_id in range(count):
        checkpoints.pause(trial_id)
    return checkpoints


def test_trials_that_are_never_resumed_are_given_up():
    strategy, checkpoints = OddOnes(admission_open=False), paused(6)
    strategy.give_up(checkpoints)
    assert strategy.ended == [(1, False), (3, False), (5, False)]
    assert checkpoints.over() == [1, 3, 5]
    assert sorted(checkpoints.paused) == [0, 2, 4]


def test_while_admission_is_open_none_is_given_up():
    strategy, checkpoints = OddOnes(admission_open=True), paused(6)
    strategy.give_up(checkpoints)
    assert not strategy.asked
    assert not checkpoints.over()


def test_of_thousands_a_few_are_looked_at_in_each_call():
    strategy, checkpoints = OddOnes(admission_open=False), paused(150)
    for looked_at in (64, 128):
        strategy.give_up(checkpoints)
        assert strategy.asked == list(range(looked_at))
    strategy.give_up(checkpoints)
    assert set(strategy.asked) == set(range(150))
    assert checkpoints.over() == list(range(1, 150, 2))


def test_what_a_strategy_does_not_say():
    strategy = OddOnes(admission_open=True)
    assert strategy.stretch_s(0.0) is None
    assert strategy.never_resizes_because() is None
    strategy.never_resize()
