from __future__ import annotations

import socket

import pytest

from syne_hypersched.backends.machine import _free_port as module
from syne_hypersched.backends.machine._free_port import free_port


@pytest.fixture
def first_ephemeral(tmp_path, monkeypatch):
    """Sets the first port that the kernel takes for connections."""

    def use(text):
        monkeypatch.setattr(module, "_EPHEMERAL_PATH", tmp_path / "range")
        (tmp_path / "range").write_text(text)

    return use


def test_a_port_is_none_that_the_kernel_takes_for_connections(first_ephemeral):
    first_ephemeral("20100\t60999\n")
    assert all(20_000 <= free_port() < 20_100 for _ in range(20))


def test_a_port_that_somebody_listens_on_is_left_out(first_ephemeral, monkeypatch):
    """On whatever network device, since PyTorch listens on all of them."""
    port = free_port()
    first_ephemeral(f"{port + 1} 60999")
    monkeypatch.setattr(module, "_FIRST", port)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert free_port() != port


@pytest.mark.parametrize("text", ["1024 65535", "20000 60999", "", "none"])
def test_where_there_is_no_room_or_no_range_it_is_any_free_port(first_ephemeral, text):
    first_ephemeral(text)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", free_port()))


def test_where_all_are_taken_it_is_one_for_connections(first_ephemeral, monkeypatch):
    first_ephemeral("20100 60999")
    monkeypatch.setattr(module, "_is_free", lambda port: False)
    assert free_port() >= 1024
