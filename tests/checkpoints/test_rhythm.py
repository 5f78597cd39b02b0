"""Threads that save at their own pace: every interleaving of their writes and reports, as the kernel tells of it."""

from __future__ import annotations

import json
import random
from collections import Counter
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched._report_lines import RawReport
from syne_hypersched.checkpoints import CheckpointSpec, Notes, Order
from syne_hypersched.checkpoints import _observer as observer_module
from syne_hypersched.checkpoints._change import Change
from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._rhythm import Rhythm
from syne_hypersched.checkpoints._states import State
from tests.checkpoints.test_matching import History
from tests.thoroughness import examples

EPOCH_S, QUIET_S = 0.067, 0.03
PATH = "model"
#: What happens at the end of an epoch, in order. The script, which waits until its thread has begun to write, sees the
#: change of the file at ``open``, before the kernel tells of it (``begin``). After ``next`` it trains the next epoch.
INTERLEAVINGS = {
    "before": "open begin end report next",
    "across": "open begin report end next",
    "seen late": "open report begin end next",
    "slow": "open begin report next end",
    "seen late, slow": "open report begin next end",
}


class World:
    """A script, the events of its folder and log, and what is made of them, in steps."""

    def __init__(self, tmp_path, draw, looks):
        self.folder, self.draw, self.looks, self.now = tmp_path, draw, looks, 100.0
        self.order, self.matches, self.called_s = Order.UNKNOWN, Counter(), {}
        self.is_talkative = draw.random() < 0.5  # prints other lines, too
        self.begin_trial()

    def begin_trial(self):
        self.notes, self.num_launches, self.generations, self.told = Notes(), 0, {}, []

    def launch(self):
        """The script starts with what it saved last."""
        self.queue, self.printed, self.num_read, self.is_writing, self.is_seen = [], [], 0, False, True
        self.changed_s = self.now
        self.content = None
        self.matcher = Matcher(self.num_launches, self.notes, self.order, self.now, goes_on=True)
        self.matcher.follow("epoch", "loss", True)
        watch = SimpleNamespace(read=self.read, changed_at=lambda _: 0.0)
        spec = CheckpointSpec(str(self.folder / "none"), str(self.folder / "log"), launch=self.num_launches)
        self.observer = Observer(spec, watch, self.matcher, lambda: None)
        self.observer.log = SimpleNamespace(
            size=lambda: len(self.printed),
            new_reports=self.new_reports,
            printed_s=self.printed_s,
            printed_at=lambda _: None,
            called_at=lambda report: self.called_s[report.end],
            has_one_each=lambda reports, parts, _: not self.is_talkative and 1 < len(reports) == len(parts) - 1,
        )
        self.num_launches += 1

    def read(self):
        events, self.queue = self.queue, []
        return events

    def new_reports(self, size):
        found, self.num_read = self.printed[self.num_read : size], size
        return found

    def printed_s(self, report, looked_s):
        return max(looked_s, self.last_s) if report is self.printed[-1] else looked_s

    def step(self, what, epoch):
        """The script does something, within a moment."""
        self.now += self.draw.uniform(0.0, 0.0005)
        if what == "open":
            self.is_writing = True
        elif what == "begin":
            self.queue.append(Change("written", PATH))
        elif what == "end":
            self.queue.append(Change("closed", PATH))
            self.content, self.is_writing = epoch, False
        elif what == "report":
            end = len(self.told) + 1
            self.told.append(epoch)
            self.last_s = self.called_s[end] = self.now
            if self.is_talkative and self.draw.random() < 0.5:
                self.queue.append(None)
            self.printed.append(RawReport({"epoch": epoch, "loss": self.draw.random()}, end))
            self.queue.append(None)
        if self.draw.random() < self.looks:
            self.look()

    def wait(self, seconds):
        """Time passes, in which it is looked at, or not if the machine is busy."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 0.01)
            if self.draw.random() < self.looks:
                self.look()

    def look(self):
        num_changes = self.observer.num_changes
        self.observer.look()
        if self.observer.num_changes != num_changes:
            self.changed_s = self.now
        self.matcher.tick(self.now)
        is_quiet = self.now - self.changed_s >= QUIET_S
        if self.observer.is_dirty and not self.is_writing and (is_quiet or self.observer.is_complete):
            self.take()
        if is_quiet and not self.is_writing:
            self.observer.is_open = False
            self.matcher.settle()

    def take(self):
        if self.content is not None:
            number = len(self.generations) + 1
            self.generations[number] = self.content
            self.observer.mark_taken({}, number)
            self.matcher.taken(number)

    def end(self, has_succeeded):
        self.observer.look()
        if self.observer.is_dirty and not self.is_writing:
            self.take()
        self.matcher.end(has_succeeded, self.now)
        for known in self.matcher.news():
            self.check(known)
        self.notes, self.order = self.matcher.notes(), self.order.and_(self.matcher.order)

    def check(self, known):
        level, content = known.values["epoch"], self.generations[known.generation]
        self.matches["exact" if known.match == "exact" else "number"] += 1
        newer_by = 0 if known.match == "exact" else known.match
        assert level <= content <= level + newer_by


def run(world, interleavings, every, num_trials=3, max_t=12):
    """Several trials of one script, each with several launches; the script is ended anywhere."""
    draw = world.draw
    for _ in range(num_trials):
        world.begin_trial()
        saved = 0
        while saved < max_t and world.num_launches < 5:
            world.launch()
            ends_at, is_late = draw.randint(saved + 1, saved + 6), ""
            for epoch in range(saved + 1, max_t + 1):
                world.wait(EPOCH_S * draw.uniform(0.8, 1.2))
                for what in is_late.split():  # of the save before, at the latest when the next one is to begin
                    world.step(what, epoch - 1)
                    saved = world.content or saved
                steps = INTERLEAVINGS[draw.choice(interleavings)] if epoch % every == 0 else "report next"
                now, _, is_late = (part.strip() for part in steps.partition("next"))
                for what in now.split():
                    world.step(what, epoch)
                    saved = world.content or saved
                if epoch == ends_at and draw.random() < 0.9:
                    break
            for what in is_late.split():
                world.step(what, epoch)
                saved = world.content or saved
            world.end(epoch == max_t and epoch != ends_at)


@given(
    seed=st.integers(0, 2**32),
    interleavings=st.lists(st.sampled_from(list(INTERLEAVINGS)), min_size=1, max_size=8),
    every=st.sampled_from([1, 1, 2, 3]),
    looks=st.sampled_from([0.05, 0.3, 1.0]),
)
@settings(max_examples=examples(1000), deadline=None)
def test_however_a_thread_saves_a_match_says_no_more_than_is_certain(
    tmp_path_factory, seed, interleavings, every, looks
):
    world = World(tmp_path_factory.getbasetemp(), random.Random(seed), looks)
    with mock.patch.object(
        observer_module, "time", SimpleNamespace(monotonic=lambda: world.now, time=lambda: world.now)
    ):
        run(world, interleavings, every)


@pytest.mark.parametrize("interleaving", ["before", "seen late"])
def test_a_script_that_keeps_one_order_has_exact_matches(tmp_path, monkeypatch, interleaving):
    world = World(tmp_path, random.Random(0), looks=1.0)
    monkeypatch.setattr(observer_module, "time", SimpleNamespace(monotonic=lambda: world.now, time=lambda: world.now))
    run(world, [interleaving], every=1, num_trials=20)
    assert world.matches["exact"] > world.matches["number"]


class Launch:
    """Reports and saves, each noticed so many seconds late."""

    def __init__(self, late_s=0.0):
        self.rhythm, self.late_s, self.now, self.num_reports = Rhythm(), late_s, 0.0, 0

    def report(self, after_s, is_cut=False):
        self.now += after_s
        self.num_reports += 1
        self.rhythm.report(self.now, self.now + self.late_s, is_cut)

    def save(self, after_s):
        self.now += after_s
        state = State(self.num_reports, self.num_reports, self.now, gap_s=after_s if self.num_reports else None)
        self.rhythm.save(state, self.now, self.now + self.late_s)
        return state


def test_a_save_soon_after_its_report_is_of_it_if_an_epoch_takes_longer():
    launch = Launch()
    launch.report(1.0)
    state = launch.save(0.1)
    assert not launch.rhythm.is_late(state)  # nobody knows how long an epoch takes
    launch.report(1.0)
    assert launch.rhythm.is_late(launch.save(0.1))
    launch.report(1.0)
    assert not launch.rhythm.is_late(launch.save(0.9))


def test_a_save_soon_after_its_report_is_of_it_if_no_report_follows_for_long():
    launch = Launch()
    launch.report(1.0)
    state = launch.save(0.1)
    launch.rhythm.rest(state, 1, launch.now + 0.2)
    assert not launch.rhythm.is_late(state)
    launch.rhythm.rest(state, 1, launch.now + 0.4)
    assert launch.rhythm.is_late(state)


@pytest.mark.parametrize("why", ["it is over", "another report came"])
def test_time_tells_nothing_once_the_script_is_to_end_or_has_reported_again(why):
    launch = Launch()
    launch.report(1.0)
    state = launch.save(0.1)
    launch.rhythm.is_over = why == "it is over"
    launch.rhythm.rest(state, 2 if why == "another report came" else 1, launch.now + 9.0)
    assert not launch.rhythm.is_late(state)


def test_what_was_noticed_late_may_have_been_later():
    launch = Launch(late_s=0.5)
    for _ in range(2):
        launch.report(1.0)
    assert not launch.rhythm.is_late(launch.save(0.1))


def test_who_has_saved_before_the_first_report_does_not_save_after_each():
    launch = Launch()
    launch.save(1.0)
    launch.report(0.1)
    launch.report(1.0)
    assert not launch.rhythm.is_late(launch.save(0.01))


@pytest.mark.parametrize("why", ["twice", "in the middle"])
def test_who_is_out_of_step_once_has_no_certain_order(why):
    launch = Launch()
    launch.report(1.0)
    launch.report(1.0, is_cut=why == "in the middle")
    launch.rhythm.is_out_of_step |= why == "twice"
    state = launch.save(0.01)
    assert not launch.rhythm.is_late(state)
    launch.report(1.0)
    launch.rhythm.compare(state, 1.0, is_saved=True, are_all_saved=True)
    assert not state.is_early


@pytest.mark.parametrize(("after_s", "are_all_saved", "is_early"), [
    (0.9, False, True), (0.25, False, True), (0.1, False, False), (0.1, True, True),
])  # fmt: skip
def test_a_save_is_of_the_next_report_if_each_has_one_or_it_came_not_soon_after_the_one_before(
    after_s, are_all_saved, is_early
):
    launch = Launch()
    launch.report(1.0)
    state = launch.save(after_s)
    launch.report(1.0 - after_s)
    launch.rhythm.compare(state, 1.0 - after_s, True, are_all_saved)
    assert state.is_early == is_early


def test_a_save_before_the_first_report_of_a_launch_is_of_that():
    launch = Launch()
    state = launch.save(1.0)
    launch.report(1.0)
    launch.rhythm.compare(state, 1.0, is_saved=True, are_all_saved=False)
    assert state.is_early


@pytest.mark.parametrize("is_uneven", [True, False])
@pytest.mark.parametrize("between_s", [0.01, 0.05, 0.3, 1.0])
def test_a_script_may_save_at_some_epochs_and_report_at_others(is_uneven, between_s):
    """Then a save and a report are of one epoch if they are as near as such a pair of the launch before was."""
    before = Rhythm()
    before.compare(State(1, 1, 0.0, gap_s=2.0), 0.01, is_saved=True, are_all_saved=True)
    before.is_uneven = is_uneven
    launch = Launch()
    launch.rhythm = Rhythm(json.loads(json.dumps(before.evidence())))
    launch.report(1.0)
    state = launch.save(2.0)
    launch.report(between_s)
    launch.rhythm.compare(state, between_s, is_saved=True, are_all_saved=True)
    assert state.is_near == state.is_early == (not is_uneven or between_s < 0.3)


@pytest.mark.parametrize("is_uneven", [True, False])
def test_a_save_of_the_next_epoch_is_not_that_of_the_report_before(is_uneven):
    launch = Launch()
    launch.rhythm.compare(State(0, 0, 0.0), 0.01, is_saved=True, are_all_saved=True)
    launch.rhythm.is_uneven = is_uneven
    launch.report(1.0)
    launch.report(4.0)
    assert launch.rhythm.is_late(launch.save(1.0)) is not is_uneven


def test_what_is_known_of_a_launch_without_saves_is_nothing():
    assert Rhythm().evidence() == {"is_uneven": False, "shortest_s": None}
    assert Rhythm(Rhythm().evidence()).evidence() == Rhythm().evidence()


@pytest.mark.parametrize(("every", "saves_every"), [(2, 3), (3, 2), (4, 3), (5, 2), (5, 3), (5, 4), (3, 5)])
def test_no_checkpoint_of_another_epoch_is_exact_once_a_script_has_shown_its_steps(every, saves_every):
    """In its first launch, there was a report of an epoch just saved, and one with no save before it, or two."""
    wrong = [
        (known.values["epoch"], content)
        for seed in range(20)
        for known, content in matches_of(random.Random(seed), every, saves_every)
        if known.match == "exact" and known.values["epoch"] != content
    ]
    assert not wrong


def matches_of(draw, every, saves_every):
    """Two launches; those of the second one: the report, and the epoch in its generation."""
    first = History()
    train(first, draw, range(1, 2 * every * saves_every + 1), every, saves_every)
    first.matcher.end(False, first.now)
    second = History(first.matcher.order, first.matcher.notes(), launch=1, now=1000.0)
    second.contents = first.contents
    train(second, draw, range(2 * every * saves_every + 1, 60), every, saves_every)
    second.matcher.end(True, second.now)
    return [(known, second.contents[known.generation]) for known in second.matcher.news()]


def train(history, draw, epochs, every, saves_every):
    for epoch in epochs:
        history.now += draw.uniform(0.9, 1.1)  # each epoch is better
        if epoch % saves_every == 0:
            history.save(epoch, after_s=0.003, quiet=False)
        if epoch % every == 0:
            history.report(epoch, -epoch + draw.random(), after_s=0.003)


def test_a_save_that_began_before_its_report_is_at_no_distance_from_it():
    launch = Launch()
    launch.report(1.0)
    launch.rhythm.save(State(1, 1, launch.now), launch.now - 0.5, launch.now - 0.3)
    assert launch.rhythm.evidence()["shortest_s"] is None


@pytest.mark.parametrize("is_drained", [True, False])
def test_a_save_at_sigterm_does_not_make_saves_and_reports_uneven(is_drained):
    rhythm = Rhythm()
    rhythm.repeat(State(1, 1, 5.0), 6.0, 6.0, is_drained)
    assert rhythm.is_out_of_step
    assert rhythm.is_uneven is not is_drained


def test_saves_come_at_reports_if_that_is_so_twice_in_a_row():
    launch = Launch()
    for _ in range(3):
        assert not launch.rhythm.is_at_reports
        state = launch.save(1.0)
        launch.report(0.01)
        launch.rhythm.compare(state, 0.01, is_saved=True, are_all_saved=True)
        if launch.num_reports == 2:
            break
    assert launch.rhythm.is_at_reports
    state = launch.save(1.0)
    launch.rhythm.repeat(state, launch.now + 0.5, launch.now + 0.5, is_drained=False)
    assert (state.gap_s, state.soonest_s, state.latest_s) == (0.5, 1.5, 1.5)
    launch.report(0.9)
    launch.rhythm.compare(state, 0.4, is_saved=True, are_all_saved=True)
    assert not launch.rhythm.is_at_reports
