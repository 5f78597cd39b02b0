"""What ranks print is sent as soon as it is printed, whole and in order."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.ray import _log_shipper, _unacknowledged
from syne_hypersched.backends.ray._log_shipper import LogShipper
from syne_hypersched.backends.ray._messages import bytes_of
from syne_hypersched.backends.ray._unacknowledged import Unacknowledged


def no_inotify():
    raise OSError("refused")


@pytest.fixture(params=[True, False], ids=["inotify", "looks"])
def shipper(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(_log_shipper, "GrowthWatch", no_inotify)
    outbox = Unacknowledged()
    shipper = LogShipper(outbox)
    yield shipper, outbox
    shipper.close()


def sent(outbox, name="0.out"):
    messages = [message for _, _, message in outbox.take(0, 0.0)]
    return b"".join(bytes_of(message["data"]) for message in messages if message["name"] == name)


def test_what_is_printed_is_sent(shipper, tmp_path, wait_for):
    shipper, outbox = shipper
    path = tmp_path / "7-0.out"
    shipper.add(7, {"0.out": path})
    text = b"one\n\xff\x00two\n"
    with open(path, "ab", buffering=0) as file:
        file.write(text)
        wait_for(lambda: sent(outbox) == text)
        file.write(b"three")
        wait_for(lambda: sent(outbox) == text + b"three")


def test_the_rest_is_sent_at_the_end_and_the_files_are_removed(shipper, tmp_path):
    shipper, outbox = shipper
    paths = {name: tmp_path / name for name in ("0.out", "0.err")}
    shipper.add(7, paths)
    long = b"x" * 200_000
    paths["0.out"].write_bytes(long)
    paths["0.err"].write_bytes(b"error")
    shipper.finish(7)
    assert sent(outbox) == long
    assert sent(outbox, "0.err") == b"error"
    assert not any(path.exists() for path in paths.values())
    shipper.finish(7)  # nothing is left to send


def take_all(outbox, until):
    """What is sent until something has happened, as bytes by name; and most bytes that waited at a time."""
    got, acknowledged, most = {}, 0, 0
    while not until() or outbox.take(acknowledged, 0.0):
        most = max(most, outbox._num_bytes)
        for number, _, message in outbox.take(acknowledged, 0.01):
            acknowledged = number
            got[message["name"]] = got.get(message["name"], b"") + bytes_of(message["data"])
    return got, most


def test_a_long_log_waits_in_its_file_until_there_is_room(shipper, tmp_path):
    """An agent must not hold what a script has printed faster than it can be sent."""
    shipper, outbox = shipper
    done = []
    shipper.add(7, {"0.out": tmp_path / "0.out"})
    long = b"".join(b"%07d\n" % number for number in range(1_500_000))
    (tmp_path / "0.out").write_bytes(long)
    shipper.finish(7, lambda: done.append(len(list(tmp_path.iterdir()))))
    assert done == []
    got, most = take_all(outbox, lambda: done)
    assert got == {"0.out": long}
    assert most < 2 * _unacknowledged._MOST_BYTES
    assert done == [0]


def test_who_prints_little_does_not_wait_for_who_prints_much(shipper, tmp_path, wait_for):
    shipper, outbox = shipper
    for launch, name in ((1, "long"), (2, "short")):
        (tmp_path / name).write_bytes(b"x" * (9_000_000 if name == "long" else 9))
        shipper.add(launch, {name: tmp_path / name})
    wait_for(lambda: outbox.is_full)
    acknowledged, sent_before = 0, {"long": 0, "short": 0}
    while not sent_before["short"]:
        for number, _, message in outbox.take(acknowledged, 0.01):
            acknowledged = number
            sent_before[message["name"]] += len(message["data"])
    assert sent_before["short"] == 9
    assert sent_before["long"] < 9_000_000


def test_what_waits_is_sent_at_once_when_nobody_takes_it_any_more(shipper, tmp_path):
    shipper, outbox = shipper
    done = []
    shipper.add(7, {"0.out": tmp_path / "0.out"})
    (tmp_path / "0.out").write_bytes(b"x" * 9_000_000)
    shipper.finish(7, lambda: done.append(True))
    shipper.close(lambda: False)
    assert done == [True]
    assert outbox._num_bytes == 9_000_000
    assert not (tmp_path / "0.out").exists()
