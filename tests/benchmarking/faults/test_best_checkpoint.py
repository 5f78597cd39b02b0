"""Plans are drawn from all there is, an experiment is run with its kills, and what is wrong with it is found."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace

import pytest

from benchmarking.faults import checkpoint_script as script
from benchmarking.faults.best_checkpoint import main, run_all, table
from benchmarking.faults.checkpoint_plans import MB, SCHEDULERS, draw
from benchmarking.faults.checkpoint_referee import judge
from benchmarking.faults.checkpoint_runs import MARK, Experiment, marked_processes
from benchmarking.faults.checkpoint_writers import HEAVY, WRITERS


def test_seed_and_index_determine_a_plan():
    assert draw(0, 7) == draw(0, 7)
    assert len({draw(seed, index) for seed in range(3) for index in range(10)}) == 30


def test_the_plans_try_everything():
    plans = [draw(0, index) for index in range(300)]
    for values in (
        {(plan.backend, plan.launch) for plan in plans},
        {(plan.has_deadline, plan.has_journal) for plan in plans},
    ):
        assert len(values) == 4
    assert {plan.scheduler for plan in plans} == set(SCHEDULERS)
    assert {plan.sleep_time for plan in plans} == {0.1, 0.5, 1.0, 5.0}
    assert {plan.on_sigterm for plan in plans} == {"die", "defer", "leave"}
    assert {plan.order for plan in plans} == set(script.ORDERS)
    assert len({(plan.order, plan.scheduler != "random") for plan in plans}) == 2 * len(script.ORDERS)
    writers = Counter(plan.writer for plan in plans)
    assert min(writers[name] for name in WRITERS) >= (5 if HEAVY else 15)
    assert min(plan.size for plan in plans) < 2000
    assert 100 * MB < max(plan.size for plan in plans) <= 200 * MB
    kills = Counter(what for plan in plans for _, what in plan.kills)
    assert min(kills.values()) > 50
    assert all(plan.has_journal for plan in plans if any(what == "tuner" for _, what in plan.kills))
    assert any(plan.kills == () for plan in plans)
    assert all(plan.n_workers <= plan.num_devices for plan in plans)


@pytest.mark.parametrize("peak", [3, 6])
def test_the_best_epoch_is_in_the_middle(peak):
    losses = [script.loss_of(0.25, epoch, peak) for epoch in range(1, 28)]
    assert losses.index(min(losses)) == peak - 1
    assert len(set(losses)) == 27
    rising = [script.loss_of(0.25, epoch, 0) for epoch in range(1, 28)]
    assert rising == sorted(rising, reverse=True)


def short_plan(**changes):
    plan = replace(
        draw(0, 0), backend="local", launch="warm", processes="single", scheduler="asha-promotion", num_devices=2,
        n_workers=2, resize_every=7, sleep_time=0.05, duration_s=60.0, has_deadline=False, grace_s=1.0,
        has_journal=True, delete_checkpoints=False, order=script.SAVE_FIRST, writer="atomic", size=5000, num_pauses=0,
        pause_s=0.0, epoch_s=0.03, lag_s=0.0, max_t=27, peak=4, on_sigterm="die",
        kills=((0.2, "rank"), (0.6, "tuner")), max_reports=100,
    )  # fmt: skip
    return replace(plan, **changes)


@pytest.mark.slow
def test_an_experiment_is_run_to_its_end_and_judged(tmp_path, monkeypatch):
    for name in (MARK, "SYNETUNE_FOLDER", "PYTHONPATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    experiment = Experiment(short_plan(), tmp_path)
    experiment.run()
    evidence = experiment.evidence()
    verdict = judge(evidence)
    assert [fault for fault in verdict.faults if not fault.rule.startswith("best")] == []
    assert experiment.kills == {"rank": 1, "tuner": 1}
    assert len(evidence.reports) > 20
    assert verdict.counts["saved"] >= len({(report.trial_id, report.epoch) for report in evidence.reports})
    assert len(evidence.sightings) > 1
    assert evidence.best.found.state == "whole"
    assert marked_processes(tmp_path) == []

    # The same checks find what is wrong with one that was tampered with.
    def rules():
        return {fault.rule for fault in judge(experiment.evidence()).faults}

    (checkpoint,) = (experiment.path / "best" / "checkpoint").iterdir()
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[:-1])
    assert "best torn" in rules()
    checkpoint.unlink()
    assert "best missing" in rules()
    checkpoint.write_bytes(content)
    path = experiment.path / "best" / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | {"epoch": result["epoch"] + 5}))
    assert "best older" in rules()
    path.write_text(json.dumps(result | {"loss": result["loss"] + 5}))
    assert "best is not best" in rules()


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    output = tmp_path / "results.json"
    arguments = ["--only", "12", "3", "--output", str(output)]
    code = main(arguments)
    first = json.loads(output.read_text())
    assert code == int(any(row["faults"] for row in first["experiments"]))
    assert sorted(row["index"] for row in first["experiments"]) == [3, 12]
    assert "[2/2]" in capsys.readouterr().out
    # Nothing is left to be done.
    assert main(arguments) == code
    assert json.loads(output.read_text()) == first
    assert "[1/" not in capsys.readouterr().out


def test_what_cannot_be_run_is_told_at_the_door(tmp_path, capsys):
    (tmp_path / "86").mkdir()
    (tmp_path / "file").touch()
    for arguments, message in (
        (["--only", "86", "295", "86"], "--only must name each experiment once, but names 86 more than once"),
        (["--only", "86", "--keep", str(tmp_path)], f"but {tmp_path / '86'} exists"),
        (["--only", "86", "--keep", str(tmp_path / "file")], "is a file"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2
        assert message in capsys.readouterr().err


def test_a_referee_that_fails_is_a_fault(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarking.faults.best_checkpoint.run_plan", lambda plan, folder: 1 / 0)
    (row,) = run_all(0, [4], num_jobs=2)
    assert row["index"] == 4
    assert [fault["rule"] for fault in row["faults"]] == ["crashed"]
    assert "ZeroDivisionError" in row["faults"][0]["message"]
    assert "1 faults in 1 of 1 experiments" in table([row])


def test_the_table_counts_matches_by_order():
    def row(order, match, rules=(), scheduler="pasha"):
        faults = [{"rule": rule, "message": ""} for rule in rules]
        counts = {"saving": 3, "saved": 2, "begin": 1, "torn loads": 1, "healed": 1}
        return {
            "plan": {"order": order, "scheduler": scheduler}, "match": match, "faults": faults, "counts": counts,
            "num_reports": 10, "bytes_copied": 50, "bytes_saved": 100, "kills": {"rank": 1},
        }  # fmt: skip

    rows = [row(script.SAVE_FIRST, match) for match in ("exact", "exact", "2", "6", "none", "?", "")]
    rows += [row(script.NEVER, "", ["best torn", "best torn", "left"]), row(script.NEVER, "", scheduler="random")]
    lines = table(rows).splitlines()

    def line_of(order):
        return next(line for line in lines if line.startswith(f"{order}  ")).split()[-9:]

    assert line_of(script.SAVE_FIRST) == ["7", "2", "2", "4", "6", "1", "1", "1", "0"]
    assert line_of(script.NEVER) == ["2", "0", "0", "-", "-", "0", "0", "2", "3"]
    assert "2 faults in   1 experiments against: the checkpoint in best/ is whole (best torn)" in "\n".join(lines)
    assert "9 launches, 90 reports, 18 saves of 0.0 GB, 9 cut off" in "\n".join(lines)
    assert "9 kills of a rank" in lines
    assert "5 bytes copied for each report" in "\n".join(lines)
    assert lines[-1] == "3 faults in 1 of 9 experiments"
    assert not any("nothing to judge" in line for line in lines)


def test_the_table_says_how_many_experiments_had_nothing_to_judge():
    rows = [{"plan": {"order": script.NEVER}, "faults": [], "num_reports": number} for number in (0, 3, 0)]
    assert "2 experiments had no report" in table(rows)
