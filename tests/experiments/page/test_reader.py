from __future__ import annotations

import json
import os
import shutil

import pandas as pd

from syne_hypersched.experiments.page._data import PageData
from syne_hypersched.experiments.page._reader import RunReader
from tests.experiments.page.runs import WrittenRun, write_example


def test_a_name_is_as_good_as_a_folder(simulate, monkeypatch):
    path = simulate()
    monkeypatch.setenv("SYNETUNE_FOLDER", str(path.parent))
    assert RunReader(path.name).path == path


def test_each_report_is_there_once_it_is_in_the_journal(tmp_path):
    run = write_example(tmp_path)
    reader = RunReader(tmp_path)
    before = reader.update().num_reports
    run.report(3, 1, 0.9, is_first=True)
    state = reader.update()
    assert state.num_reports == before + 1
    assert state.incumbent[:3] == (0.9, 3, 1.0)


def test_half_a_line_is_read_when_it_is_whole(tmp_path):
    run = write_example(tmp_path)
    reader = RunReader(tmp_path)
    before = reader.update().num_reports
    report = {"epoch": 1, "accuracy": 0.2}
    entry = {"call": "result", "time_s": 50.0, "trial_id": 3, "report": report, "decision": "STOP"}
    line = json.dumps(entry) + "\n"
    with run.journal.open("a") as file:
        file.write(line[:40])
        file.flush()
        assert reader.update().num_reports == before
        file.write(line[40:])
    assert reader.update().num_reports == before + 1


def test_lines_that_a_resumed_tuner_has_refused_do_not_count(tmp_path):
    run = write_example(tmp_path)
    reader = RunReader(tmp_path)
    before = reader.update().num_reports
    num_entries = len(run.journal.read_text().splitlines()) - 1
    run.journal = run.journal.with_name("000001.jsonl")
    run.journal.write_text(json.dumps({"format": 1, "num_before": num_entries - 1, "time_s": 60.0}) + "\n")
    state = reader.update()
    # The last line was the last report.
    assert (reader.generation, state.num_reports) == (1, before - 1)
    run.report(0, 5, 0.81)
    assert reader.update().num_reports == before


def test_a_run_without_a_journal_is_followed_by_its_logs_until_the_table_has_them(tmp_path):
    run = WrittenRun(tmp_path, has_journal=False)
    run.start(0)
    run.event("launch", 0, run.held[0], 0, pids=[os.getpid()], host="here", boot_id="other")
    reader = RunReader(tmp_path)
    assert reader.update().num_reports == 0
    run.report(0, 1, 0.5)
    assert reader.update().num_reports == 1
    run.report(0, 2, 0.6)
    state = reader.update()
    assert [point[3] for point in state.trials[0].points] == [0.5, 0.6]
    row = {"trial_id": 0, "epoch": 1, "accuracy": 0.5, "st_tuner_time": 2.1, "st_launch": 0, "config_lr": 0.3}
    pd.DataFrame([row]).to_csv(tmp_path / "results.csv.zip", index=False)
    state = reader.update()
    assert reader.generation == 1
    assert [point[3] for point in state.trials[0].points] == [0.5, 0.6], "one is in the table, the other in the log"
    assert state.trials[0].config == {"lr": 0.3}
    assert PageData(reader).collect()["generation"] == 1


def test_a_table_that_is_being_written_is_read_later(simulate):
    path = simulate()
    whole = (path / "results.csv.zip").read_bytes()
    (path / "results.csv.zip").write_bytes(whole[:100])
    reader = RunReader(path)
    assert reader.update().num_reports == 0
    assert "cannot be read" in PageData(reader).collect()["run"]["problems"][0]
    (path / "results.csv.zip").write_bytes(whole)
    assert reader.update().num_reports > 0
    assert PageData(reader).collect()["run"]["problems"] == []


def test_a_folder_that_was_moved_still_has_its_logs(tmp_path):
    write_example(tmp_path / "old")
    shutil.move(tmp_path / "old", tmp_path / "new")
    state = RunReader(tmp_path / "new").update()
    assert "RuntimeError" in state.failures[2].lines[-1]
    assert "\x1b" not in "".join(state.failures[2].lines)


def test_nothing_is_written(tmp_path):
    write_example(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    reader = RunReader(tmp_path)
    reader.update()
    PageData(reader).collect()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_reports_without_the_metric_are_told_until_one_has_it(tmp_path):
    run = WrittenRun(tmp_path)
    run.start(0)
    entry = {"call": "result", "time_s": 1.0, "trial_id": 0, "report": {"step": 1, "acc": 0.5, "st_worker_iter": 0}}
    with run.journal.open("a") as file:
        file.write(json.dumps({**entry, "decision": "CONTINUE"}) + "\n")
    reader = RunReader(tmp_path)
    reader.update()
    assert reader.missing == "the script reports step, acc; the metric is accuracy"
    described = PageData(reader).collect()["run"]
    assert (described["missing"], described["problems"]) == (reader.missing, [reader.missing])
    run.report(0, 1, 0.5)
    reader.update()
    assert reader.missing == ""
    # Others of the same script, such as a last one with a test score, are no fault.
    with run.journal.open("a") as file:
        file.write(json.dumps({**entry, "decision": "CONTINUE"}) + "\n")
    reader.update()
    assert (reader.missing, PageData(reader).collect()["run"]["problems"]) == ("", [])
