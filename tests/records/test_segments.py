"""The journal on disk: written entries are read back, after any death of its writer or the machine."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched._disk import Disk
from syne_hypersched.records.segments import SegmentWriter, as_json, read_segments, sync_segments
from syne_hypersched.testing.crashing_disk import Crash, CrashingDisk
from tests.thoroughness import examples


def write(folder, number, entries, num_before=0, disk=None):
    writer = SegmentWriter(str(folder), number, {"timestamp": 0.0}, num_before, disk or Disk())
    for entry in entries:
        writer.append(entry)
    return writer


def entries_of(count, first=0):
    return [{"call": "x", "number": number} for number in range(first, first + count)]


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_value_comes_back_as_it_was(value):
    # NaN differs from itself, and 0.0 equals -0.0.
    assert repr(as_json(value)) == repr(value)


def test_a_value_that_json_does_not_keep_is_refused():
    with pytest.raises(TypeError, match=r"can store only JSON values, but got \(1\+2j\)"):
        as_json(1 + 2j)


def test_segments_are_read_in_order(tmp_path):
    write(tmp_path, 0, entries_of(3)).close()
    write(tmp_path, 1, entries_of(2, first=3), num_before=3).close()
    (tmp_path / "000001.jsonl.bak").write_text("not a segment")
    segments = read_segments(str(tmp_path), Disk())
    assert list(segments.entries) == entries_of(5)
    assert len(segments.headers) == 2
    assert segments.next_number == 2


@pytest.mark.parametrize("torn", [b'{"call": "x", "numb', b"\0\0\0\0\n", b"\xff\n", b"[1]\n", b'{"a": 1}'])
def test_a_torn_line_and_what_follows_it_is_left_out(tmp_path, torn):
    write(tmp_path, 0, entries_of(3)).close()
    with open(tmp_path / "000000.jsonl", "ab") as file:
        file.write(torn)
    assert list(read_segments(str(tmp_path), Disk()).entries) == entries_of(3)
    # The next tuner goes on from what it has read, so that the line never counts, even if it can be read one day.
    write(tmp_path, 1, entries_of(1, first=3), num_before=3).close()
    with open(tmp_path / "000000.jsonl", "ab") as file:
        file.write(b'er": 1}\n')
    assert list(read_segments(str(tmp_path), Disk()).entries) == entries_of(4)


def test_a_segment_is_never_begun_twice(tmp_path):
    write(tmp_path, 0, []).close()
    with pytest.raises(FileExistsError):
        write(tmp_path, 0, [])


def test_another_format_is_refused(tmp_path):
    (tmp_path / "000000.jsonl").write_text(json.dumps({"format": 99}) + "\n")
    with pytest.raises(ValueError, match="format 1, but says 99"):
        read_segments(str(tmp_path), Disk())


def test_a_journal_that_lacks_entries_is_refused(tmp_path):
    write(tmp_path, 0, entries_of(3)).close()
    write(tmp_path, 1, [], num_before=3).close()
    (tmp_path / "000000.jsonl").write_bytes((tmp_path / "000000.jsonl").read_bytes()[:-5])
    with pytest.raises(ValueError, match="must have 3 entries, but only 2 can be read"):
        read_segments(str(tmp_path), Disk())


@settings(max_examples=examples(150), deadline=None)
@given(seed=st.integers(0, 2**32), of_the_machine=st.booleans(), num_deaths=st.integers(1, 4))
def test_what_was_synced_survives_any_crash(seed, of_the_machine, num_deaths):
    """Writers die one after the other; each one goes on from the entries that it reads."""
    generator = random.Random(seed)
    disk = CrashingDisk(generator)
    written, synced, number = [], 0, 0
    for _ in range(num_deaths):
        segments = read_segments("journal", disk)
        known = list(segments.entries)
        assert len(known) >= synced
        # A line may have been written without its writer knowing.
        assert written[: len(known)] == known or known[:-1] == written
        sync_segments("journal", disk)
        written, synced = known, len(known)
        disk.crash_after = generator.randrange(60)
        try:
            writer = SegmentWriter("journal", segments.next_number, {}, len(known), disk)
            for _ in range(generator.randrange(30)):
                entry = {"number": number, "x": "y" * generator.randrange(1200)}
                number += 1
                written = [*written, entry]
                writer.append(entry)
                if generator.random() < 0.3:
                    writer.sync()
                    synced = len(written)
        except Crash:
            pass
        disk.crash(of_the_machine)
    known = list(read_segments("journal", disk).entries)
    assert len(known) >= synced
    assert written[: len(known)] == known
    if not of_the_machine:
        assert len(known) >= len(written) - 1


def test_nan_is_nan():
    assert math.isnan(as_json(float("nan")))
