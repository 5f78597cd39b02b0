"""Messages wait until their arrival is acknowledged."""

from __future__ import annotations

import threading
import time

from syne_hypersched.backends.ray import _unacknowledged
from syne_hypersched.backends.ray._unacknowledged import Unacknowledged


def numbers(taken):
    return [number for number, _, _ in taken]


def test_what_is_not_acknowledged_is_sent_again():
    outbox = Unacknowledged()
    for value in "abc":
        outbox.put({"value": value})
    assert numbers(outbox.take(0, 0.0)) == [1, 2, 3]
    assert numbers(outbox.take(0, 0.0)) == [1, 2, 3]
    assert numbers(outbox.take(2, 0.0)) == [3]
    assert outbox.take(3, 0.0) == []


def test_who_waits_is_woken_by_a_message(wait_for):
    outbox, taken = Unacknowledged(), []
    thread = threading.Thread(target=lambda: taken.extend(outbox.take(0, 60.0)))
    thread.start()
    outbox.put({"value": 1})
    thread.join()
    ((number, moment, message),) = taken
    assert (number, message) == (1, {"value": 1})
    assert moment <= time.monotonic()


def test_logs_that_nobody_takes_stay_in_their_files(monkeypatch):
    monkeypatch.setattr(_unacknowledged, "_MOST_BYTES", 100)
    outbox = Unacknowledged()
    outbox.put({"data": "x" * 60}, 60)
    assert not outbox.is_full
    outbox.put({"data": "x" * 60}, 60)
    assert outbox.is_full
    outbox.take(1, 0.0)
    assert not outbox.is_full


def test_an_answer_has_a_limited_size(monkeypatch):
    monkeypatch.setattr(_unacknowledged, "_BATCH_BYTES", 100)
    outbox = Unacknowledged()
    for _ in range(5):
        outbox.put({"data": "x" * 60}, 60)
    assert numbers(outbox.take(0, 0.0)) == [1, 2]
    assert numbers(outbox.take(2, 0.0)) == [3, 4]
