"""Which devices a run has, told by its events, and how long a command waits for a change."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from syne_hypersched.experiments import Event
from syne_hypersched.experiments.pool import (
    ENDED,
    SIMULATED,
    PoolState,
    change_and_print,
    wait_until_done,
    write_request,
)
from syne_hypersched.records.events import EventReader


def state_of(*events: Event) -> PoolState:
    state = PoolState()
    for event in (Event(0.0, "setup", devices=("a", "b", "c")), *events):
        state.add(event)
    return state


def test_a_state_in_words() -> None:
    retire = Event(1.0, "retire", devices=("b", "c"))
    assert state_of().describe() == "3 of 3 devices present: a, b, c"
    assert state_of(retire).describe() == (
        "1 of 3 devices present: a; 2 are to go as soon as their trials have ended: b, c"
    )
    freed = Event(2.0, "freed", devices=("c",))
    assert state_of(retire, freed).describe() == (
        "1 of 3 devices present: a; 1 is to go as soon as its trial has ended: b"
    )
    assert state_of(retire, freed, Event(3.0, "join", devices=("b", "d"))).describe() == (
        "3 of 4 devices present: a, b, d"
    )
    lost = Event(1.0, "lose", devices=("a", "b", "c"))
    assert state_of(lost, Event(1.5, "launch", 0, ("a",), 0)).describe() == "0 of 3 devices present"


def test_the_devices_of_a_cluster_are_named_by_node() -> None:
    state = PoolState()
    state.add(Event(0.0, "setup", devices=tuple(f"node{node}/{index}" for node in range(1, 33) for index in range(8))))
    state.add(Event(1.0, "retire", devices=("node2/0", "node2/1", "node2/2", "node3/7")))
    assert state.describe() == (
        "252 of 256 devices present: node1, node4 to node32, node2/3 to 7, node3/0 to 6; "
        "4 are to go as soon as their trials have ended: node2/0 to 2, node3/7"
    )


def test_a_command_waits_until_the_devices_are_free(tmp_path: Path) -> None:
    path, turns = tmp_path / "events.jsonl", []
    request = write_request(tmp_path, 1)
    story = [
        '{"time_s": 1, "event": "retire", "devices": ["b"]}',
        f'{{"time_s": 1, "event": "pool", "request": "{request}", "is_done": true}}',
        '{"time_s": 2, "event": "freed", "devices": ["b"]}',
    ]

    def pause(seconds: float) -> None:
        with path.open("a") as file:
            file.write(story[len(turns)] + "\n")
        turns.append(seconds)

    assert wait_until_done(EventReader(path), state_of(), request, 60.0, pause) == ""
    assert len(turns) == 3


def test_a_command_says_what_is_held_when_it_gives_up(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"time_s": 1, "event": "retire", "devices": ["b"]}\n'
        '{"time_s": 1, "event": "pool", "request": "r", "is_done": true}\n'
        '{"time_s": 1, "event": "pool", "request": "s", "is_done": false, "reason": "why"}\n'
    )
    assert wait_until_done(EventReader(path), state_of(), "r", 0.0) == (
        "after 0 s trials still hold devices that will leave: b"
    )
    assert wait_until_done(EventReader(path), state_of(), "s", 0.0) == "why"


def test_nobody_waits_for_a_run_that_has_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events.jsonl").write_text('{"time_s": 0, "event": "setup", "devices": ["a", "b"]}\n')
    (tmp_path / "metadata.json").write_text("{}")
    (tmp_path / "journal").mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "journal" / "lock").write_text(f"process {ended.pid} on {socket.gethostname()}")
    assert change_and_print(tmp_path, 1, timeout_s=600.0) == 1
    assert "the run has ended, or its tuner was killed" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["events.jsonl", "journal", "metadata.json"]
    assert change_and_print(tmp_path, None, timeout_s=600.0) == 0
    assert capsys.readouterr().out == f"{tmp_path}: {ENDED}. At its end, 2 of 2 devices present: a, b\n"


def test_a_command_notices_that_the_tuner_goes_while_it_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "events.jsonl").write_text('{"time_s": 0, "event": "setup", "devices": ["a", "b"]}\n')
    (tmp_path / "metadata.json").write_text("{}")
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "lock").write_text(f"process {os.getppid()} on {socket.gethostname()}")

    def end(seconds: float) -> None:
        (tmp_path / "journal" / "lock").write_text(f"process {2**22 + 1} on {socket.gethostname()}")

    monkeypatch.setattr("syne_hypersched.experiments.pool.time.sleep", end)
    assert change_and_print(tmp_path, 1, timeout_s=600.0) == 1
    assert capsys.readouterr().err == f"{tmp_path}: {ENDED}\n"
    assert not (tmp_path / "pool.json").exists(), "a resumed run would find it"


def test_an_answer_just_before_the_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"time_s": 1, "event": "pool", "request": "r", "is_done": true}\n')
    assert wait_until_done(EventReader(path), state_of(), "r", 600.0, has_ended=lambda: True) == ""


def test_a_simulated_run_has_no_devices_to_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events.jsonl").write_text(
        '{"time_s": 0, "event": "setup", "devices": ["a", "b"], "mode": "simulated"}\n'
    )
    (tmp_path / "metadata.json").write_text("{}")
    assert change_and_print(tmp_path, 1, timeout_s=600.0) == 1
    assert capsys.readouterr().err == f"{tmp_path}: {SIMULATED}\n"
    assert change_and_print(tmp_path, None, timeout_s=600.0) == 0
    assert capsys.readouterr().out == f"{tmp_path}: {SIMULATED}. At its end, 2 of 2 devices present: a, b\n"
