from __future__ import annotations

import json

import pytest

from syne_hypersched.experiments.page._journal_tail import JournalRewound, JournalTail
from syne_hypersched.records.segments import FORMAT


class Journal:
    """Segments of a journal, written by hand."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)

    def begin(self, number, num_before, **header):
        self.add(number, {"format": FORMAT, "num_before": num_before, **header})

    def add(self, number, *entries):
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        self.write(number, text)

    def write(self, number, text):
        with (self.folder / f"{number:06d}.jsonl").open("a", encoding="utf-8") as file:
            file.write(text)


def added(trial_id, **config):
    return {"call": "add", "time_s": 0.0, "trial_id": trial_id, "config": config}


def result(trial_id, epoch, **entries):
    report = {"epoch": epoch, "loss": 1 / epoch}
    return {"call": "result", "time_s": float(epoch), "trial_id": trial_id, "report": report,
            "decision": "CONTINUE", **entries}  # fmt: skip


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / "journal")


def epochs(rows):
    return [(row["trial_id"], row["epoch"]) for row in rows]


def test_a_journal_that_is_not_there_yet(tmp_path):
    tail = JournalTail(tmp_path / "none")
    assert tail.read_new() == ([], {})
    assert tail.num_results == 0


def test_each_result_is_read_once_with_the_configuration_of_its_trial(journal):
    tail = JournalTail(journal.folder)
    journal.begin(0, 0)
    journal.add(0, added(0, lr=0.1), {"call": "suggest", "time_s": 0.0, "what": "nothing"}, result(0, 1))
    rows, configs = tail.read_new()
    assert epochs(rows) == [(0, 1)]
    assert rows[0]["config_lr"] == 0.1
    assert configs == {0: {"lr": 0.1}}
    journal.add(0, result(0, 2))
    rows, configs = tail.read_new()
    assert (epochs(rows), configs) == ([(0, 2)], {})
    assert rows[0]["config_lr"] == 0.1
    assert tail.read_new() == ([], {})
    assert tail.num_results == 2


def test_a_result_at_which_the_scheduler_has_raised_is_none(journal):
    journal.begin(0, 0)
    raised = result(0, 1, raised="ValueError: x")
    del raised["decision"]
    journal.add(0, added(0), raised, result(0, 2))
    assert epochs(JournalTail(journal.folder).read_new()[0]) == [(0, 2)]


def test_half_a_line_is_read_when_it_is_whole(journal):
    tail = JournalTail(journal.folder)
    journal.begin(0, 0)
    line = json.dumps(result(0, 1)) + "\n"
    journal.write(0, line[:20])
    assert tail.read_new() == ([], {})
    journal.write(0, line[20:])
    assert epochs(tail.read_new()[0]) == [(0, 1)]


@pytest.mark.parametrize("torn", ['{"call": "resu\n', "[1]\n", "[" * 100_000 + "\n"])
def test_what_comes_after_a_torn_line_does_not_count_until_the_next_segment(journal, torn):
    tail = JournalTail(journal.folder)
    journal.begin(0, 0)
    journal.add(0, result(0, 1))
    journal.write(0, torn)
    journal.add(0, result(0, 2))
    assert epochs(tail.read_new()[0]) == [(0, 1)]
    journal.add(0, result(0, 3))
    assert tail.read_new() == ([], {})
    journal.begin(1, 1)
    journal.add(1, result(0, 2))
    assert epochs(tail.read_new()[0]) == [(0, 2)]


def test_lines_that_the_next_segment_refuses_do_not_count(journal):
    journal.begin(0, 0)
    journal.add(0, result(0, 1), result(0, 2), result(0, 3))
    journal.begin(1, 1)
    journal.add(1, result(0, 4))
    tail = JournalTail(journal.folder)
    assert epochs(tail.read_new()[0]) == [(0, 1), (0, 4)]
    assert tail.num_results == 2


def test_lines_that_were_read_and_do_not_count_any_more_are_an_error(journal):
    tail = JournalTail(journal.folder)
    journal.begin(0, 0)
    journal.add(0, result(0, 1), result(0, 2))
    tail.read_new()
    journal.begin(1, 1)
    with pytest.raises(JournalRewound):
        tail.read_new()


@pytest.mark.parametrize("header", [{"format": FORMAT + 1, "num_before": 0}, {"format": FORMAT}])
def test_another_format_is_an_error_that_names_the_file(journal, header):
    journal.add(0, header)
    with pytest.raises(ValueError, match=rf"000000.jsonl must be a journal of format {FORMAT}, but says"):
        JournalTail(journal.folder).read_new()


def test_other_files_are_left_alone(journal):
    journal.begin(0, 0)
    journal.add(0, result(0, 1))
    for name in ("snapshot", "lock", "0.jsonl", "000000.jsonl.new"):
        (journal.folder / name).write_text("no journal\n")
    assert epochs(JournalTail(journal.folder).read_new()[0]) == [(0, 1)]
