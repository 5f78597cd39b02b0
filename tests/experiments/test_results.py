"""Incomplete files after a full disk or a crash are used, or named in a message."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from syne_hypersched.experiments import load_run
from syne_hypersched.experiments._results import read_rows
from syne_hypersched.experiments.report import main as report
from syne_hypersched.experiments.verify import main as verify
from syne_hypersched.records.segments import encode


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.95])
@pytest.mark.parametrize("name", ["results.csv.zip", "metadata.json", "events.jsonl"])
def test_a_file_that_was_cut_off_ends_in_a_sentence(
    simulate: Callable[..., Path], name: str, share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    path = simulate()
    cut(path / name, share)
    codes = report([str(path)]), verify([str(path)])
    printed = capsys.readouterr()
    assert set(codes) <= {0, 1, 2}
    if name == "metadata.json":
        assert codes == (2, 2)
        assert printed.err.count("metadata.json must be a JSON object with metric_names and metric_mode") == 2
    elif name == "results.csv.zip":
        assert codes == (0, 2)
        assert "no trial has reported a finite accuracy" in printed.out
        assert "the results are missing here" in printed.out
        assert "all rules hold in what could be read" in printed.out


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"metric_names": []}', "[" * 100_000])
def test_metadata_of_something_else(simulate: Callable[..., Path], content: str) -> None:
    path = simulate()
    (path / "metadata.json").write_text(content)
    with pytest.raises(ValueError, match=r"metadata\.json must be a JSON object with metric_names"):
        load_run(path)


def test_lines_that_are_no_events_are_left_out(simulate: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    path = simulate()
    whole = load_run(path)
    lines = (path / "events.jsonl").read_bytes().splitlines(keepends=True)
    (path / "events.jsonl").write_bytes(b"".join([*lines[:3], b"\0\xff\n", b'{"time_s": 1}\n', *lines[3:]]))
    run = load_run(path)
    assert run.events == whole.events
    assert run.problems == (f"2 lines of {path / 'events.jsonl'} left out: no event",)
    assert run.problems[0] in caplog.text


def test_results_that_cannot_be_read_are_those_of_the_journal(simulate: Callable[..., Path]) -> None:
    path = simulate()
    whole = load_run(path)
    (path / "journal").mkdir()
    entries = [{"format": 1, "num_before": 0, "timestamp": 0.0, "time_s": 0.0}]
    rows, problem = read_rows(path)
    assert problem == ""
    told = ("trial_id", "st_tuner_time", "st_decision")
    for trial_id in dict.fromkeys(row["trial_id"] for row in rows):
        config = {"learning_rate": whole.configs[trial_id]["learning_rate"]}  # type: ignore[index]
        entries.append({"call": "add", "time_s": 0.0, "trial_id": trial_id, "config": config, "created": ""})
    for row in rows:
        reported = {name: value for name, value in row.items() if name not in told and not name.startswith("config_")}
        entry = {"call": "result", "time_s": row["st_tuner_time"], "trial_id": row["trial_id"], "report": reported}
        entries.append(entry | {"decision": row["st_decision"]})
    entries.append({"call": "result", "time_s": 99.0, "trial_id": 0, "report": {}, "raised": "ValueError: no metric"})
    (path / "journal" / "000000.jsonl").write_bytes(b"".join(map(encode, entries)))
    cut(path / "results.csv.zip", 0.5)
    run = load_run(path)
    assert run.reports == whole.reports
    assert run.configs == whole.configs
    assert run.problems[0].endswith("the results are those of the journal")
    # A tuner stores them every few seconds.
    (path / "results.csv.zip").unlink()
    run = load_run(path)
    assert (run.reports, run.problems) == (whole.reports, ())
    shutil.rmtree(path / "journal")
    launch = next(line for line in (path / "events.jsonl").read_text().splitlines() if '"launch"' in line)
    with open(path / "events.jsonl", "a") as file:
        print(json.dumps(json.loads(launch) | {"event": "first_report"}), file=file)
    assert "is missing, although trials have reported" in load_run(path).problems[0]


def journal_of(path: Path, *entries: dict[str, object]) -> None:
    (path / "journal").mkdir()
    header = {"format": 1, "num_before": 0, "timestamp": 0.0, "time_s": 0.0}
    (path / "journal" / "000000.jsonl").write_bytes(b"".join(map(encode, [header, *entries])))


def add_first_report(path: Path) -> None:
    launch = next(line for line in (path / "events.jsonl").read_text().splitlines() if '"launch"' in line)
    with open(path / "events.jsonl", "a") as file:
        print(json.dumps(json.loads(launch) | {"event": "first_report"}), file=file)


@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.parametrize("has_table", [True, False])
def test_a_run_without_a_usable_report_says_why_it_has_no_results(
    simulate: Callable[..., Path], capsys: pytest.CaptureFixture[str], has_table: bool, has_journal: bool
) -> None:
    path = simulate()
    (path / "results.csv.zip").unlink()
    add_first_report(path)
    if has_table:
        pd.DataFrame().to_csv(path / "results.csv.zip", index=False)
    if has_journal:
        journal_of(path)
    run = load_run(path)
    if has_table or has_journal:
        assert run.problems == ()
        (said,) = run.notes
        assert "the tuner has received no report with 'accuracy' and 'epoch' as numbers" in said
        assert verify([str(path)]) == 0
    else:
        (said,) = run.problems
        assert "is missing, although trials have reported" in said
        assert verify([str(path)]) == 2
    assert said in capsys.readouterr().out


def results_in_journal(path: Path, count: int) -> None:
    journal_of(
        path,
        {"call": "add", "time_s": 0.0, "trial_id": 0, "config": {"learning_rate": 0.5}, "created": '"call":"result"'},
        *(
            {"call": "result", "time_s": float(epoch), "trial_id": 0, "decision": "CONTINUE"}
            | {"report": {"epoch": epoch, "accuracy": epoch / 1000}}
            for epoch in range(1, count + 1)
        ),
    )


def test_a_journal_that_has_more_than_the_table_is_read(simulate: Callable[..., Path]) -> None:
    """A tuner stores its table every few seconds; when it is killed, the journal has what came later."""
    path = simulate()
    stored = load_run(path)
    results_in_journal(path, len(stored.reports) + 1)
    run = load_run(path)
    assert len(run.reports) == len(stored.reports) + 1
    assert run.incumbent is not None
    assert run.incumbent.resource == len(stored.reports) + 1
    assert run.configs is not None
    assert run.configs[0] == {"learning_rate": 0.5}


@pytest.mark.parametrize("missing", [0, 1])
def test_a_journal_that_has_no_more_than_the_table_is_not(simulate: Callable[..., Path], missing: int) -> None:
    path = simulate()
    stored = load_run(path)
    results_in_journal(path, len(stored.reports) - missing)
    assert load_run(path).reports == stored.reports


def test_the_table_is_used_if_the_journal_cannot_be_read(simulate: Callable[..., Path]) -> None:
    path = simulate()
    stored = load_run(path)
    results_in_journal(path, len(stored.reports) + 1)
    segment = path / "journal" / "000000.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"format":1', b'"format":99'))
    assert load_run(path).reports == stored.reports


def test_an_empty_table_does_not_hide_the_journal(simulate: Callable[..., Path]) -> None:
    """A tuner that was killed had no result when it last stored the table."""
    path = simulate()
    add_first_report(path)
    pd.DataFrame().to_csv(path / "results.csv.zip", index=False)
    told = {"time_s": 1.0, "trial_id": 0, "decision": "CONTINUE"}
    journal_of(path, {"call": "result", **told, "report": {"epoch": 1, "accuracy": 0.5}})
    run = load_run(path)
    assert [(report.resource, report.value) for report in run.reports] == [(1, 0.5)]
    assert (run.problems, run.notes) == ((), ())


def test_reports_without_a_level_are_left_out_and_values_of_other_kinds_are_none(
    simulate: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = simulate()
    table = pd.read_csv(path / "results.csv.zip").astype({"epoch": object, "accuracy": object})
    table.loc[0, "epoch"], table.loc[1, "epoch"], table.loc[2, "accuracy"] = None, "last", "good"
    table.loc[3, "epoch"], table.loc[3, "accuracy"] = math.inf, 9.0  # schedulers leave such a level out, too
    table.to_csv(path / "results.csv.zip", index=False)
    run = load_run(path)
    assert len(run.reports) == len(table) - 3
    assert run.problems == ()
    assert run.notes == (f"3 reports in {path / 'results.csv.zip'} left out: no epoch",)
    assert report([str(path)]) == 0
    shown = capsys.readouterr().out
    assert "best accuracy" in shown
    assert "inf" not in shown


def test_a_run_without_a_finite_value_can_be_drawn(simulate: Callable[..., Path]) -> None:
    path = simulate()
    table = pd.read_csv(path / "results.csv.zip")
    table["accuracy"] = float("nan")
    table.to_csv(path / "results.csv.zip", index=False)
    assert report([str(path)]) == 0
    assert (path / "run.png").exists()


def test_a_run_is_one_line(simulate: Callable[..., Path]) -> None:
    path = simulate()
    run = load_run(path)
    assert repr(run).startswith(f"<Run {path}: ")
    assert "\n" not in repr(run)
    assert len(repr(run)) < 120 + len(str(path))
    (path / "results.csv.zip").unlink()
    assert ", best" not in repr(load_run(path))


def test_texts_of_a_configuration_are_those_that_were_given(simulate: Callable[..., Path]) -> None:
    path = simulate()
    table = pd.read_csv(path / "results.csv.zip")
    table["config_act"] = ["None" if trial_id % 2 else "relu" for trial_id in table.trial_id]
    table["config_tag"] = ""
    table.to_csv(path / "results.csv.zip", index=False)
    metadata = json.loads((path / "metadata.json").read_text())
    space = {"tag": "", "act": {"domain_cls": "Categorical", "domain_kwargs": {"categories": ["None", "relu"]}}}
    (path / "metadata.json").write_text(json.dumps(metadata | {"config_space": json.dumps(space)}))
    configs = load_run(path).configs
    assert configs is not None
    assert {trial_id: config["act"] for trial_id, config in configs.items()} == {
        trial_id: "None" if trial_id % 2 else "relu" for trial_id in configs
    }
    assert {config["tag"] for config in configs.values()} == {""}
