"""Where agents keep checkpoints on their disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from syne_hypersched.backends.ray._homes import Homes
from syne_hypersched.backends.ray._scratch import OWNER
from syne_hypersched.launch import identify


def test_all_agents_use_the_same_path_unless_they_share_a_machine(tmp_path):
    first, second = Homes(str(tmp_path / "a")), Homes(str(tmp_path / "b"))
    assert first.of("ab12").relative_to(tmp_path / "a") == second.of("ab12").relative_to(tmp_path / "b")
    third = Homes(str(tmp_path / "a"))
    assert third.of("ab12") == first.of("ab12").with_name("ab12-2")
    assert third.of("ab12") == third.of("ab12")
    assert third.of("cd") == first.root / "cd"


def test_what_is_there_is_private_and_goes_at_the_end(tmp_path):
    homes = Homes(str(tmp_path))
    folder = homes.of("ab")
    assert folder.stat().st_mode & 0o077 == 0
    (folder / "0").mkdir()
    homes.remove()
    assert not folder.exists()
    assert list(homes.of("ab").iterdir()) == [homes.of("ab") / OWNER]


def test_the_folder_of_a_dead_agent_is_taken_over_empty(tmp_path):
    homes = Homes(str(tmp_path))
    for name in ("ab", "cd"):
        (homes.root / name / "0").mkdir(parents=True)
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        (homes.root / name / OWNER).write_text(json.dumps(identify([process.pid])))
        process.communicate(b"\n")
    assert homes.of("ab") == homes.root / "ab"
    assert os.listdir(homes.of("ab")) == [OWNER]
    homes.clean()
    assert os.listdir(homes.root) == ["ab"]


def test_a_place_where_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        Homes(str(tmp_path / "file")).check()
    homes = Homes(str(tmp_path / "new"))
    homes.check()
    assert os.listdir(homes.root) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "xyz", "a" * 65])
def test_names_that_are_no_experiments(tmp_path, name):
    with pytest.raises(ValueError, match="home must be hexadecimal digits"):
        Homes(str(tmp_path)).of(name)
