"""The stored tuner is whole at every moment, and readable only by the user."""

from __future__ import annotations

import errno
import os

import pytest

from syne_hypersched.recovery._setup import write_setup


def test_it_is_for_the_user_alone(tmp_path):
    write_setup(tmp_path / "setup.dill", b"tuner")
    assert (tmp_path / "setup.dill").read_bytes() == b"tuner"
    assert (tmp_path / "setup.dill").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["setup.dill"]


def test_a_write_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    """As on a full disk, or when the machine dies before the new one is synced."""

    def fail(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "setup.dill"
    write_setup(path, b"before")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_setup(path, b"half")
    assert path.read_bytes() == b"before"
