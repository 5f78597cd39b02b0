"""Ports that are kept for launches."""

from __future__ import annotations

import socket

import pytest

from syne_hypersched.backends.ray._ports import Ports


def test_a_port_is_kept_until_it_is_released():
    ports = Ports()
    one, two = ports.open(2)
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("", one))
    ports.release(one)
    with socket.socket() as other:
        other.bind(("", one))
    ports.close()
    with socket.socket() as other:
        other.bind(("", two))
    ports.release(two)
