"""The process of the gateway: how it is started and ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from syne_hypersched._version import __version__
from syne_hypersched.backends.ray._gateway_process import end_gateway, no_device, start_gateway, warn_of_versions

SLEEPS = [sys.executable, "-c", "import time; time.sleep(1000)"]


def test_a_gateway_that_does_not_end_is_killed():
    process = subprocess.Popen(SLEEPS)
    end_gateway(process, 0.01)
    assert process.returncode == -9


def test_a_gateway_that_ends_is_waited_for():
    process = subprocess.Popen([sys.executable, "-c", ""])
    end_gateway(process, 1000.0)
    assert process.returncode == 0


@pytest.mark.parametrize("has_log", [False, True])
def test_a_gateway_without_a_tuner_ends(tmp_path, has_log):
    process, link = start_gateway(tmp_path / "gateway.log" if has_log else None)
    link.end()
    link.close()
    end_gateway(process, 1000.0)
    assert process.returncode == 0
    assert (tmp_path / "gateway.log").exists() == has_log


@pytest.mark.parametrize(
    ("hello", "is_told"),
    [
        ({"version": __version__, "python": list(sys.version_info[:2])}, False),
        ({"version": "0.0", "python": list(sys.version_info[:2])}, True),
        ({"version": __version__, "python": [2, 7]}, True),
    ],
)
def test_other_versions_are_told(caplog, hello, is_told):
    warn_of_versions("node7", hello)
    assert ("Node node7 has syne_hypersched" in caplog.text) is is_told


def test_nodes_that_cannot_be_used_are_named_where_there_is_no_device():
    assert str(no_device("slot", 60.0, {})).endswith("but no 'slot' came within 60 s")
    some = str(no_device("slot", 60.0, {f"n{number}": "no module" for number in range(5)}))
    assert some.endswith("; node n0: no module; node n1: no module; node n2: no module; and 2 more")
