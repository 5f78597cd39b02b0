"""What is written behind a URL, in which order, and what happens if that fails."""

from __future__ import annotations

import threading

import pytest

from syne_hypersched.backends.ray import _url_mirror
from syne_hypersched.backends.ray._url_mirror import PUT, REMOVE, DueWork, UrlMirror


class TestDueWork:
    def test_each_trial_has_one_thing_under_way(self):
        work = DueWork()
        work.put("0")
        work.put("0")
        work.put("1")
        assert [work.take(0.0), work.take(0.0), work.take(0.0)] == [("0", PUT), ("1", PUT), None]
        work.put("0")
        assert work.take(0.0) is None
        work.succeed("0")
        assert work.take(0.0) == ("0", PUT)
        assert not work.is_idle
        work.succeed("0")
        work.succeed("1")
        assert work.is_idle

    def test_what_is_removed_is_not_written_before_but_may_be_after(self):
        work = DueWork()
        work.put("0")
        work.remove("0")
        work.put("0")
        assert work.take(0.0) == ("0", REMOVE)
        work.succeed("0")
        assert work.take(0.0) == ("0", PUT)

    def test_what_has_failed_is_done_again_later_and_later(self):
        work = DueWork()
        work.put("0")
        waited = []
        for number in range(1, 9):
            now = 1000.0 * number
            assert work.take(now) == ("0", PUT)
            assert work.fail("0", now) == number
            assert work.take(now) is None
            waited.append(work.wait_s(now))
        assert waited == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
        work.forget_failures()
        assert work.take(now) == ("0", PUT)
        assert work.fail("0", now) == 1

    @pytest.mark.parametrize("what", [PUT, REMOVE])
    def test_a_removal_replaces_what_has_failed(self, what):
        work = DueWork()
        getattr(work, what)("0")
        work.take(0.0)
        work.remove("0")
        work.fail("0", 0.0)
        assert work.take(100.0) == ("0", REMOVE)
        work.succeed("0")
        assert work.is_idle

    def test_a_removal_that_has_failed_comes_before_what_is_new(self):
        work = DueWork()
        work.remove("0")
        work.take(0.0)
        work.put("0")
        work.fail("0", 0.0)
        assert work.take(100.0) == ("0", REMOVE)
        work.succeed("0")
        assert work.take(100.0) == ("0", PUT)

    def test_nothing_is_to_be_waited_for(self):
        work = DueWork()
        assert work.wait_s(0.0) is None
        work.put("0")
        assert work.wait_s(0.0) == 0.0
        work.take(0.0)
        assert work.wait_s(0.0) is None
        work.fail("0", 0.0)
        work.give_up("0")
        assert work.is_idle


class Store:
    """A store that fails for some trials, and waits if it is told to."""

    url = "fake://run"

    def __init__(self):
        self.calls, self.broken, self.may_go_on = [], set(), threading.Event()
        self.may_go_on.set()

    def put(self, trial, checkpoints, aside):
        assert self.may_go_on.wait(100)
        self.calls.append(("put", trial, checkpoints.name, aside.name))
        if trial in self.broken:
            raise OSError("access denied")

    def remove(self, trial):
        self.calls.append(("remove", trial))

    def get(self, trial, checkpoints, aside):
        return 7


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setattr(_url_mirror, "_RETRY_S", 0.01)
    store = Store()
    return UrlMirror(store, lambda trial: tmp_path / trial / "checkpoints"), store


def test_everything_is_written_at_the_end(mirror):
    mirror, store = mirror
    for trial in "0123456789":
        mirror.notice(trial)
    mirror.close()
    assert sorted(call[1] for call in store.calls) == list("0123456789")
    assert store.calls[0][2:] == ("checkpoints", ".uploading")
    assert mirror.fetch("0") == 7


def test_an_error_is_the_affair_of_one_trial_and_is_told_once(mirror, wait_for, caplog):
    mirror, store = mirror
    store.broken = {"1"}
    mirror.notice("1")
    wait_for(lambda: "cannot be written to fake://run: access denied" in caplog.text)
    mirror.notice("2")
    wait_for(lambda: ("put", "2", "checkpoints", ".uploading") in store.calls)
    num_calls = len(store.calls)
    wait_for(lambda: len(store.calls) > num_calls + 2)
    assert caplog.text.count("cannot be written") == 1
    store.broken = set()
    mirror.close()
    assert "were not written" not in caplog.text


def test_what_cannot_be_written_at_the_end_is_given_up_and_told(mirror, caplog):
    mirror, store = mirror
    store.broken = {"1"}
    mirror.notice("1")
    mirror.notice("2")
    mirror.close()
    assert "The checkpoints of trial 1 were not written to fake://run: access denied" in caplog.text
    assert "trial 2" not in caplog.text


def test_the_end_waits_for_a_slow_place_and_says_so(mirror, monkeypatch, wait_for, caplog):
    mirror, store = mirror
    monkeypatch.setattr(_url_mirror, "_TELL_S", 0.01)
    store.may_go_on.clear()
    mirror.notice("1")
    closing = threading.Thread(target=mirror.close, daemon=True)
    closing.start()
    wait_for(lambda: "The last checkpoints are being written to fake://run" in caplog.text)
    assert closing.is_alive()
    store.may_go_on.set()
    closing.join(100)
    assert len(store.calls) == 1


def test_what_was_removed_is_removed(mirror):
    mirror, store = mirror
    mirror.remove("1")
    mirror.close()
    assert store.calls == [("remove", "1")]


def test_nothing_to_do(mirror):
    mirror[0].close()
