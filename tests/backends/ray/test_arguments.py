"""Arguments of the backend for Ray clusters, without a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from syne_hypersched.backends.ray._arguments import address_of, folders_of, variables


def test_variables_are_copied():
    given = {"A": "1"}
    assert variables(given) == given
    assert variables(given) is not given


@pytest.mark.parametrize("env_vars", [None, ["A=1"], {"A": 1}, {1: "A"}])
def test_what_is_no_variables(env_vars):
    with pytest.raises(TypeError, match="env_vars must map names of variables to texts"):
        variables(env_vars)


def test_folders_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folders_of(None, None, pass_args_as_json=True) == (None, None, None)
    assert folders_of("shared", None, pass_args_as_json=False) == (tmp_path / "shared", None, None)
    assert folders_of(None, Path("own"), pass_args_as_json=False) == (None, tmp_path / "own", None)


@pytest.mark.parametrize("node_path", [None, "own"])
def test_a_url_goes_with_a_folder_on_each_nodes_disk(tmp_path, monkeypatch, node_path):
    pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    own = None if node_path is None else tmp_path / "own"
    assert folders_of("memory://x", node_path, pass_args_as_json=False) == (None, own, "memory://x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shared", "own", False), "node_path must be None with a checkpoint_path"),
        (("shared", None, True), "pass_args_as_json must be False"),
        ((None, "own", True), "pass_args_as_json must be False"),
        (("memory://x", None, True), "pass_args_as_json must be False"),
        (("nosuch://x", None, False), "checkpoint_path must be a folder, or a URL that fsspec can write to, but got"),
        ((Path("s3://bucket/x"), None, False), "checkpoint_path must be the path of a folder, but got the URL"),
        ((None, "file:///scratch", False), "node_path must be the path of a folder, but got the URL"),
    ],
)
def test_what_does_not_go_together(arguments, message):
    with pytest.raises(ValueError, match=message):
        folders_of(*arguments)


def test_addresses_of_a_head():
    for address in ("auto", "10.0.0.1:6379", "head:6379", "[::1]:6379"):
        assert address_of(address) == address


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("ray://head:10001", ValueError, "address must be .* through a Ray Client the tuner is no node"),
        ("local", ValueError, "address must be .* use ElasticLocalBackend"),
        ("", ValueError, "address must be"),
        (None, TypeError, "address must be"),
    ],
)
def test_addresses_that_lead_to_no_head(address, error, message):
    with pytest.raises(error, match=message):
        address_of(address)
