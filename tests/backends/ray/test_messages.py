"""Messages are JSON, and nothing else is read."""

from __future__ import annotations

import pickle
import socket
import threading

import pytest

from syne_hypersched.backends.ray._messages import Link, bytes_of, pack, text_of, unpack


@pytest.mark.parametrize("data", [pickle.dumps({"event": "x"}), b"[1]", b"", "{}", None, {"event": "x"}])
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ValueError):
        unpack(data)


def test_any_bytes_survive():
    data = bytes(range(256)) * 3
    assert bytes_of(unpack(pack({"data": text_of(data)}))["data"]) == data


def test_messages_arrive_whole_and_in_order():
    ours, theirs = (Link(end) for end in socket.socketpair())
    sent = [{"number": number, "data": "x" * 300_000} for number in range(5)]
    thread = threading.Thread(target=lambda: [ours.send(message) for message in sent])
    thread.start()
    assert [theirs.receive() for _ in sent] == sent
    thread.join()
    ours.end()
    assert theirs.receive() is None
    assert theirs.send({"number": 6}) in (True, False)
    ours.close()
    theirs.close()
    assert not ours.send({"number": 7})
