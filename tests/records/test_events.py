from __future__ import annotations

import json
from pathlib import Path

import pytest

from syne_hypersched.experiments import Event, EventReader, read_events


def line(**values: object) -> str:
    return json.dumps({"time_s": 1.5, "event": "launch", **values}) + "\n"


def test_line_has_its_own_fields_and_details(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line(trial_id=3, devices=["cpu0", "cpu1"], num_devices=2, launch=1, reason="why", wait_s=0.25))
    assert read_events(path) == (Event(1.5, "launch", 3, ("cpu0", "cpu1"), 1, "why", {"wait_s": 0.25}),)


def test_reader_gives_each_event_once_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    assert reader.read_new() == ()
    with path.open("a") as file:
        file.write(line(trial_id=0) + line(trial_id=1))
        file.flush()
        assert [event.trial_id for event in reader.read_new()] == [0, 1]
        assert reader.read_new() == ()
        file.write(line(trial_id=2))
        file.flush()
        assert [event.trial_id for event in reader.read_new()] == [2]


def test_torn_last_line_is_left_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = line(trial_id=0, reason="größer")
    torn = whole.encode()[:-4]
    path.write_bytes(whole.encode() + torn)
    reader = EventReader(path)
    assert [event.reason for event in reader.read_new()] == ["größer"]
    with path.open("ab") as file:
        file.write(whole.encode()[-4:])
    assert [event.reason for event in reader.read_new()] == ["größer"]


@pytest.mark.parametrize(
    "bad",
    [
        "not json", "[1, 2]", '"text"', '{"event": "launch"}', '{"time_s": 1}', '{"time_s": "x", "event": "launch"}',
        "",
        *(
            '{"time_s": 1, "event": "launch", ' + entry + "}"
            for entry in (
                '"trial_id": "x"', '"trial_id": []', '"trial_id": 1.5', '"trial_id": true', '"launch": []',
                '"launch": {}', '"reason": null', '"reason": []', '"devices": null', '"devices": "cpu0"',
                '"devices": [0]', '"devices": [[]]',
            )
        ),
    ],
)  # fmt: skip
def test_whole_line_that_is_no_event_is_refused_with_its_number(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line() + bad + "\n" + line())
    with pytest.raises(ValueError, match=r"events\.jsonl, line 2: a line must be a JSON object"):
        read_events(path)


def test_missing_file_is_an_error_only_for_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*events\.jsonl"):
        read_events(tmp_path / "events.jsonl")
