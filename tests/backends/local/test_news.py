"""Waiting for events of trials: it ends at the first event, and needs no CPU time before."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time

import dill
import pytest

from syne_hypersched.backends.local import _news
from syne_hypersched.backends.local._news import News


@pytest.fixture(params=["inotify", "without"])
def news(request, monkeypatch):
    # A wait that is not ended by anything is to be noticed.
    monkeypatch.setattr(_news, "MOST_S", 60.0)
    if request.param == "without":

        def refuse():
            raise OSError("too many instances")

        monkeypatch.setattr(_news, "GrowthWatch", refuse)
    news = News()
    yield news
    news.close()


class Waiting:
    """A thread that waits for events."""

    def __init__(self, news):
        self.news = news
        self.thread = threading.Thread(target=news.wait, args=(60.0,), daemon=True)
        self.thread.start()

    @property
    def has_returned(self):
        return not self.thread.is_alive()


def settled(news, log):
    """News that have read a whole log."""
    log.write_text("before\n")
    news.watch(0, log)
    news.wait(0.2)
    news.wait(0.0)


def test_a_log_that_grows_ends_the_wait(news, tmp_path, wait_for):
    log = tmp_path / "std.out"
    settled(news, log)
    waiting = Waiting(news)
    with open(log, "a") as file:
        file.write("after\n")
    wait_for(lambda: waiting.has_returned)


def test_a_log_that_comes_into_being_ends_the_wait(news, tmp_path, wait_for):
    news.watch(0, tmp_path / "std.out")
    waiting = Waiting(news)
    (tmp_path / "std.out").write_text("a\n")
    wait_for(lambda: waiting.has_returned)


def test_a_notification_ends_the_wait(news, wait_for):
    told = []
    tell = news.telling(lambda *arguments: told.append(arguments))
    waiting = Waiting(news)
    # The thread may not wait yet: an earlier notification counts as well.
    wait_for(lambda: news._bell is not None)
    tell(1, 2)
    assert told == [(1, 2)]
    wait_for(lambda: waiting.has_returned)


def test_the_end_of_the_tuning_ends_the_wait(news, wait_for):
    news.set_due(time.monotonic() + 0.05)
    waiting = Waiting(news)
    wait_for(lambda: waiting.has_returned)


def test_a_log_that_is_left_does_not_end_the_wait(news, tmp_path):
    log = tmp_path / "std.out"
    settled(news, log)
    news.leave(0)
    news.wait(0.05)  # this ends the watch
    news.watch(1, tmp_path / "other" / "std.out")
    waiting = Waiting(news)
    with open(log, "a") as file:
        file.write("after\n")
    waiting.thread.join(0.2)
    assert not waiting.has_returned
    news.wake()
    waiting.thread.join()


def test_nothing_is_looked_at_while_nothing_happens(news, tmp_path, monkeypatch):
    if news._growth is None and _news.GrowthWatch.__name__ == "refuse":
        pytest.skip("without inotify the logs are looked at")
    settled(news, tmp_path / "std.out")
    heard = []
    hear = news._hear
    monkeypatch.setattr(news, "_hear", lambda *arguments, **options: heard.append(1) or hear(*arguments, **options))
    news.wait(0.3)
    assert len(heard) <= 2


def test_what_only_prints_wakes_the_tuner_less_and_less_often(news):
    for _ in range(10):
        news.fetched(0)
    assert news._gap_s == _news.MOST_GAP_S
    news.fetched(1)
    assert news._gap_s == _news.LEAST_GAP_S


def test_looking_at_many_trials_is_done_less_often_but_never_makes_a_report_wait_for_long():
    assert _news.next_gap_s(0.01, 1, 0.0005) == _news.LEAST_GAP_S
    assert _news.next_gap_s(0.1, 1, 0.001) == pytest.approx(0.02)
    assert _news.next_gap_s(0.01, 1, 5.0) == 0.03
    assert _news.next_gap_s(0.015, 0, 0.0) == 0.03
    assert _news.next_gap_s(0.005, 0, 5.0) == 0.03
    assert _news.next_gap_s(0.09, 0, 5.0) == _news.MOST_GAP_S


def test_ctrl_c_ends_the_wait_at_once(news):
    gc.collect()  # an interrupt inside of a __del__ is lost
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))

    def interrupted():
        timer.start()
        news.wait(60.0)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    timer.join()


def test_a_copy_waits_on_its_own(news, tmp_path):
    settled(news, tmp_path / "std.out")
    copy = dill.loads(dill.dumps(news))
    copy.wait(0.01)
    copy.close()
    copy.close()
    news.wait(0.01)


def test_nothing_is_waited_for_beyond_what_was_asked():
    news = News()
    news.wait(0.0)
    news.close()
    news.wake()
    news.wait(0.0)
    news.close()


@pytest.fixture
def counting(monkeypatch):
    """News that never have all logs read after the first time."""
    monkeypatch.setattr(_news, "_ALL_S", 1000.0)
    news = News()
    yield news
    news.close()


def append(log):
    with open(log, "a") as file:
        file.write("more\n")


def test_only_logs_that_have_grown_are_read(counting, tmp_path):
    logs = [tmp_path / str(number) for number in range(3)]
    for number, log in enumerate(logs):
        counting.watch(number, log)
    assert counting.take_grown() is None  # for the first time
    logs[0].touch()
    logs[1].write_text("before it was watched\n")
    assert counting.take_grown() == {0, 1}
    append(logs[0])
    counting.wait(10.0)
    append(logs[1])
    assert counting.take_grown() == {0, 1}
    assert counting.take_grown() == set()
    counting.leave(0)
    append(logs[0])
    append(logs[2])
    assert counting.take_grown() == {2}


def test_all_logs_are_read_now_and_then(counting, tmp_path, monkeypatch):
    counting.watch(0, tmp_path / "log")
    counting.take_grown()
    monkeypatch.setattr(_news, "_ALL_S", 0.0)
    counting._read_all_at = 0.0
    assert counting.take_grown() is None
    assert counting.take_grown() is None


def test_all_logs_are_read_if_they_cannot_be_watched(counting, tmp_path):
    assert counting.take_grown() is None, "no log is watched yet"
    counting.watch(0, tmp_path / "log")
    counting.take_grown()
    counting.close()
    assert counting.take_grown() is None
