"""The tail of a log: every report once, however it is written, and no more in memory than is needed."""

from __future__ import annotations

import json
import pickle
import threading
import tracemalloc

import dill
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched import _log_tail
from syne_hypersched._log_tail import LogTail
from syne_hypersched._report_lines import reports_of


def report(**values):
    return f"[tune-metric]: {json.dumps(values)}"


def append(path, text):
    with open(path, "ab") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def epochs(reports):
    return [each.values["epoch"] for each in reports]


PIECES = st.one_of(
    st.binary(max_size=20), st.sampled_from([b"\n", b"[tune-metric]: ", b'{"epoch": 1}', report(epoch=2).encode()])
)


@given(pieces=st.lists(PIECES, max_size=12), chunk_bytes=st.integers(64, 200))
def test_every_report_comes_once_however_it_is_written(tmp_path_factory, pieces, chunk_bytes):
    path = tmp_path_factory.mktemp("log") / "std.out"
    tail, seen = LogTail(path), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_log_tail, "CHUNK_BYTES", chunk_bytes)
        for number, piece in enumerate(pieces):
            append(path, piece)
            seen += tail.reports()
            tail = (pickle, dill)[number % 2].loads((pickle, dill)[number % 2].dumps(tail))
        seen += tail.reports(to_the_end=True)
    content, begin, sent = b"".join(pieces), 0, []
    for line in content.split(b"\n"):
        sent += reports_of(line, begin).reports
        begin += len(line) + 1
    assert seen == sent
    assert all(content[: each.end].endswith(b"}") for each in seen)


def test_a_tail_waits_for_a_log_that_does_not_exist_yet(tmp_path):
    tail = LogTail(tmp_path / "std.out")
    assert tail.reports() == []
    append(tmp_path / "std.out", report(epoch=1) + "\n[tune-metric]: {")
    assert epochs(tail.reports()) == [1]
    assert tail.reports() == []
    append(tmp_path / "std.out", '"epoch": 2}')
    assert epochs(tail.reports()) == [2]  # a report needs no line end
    assert tail.reports(to_the_end=True) == []


def test_reports_in_a_line_that_never_ends(tmp_path):
    path, tail = tmp_path / "std.out", LogTail(tmp_path / "std.out")
    seen = []
    for epoch in range(1, 7):
        append(path, "\r 40%|####      |" * 50_000 + report(epoch=epoch))
        seen += epochs(tail.reports())
    assert seen == [1, 2, 3, 4, 5, 6]
    tail.close()


def test_a_torn_report_is_one_warning(tmp_path, caplog):
    append(tmp_path / "std.out", (report(epoch=1)[:-4] + "\n" + report(epoch=2) + "\n") * 3)
    assert epochs(LogTail(tmp_path / "std.out").reports(to_the_end=True)) == [2, 2, 2]
    (record,) = caplog.records
    assert str(tmp_path / "std.out") in record.getMessage()


def test_a_report_that_is_endless_is_torn_and_those_behind_it_count(tmp_path, caplog):
    append(tmp_path / "std.out", '[tune-metric]: {"note": "' + "x" * (5 << 20))
    tail = LogTail(tmp_path / "std.out")
    while not caplog.records:
        tail.reports()
    append(tmp_path / "std.out", report(epoch=1))
    assert epochs(tail.reports(to_the_end=True)) == [1]


def test_a_call_reads_a_bounded_part_and_the_next_goes_on(tmp_path):
    path, tail = tmp_path / "std.out", LogTail(tmp_path / "std.out")
    append(path, b"x" * (20 << 20) + b"\n" + report(epoch=1).encode() + b"\n")
    calls = 1
    while not (reports := tail.reports()):
        assert tail.is_behind
        calls += 1
    assert not tail.is_behind
    assert epochs(reports) == [1]
    assert calls > 3
    tail.close()


def test_a_look_reads_all_and_keeps_it_for_the_next_call(tmp_path):
    path, tail = tmp_path / "std.out", LogTail(tmp_path / "std.out")
    append(path, report(epoch=1) + "\n")
    tail.look()  # whether anything is to be read is for the first call to say: a log that was given back stays closed
    assert epochs(tail.reports()) == [1]
    append(path, b"x" * (20 << 20) + b"\n" + report(epoch=2).encode() + b"\n")
    tail.look()
    assert epochs(pickle.loads(pickle.dumps(tail)).reports()) == [2]
    assert epochs(tail.reports()) == [2]
    append(path, report(epoch=3)[:-1])
    tail.look(to_the_end=True)
    append(path, "}")
    tail.look()
    assert tail.reports(to_the_end=True) == []


@pytest.mark.slow
def test_looking_reads_no_more_than_can_be_delivered(tmp_path):
    path, tail = tmp_path / "std.out", LogTail(tmp_path / "std.out")
    line = report(epoch=1) + "\n"
    number = (6 << 20) // len(line)
    append(path, line * number)
    seen = [len(tail.reports())]
    while seen[-1]:
        tail.look()
        tail.look()
        seen.append(len(tail.reports()))
    assert sum(seen) == number
    assert max(seen) < number / 2
    append(path, line * number)
    assert len(tail.reports(to_the_end=True)) == number


def test_a_log_of_many_megabytes_takes_no_memory(tmp_path):
    path, tail = tmp_path / "std.out", LogTail(tmp_path / "std.out")
    append(path, b"a line of a script that prints a lot\n" * 1_000_000)
    append(path, report(epoch=1))
    tracemalloc.start()
    try:
        reports = tail.reports(to_the_end=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert epochs(reports) == [1]
    assert peak < 16 << 20


def test_a_tail_may_be_used_in_several_threads(tmp_path):
    path, tail, seen = tmp_path / "std.out", LogTail(tmp_path / "std.out"), []
    append(path, "")
    tail.reports()
    written = threading.Event()

    def look():
        while not written.is_set():
            tail.look()
            pickle.dumps(tail)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for epoch in range(500):
        append(path, f"line {epoch}\n{report(epoch=epoch)}\n")
        if epoch % 7 == 0:
            seen += tail.reports()
    written.set()
    for thread in threads:
        thread.join()
    seen += tail.reports(to_the_end=True)
    assert epochs(seen) == list(range(500))


def test_a_log_that_its_script_empties_is_spoken_of_once(tmp_path, caplog):
    path = tmp_path / "std.out"
    append(path, report(epoch=1, note="long") + "\n")
    tail = LogTail(path)
    assert epochs(tail.reports()) == [1]
    assert not caplog.records
    for _ in range(2):
        path.write_text("epoch 2\n")
        assert tail.reports() == []
    (record,) = caplog.records
    assert "has become shorter" in record.getMessage()


@pytest.mark.parametrize("wanted", [1, 2, 700, 5_000])
@pytest.mark.parametrize("padding", [0, 200_000])
def test_the_number_of_a_report_is_found_without_reading_what_comes_after_it(tmp_path, wanted, padding):
    line = '[tune-metric]: {"epoch": %d, "text": "%s"}\n'
    log = tmp_path / "std.out"
    log.write_text("text\n" * 100_000 + "".join(line % (n, "x" * (padding if n == 2 else 0)) for n in range(1, 5_001)))
    seen = []

    def is_wanted(values):
        seen.append(values["epoch"])
        return values["epoch"] == wanted

    tail = LogTail(log)
    assert tail.number_of(is_wanted) == wanted
    assert seen == list(range(1, wanted + 1))
    assert wanted > 2 or padding or tail.position < 2**20


def test_a_report_that_is_in_no_log_has_no_number(tmp_path):
    log = tmp_path / "std.out"
    assert LogTail(log).number_of(lambda values: True) is None
    log.write_text('[tune-metric]: {"epoch": 1}\n[tune-metric]: {"epoch": ')
    assert LogTail(log).number_of(lambda values: values["epoch"] == 2) is None
    log.write_text('[tune-metric]: {"epoch": 1}\n[tune-metric]: {"epoch": 2}')
    assert LogTail(log).number_of(lambda values: values["epoch"] == 2) == 2


def test_a_report_that_was_being_printed_when_its_script_was_ended_is_no_fault(tmp_path, caplog):
    log = tmp_path / "std.out"
    log.write_text('[tune-metric]: {"epoch": 1}\n[tune-metric]: {"epoch": ')
    tail = LogTail(log)
    assert [report.values for report in tail.reports()] == [{"epoch": 1}]
    assert tail.reports(to_the_end=True) == []
    assert not caplog.records
