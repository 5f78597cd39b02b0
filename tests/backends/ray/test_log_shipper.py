"""What ranks print is sent as soon as it is printed, whole and in order."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.ray import _log_shipper
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
