"""The folder of an agent, and what a dead agent has left."""

from __future__ import annotations

import json
import subprocess
import sys

from syne_hypersched.backends.ray._scratch import Scratch
from syne_hypersched.launch import here


def test_folders_of_agents_that_live_stay(tmp_path):
    one, two = Scratch(tmp_path), Scratch(tmp_path)
    two.end_orphans(0.0)
    assert one.folder.is_dir()
    one.remove()
    assert not one.folder.exists()
    assert two.folder.stat().st_mode & 0o077 == 0


def test_what_a_dead_agent_has_left_is_ended(tmp_path):
    mine = Scratch(tmp_path)
    dead = tmp_path / "dead"
    dead.mkdir()
    (dead / "owner.json").write_text(json.dumps({"pids": [1], "start_ticks": [-1], **here()}))
    with open(dead / "0-0.out", "wb") as log:
        orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=log)
    try:
        mine.end_orphans(0.0)
        assert orphan.wait() != 0
        assert not dead.exists()
    finally:
        orphan.kill()
        orphan.communicate()


def test_folders_of_another_machine_or_without_an_owner_are_left_alone(tmp_path):
    mine = Scratch(tmp_path)
    other, unknown = tmp_path / "other", tmp_path / "unknown"
    for folder in (other, unknown):
        folder.mkdir()
    owner = {"pids": [1], "start_ticks": [-1], **here(), "host": "another"}
    (other / "owner.json").write_text(json.dumps(owner))
    mine.end_orphans(0.0)
    assert other.is_dir()
    assert unknown.is_dir()
