"""The stored tuner is whole at every moment, and readable only by the user."""

from __future__ import annotations

import errno
import os
import pathlib
import pickle

import pytest

from syne_hypersched.recovery._setup import load_setup, write_setup


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


def test_paths_that_python_3_13_has_stored_can_be_loaded_by_each_version(tmp_path):
    """It stores them as ``pathlib._local.PosixPath``, and versions before and after have no such module."""
    stored = pickle.dumps(pathlib.Path("/a/b"), protocol=0).replace(b"cpathlib\n", b"cpathlib._local\n")
    assert b"pathlib._local" in stored
    write_setup(tmp_path / "setup.dill", stored)
    assert load_setup(tmp_path / "setup.dill") == pathlib.Path("/a/b")
