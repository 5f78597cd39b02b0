from __future__ import annotations

import json

import pytest

from syne_hypersched.checkpoints import CheckpointSpec, Ending
from syne_hypersched.contract import EXIT_DRAINED
from syne_hypersched.launch import LaunchSpec, RankSpec, working_directory
from syne_hypersched.launch._spec import LaunchExit, LineBuffer, encode

BASE = {"PATH": "/bin", "HOME": "/home/me", "LANG": "C"}


@pytest.mark.parametrize(
    "checkpoints", [None, CheckpointSpec("/run/0/checkpoints", "/run/0/std.out", 2, metric="loss")]
)
def test_a_spec_is_sent_as_json(checkpoints):
    ranks = (
        RankSpec({**BASE, "RANK": "0", "LANG": "en"}, "out0", "err0", (0, 1)),
        RankSpec({"PATH": "/bin", "RANK": "1"}, "out1", "err1"),
    )
    spec = LaunchSpec(("train.py", "--lr", "0.1"), ranks, warm=True, grace_s=2.5, cwd="/run", checkpoints=checkpoints)
    data = json.loads(json.dumps(spec.to_json(BASE)))
    assert LaunchSpec.from_json(data, BASE) == spec
    assert [(rank["set"], rank["unset"]) for rank in data["ranks"]] == [
        ({"RANK": "0", "LANG": "en"}, []), ({"RANK": "1"}, ["HOME", "LANG"]),
    ]  # fmt: skip
    assert LaunchSpec.from_json(spec.to_json({}), {}) == spec


@pytest.mark.parametrize("ending", [None, Ending(is_whole=False, num_taken=3, order="late")])
def test_an_exit_is_sent_as_json(ending):
    exit_ = LaunchExit((0, None, -9), 2, True, False, lost=True, error="why", checkpoints=ending)
    data = json.loads(json.dumps(exit_.to_json()))
    assert LaunchExit.from_json(data) == exit_
    if ending is None:
        del data["checkpoints"]  # of a supervisor that does not watch
        assert LaunchExit.from_json(data) == exit_


def exited(*exit_codes, first_failed=None) -> LaunchExit:
    return LaunchExit(exit_codes, first_failed, drained=False, killed=False)


@pytest.mark.parametrize(
    ("exit_", "exit_code"),
    [
        (exited(0, 0), 0), (exited(0, 3, 4), 3), (exited(-9, 3, first_failed=1), 3), (exited(0, None), None),
        (exited(5, 0, first_failed=0), 5), (exited(), None),
    ],
)  # fmt: skip
def test_the_exit_code_is_that_of_the_rank_that_failed_first(exit_, exit_code):
    assert exit_.exit_code == exit_code


@pytest.mark.parametrize(
    ("exit_codes", "has_left"),
    [
        ((EXIT_DRAINED,), True), ((EXIT_DRAINED, 0), True), ((0, 0), False), ((EXIT_DRAINED, 1), False),
        ((EXIT_DRAINED, None), False), ((-15,), False), ((), False),
    ],
)  # fmt: skip
def test_ranks_that_have_left_on_sigterm(exit_codes, has_left):
    assert exited(*exit_codes).has_left == has_left


def test_messages_come_in_pieces():
    buffer, messages = LineBuffer(), [{"event": "exit", "text": "a\nb é"}, {"event": "launched", "pids": [1]}, {}]
    data = b"".join(map(encode, messages))
    assert data.count(b"\n") == 3
    assert [message for index in range(len(data)) for message in buffer.feed(data[index : index + 1])] == messages
    assert buffer.feed(data + b'{"half":') == messages
    assert buffer.feed(b" 1}\n\n") == [{"half": 1}]
    assert buffer.feed(b"") == []


def test_a_working_directory_that_was_removed_is_none(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    assert working_directory() == str(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert working_directory() is None
