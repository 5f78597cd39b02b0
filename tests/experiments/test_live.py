from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dill
import pytest
from syne_tune import Tuner
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform
from syne_tune.results_callback import StoreResultsCallback
from syne_tune.tuner_logger import TunerLogger
from syne_tune.tuning_status import TuningStatus

from syne_hypersched import ASHA, Deadline, ElasticLocalBackend
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger, add_live_view
from tests.epochs_script import EPOCHS_SCRIPT


class Shown(Deadline):
    """A distant deadline, which has come once enough is shown: a busy machine may take its time."""

    def __init__(self, backend: ElasticLocalBackend, is_enough: Callable[[], bool]) -> None:
        super().__init__(300.0, trial_backend=backend, drain_s=0.2)
        self._is_enough = is_enough

    def __call__(self, status: TuningStatus) -> bool:
        return super().__call__(status) or self._is_enough()


def run_tuner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: LiveProgress, is_enough: Callable[[], bool]
) -> None:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    entry_point = tmp_path / "train.py"
    entry_point.write_text(EPOCHS_SCRIPT)
    backend = ElasticLocalBackend(entry_point, num_devices=2, device_type="cpu")
    scheduler = ASHA({"x": uniform(0, 1)}, metric="loss", time_attr="epoch", max_t=81, random_seed=0)
    Tuner(
        backend,
        scheduler,
        Shown(backend, is_enough),
        n_workers=2,
        sleep_time=0.05,
        save_tuner=False,
        callbacks=[StoreResultsCallback(), live],
        output_logger=QuietTunerLogger(),
    ).run()


def test_lines_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []

    def is_enough() -> bool:
        lines.extend(line for line in capsys.readouterr().out.splitlines() if "s of 300 s left" in line)
        return len(lines) >= 3 and "incumbent trial" in lines[-1]

    began_s = time.monotonic()
    run_tuner(tmp_path, monkeypatch, LiveProgress(interval_s=0.5), is_enough)
    is_enough()
    assert len(lines) <= 2 + (time.monotonic() - began_s) / 0.5
    assert any("incumbent trial" in line and " | trial " in line for line in lines)
    assert lines[0].startswith("300 s of 300 s left | no incumbent yet")


def test_panel_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    from rich.console import Console

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("rich._console", Console(file=terminal, force_terminal=True, width=100))
    run_tuner(tmp_path, monkeypatch, LiveProgress(panel=True), lambda: "incumbent trial" in terminal.getvalue())
    shown = terminal.getvalue()
    assert "syne-hypersched" in shown
    assert "incumbent trial" in shown
    assert "trials started" in shown
    # The cursor that the panel hides is shown again.
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_survives_dill_while_it_shows_a_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    from rich.live import Live

    live = LiveProgress(panel=True)
    live._live = Live()
    copy = dill.loads(dill.dumps(live))
    assert copy._live is None
    assert copy.panel


def test_panel_is_chosen_by_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    for is_terminal in (True, False):
        monkeypatch.setattr(sys.stdout, "isatty", lambda is_terminal=is_terminal: is_terminal)
        assert LiveProgress().panel == is_terminal


def test_interval_is_checked() -> None:
    with pytest.raises(ValueError, match="interval_s must be a positive number of seconds, but got 0"):
        LiveProgress(interval_s=0)


@pytest.mark.parametrize("wrong", ["1", True, None])
def test_interval_is_a_number(wrong: object) -> None:
    with pytest.raises(TypeError, match="interval_s must be a positive number of seconds, but got "):
        LiveProgress(interval_s=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="panel must be True or False, but got 'no'"):
        LiveProgress(panel="no")  # type: ignore[arg-type]


def make_tuner(folder: Path, wallclock_time: float = 0.0, deadline_s: float | None = None) -> Any:
    """The members of a tuner that the view uses."""
    scheduler = SimpleNamespace(metric_names=lambda: ["loss"], metric_mode=lambda: "min", time_attr="epoch")
    return SimpleNamespace(
        scheduler=scheduler,
        trial_backend=object(),
        stop_criterion=SimpleNamespace(deadline_s=deadline_s),
        tuner_path=folder,
        tuning_status=SimpleNamespace(wallclock_time=wallclock_time),
    )


def test_a_terminal_that_is_gone_ends_the_view_and_not_the_tuning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Gone(io.StringIO):
        num_written = 0

        def write(self, text: str) -> int:
            self.num_written += 1
            raise BrokenPipeError(32, "Broken pipe")

    gone = Gone()
    live = LiveProgress(panel=False)
    live.on_tuning_start(make_tuner(tmp_path))
    with contextlib.redirect_stdout(gone):
        live.on_loop_end()
        live.on_trial_result(Trial(0, {}, datetime.now()), "InProgress", {"loss": 1.0}, "CONTINUE")
        live.on_tuning_end()
    assert gone.num_written == 1
    assert caplog.text.count("The progress is no longer shown (Broken pipe); the tuning goes on.") == 1


def test_a_line_that_is_no_event_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live = LiveProgress(panel=False)
    (tmp_path / "events.jsonl").write_text('torn\n{}\n{"time_s": 0, "event": "setup", "devices": ["cpu7"]}\n')
    live.on_tuning_start(make_tuner(tmp_path))
    live.on_loop_end()
    assert "1 free" in capsys.readouterr().out


def test_a_tuner_that_goes_on_has_used_up_some_of_its_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live = LiveProgress(panel=False)
    live.on_tuning_start(make_tuner(tmp_path, wallclock_time=1000.0, deadline_s=1001.0))
    live.on_loop_end()
    assert capsys.readouterr().out.startswith(("1 s of 1001 s left", "0 s of 1001 s left"))


def test_a_tuner_gets_the_view_once_and_keeps_the_list_of_the_user(tmp_path: Path) -> None:
    tuner, given = make_tuner(tmp_path), [object()]
    tuner.callbacks, tuner.output_logger = given, TunerLogger()
    add_live_view(tuner)
    assert [type(callback) for callback in tuner.callbacks] == [object, LiveProgress]
    assert isinstance(tuner.output_logger, QuietTunerLogger)
    assert len(given) == 1
    before = tuner.callbacks
    add_live_view(tuner)
    assert tuner.callbacks is before


def test_messages_of_the_users_own_stay(tmp_path: Path) -> None:
    class Own(TunerLogger):
        pass

    tuner = make_tuner(tmp_path)
    tuner.callbacks, tuner.output_logger = [], Own()
    add_live_view(tuner)
    assert type(tuner.output_logger) is Own


def write_journal(folder: Path, *reports: tuple[int, int, float]) -> None:
    """The journal of a tuner that has died: each report is a trial, its level and its loss."""
    lines: list[dict[str, Any]] = [{"format": 1, "num_before": 0, "timestamp": 0.0, "time_s": 0.0}]
    for trial_id in {report[0] for report in reports}:
        lines.append({"call": "add", "time_s": 0.0, "trial_id": trial_id, "config": {"x": trial_id / 10}})
    for trial_id, epoch, loss in reports:
        told = {"epoch": epoch, "loss": loss}
        lines.append({"call": "result", "time_s": 1.0, "trial_id": trial_id, "report": told, "decision": "CONTINUE"})
    (folder / "journal").mkdir()
    (folder / "journal" / "000000.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_a_tuner_that_goes_on_knows_the_best_of_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_journal(tmp_path, (7, 1, 0.5), (7, 2, 0.25), (8, 1, 0.75))
    live = LiveProgress(panel=False)
    live.on_tuning_start(make_tuner(tmp_path, wallclock_time=100.0))
    live.on_trial_result(Trial(8, {"x": 0.8}, datetime.now()), "InProgress", {"epoch": 2, "loss": 0.375}, "CONTINUE")
    live.on_tuning_end()
    shown = capsys.readouterr().out
    assert "best loss 0.2500: trial 7 at epoch 2" in shown
    assert "configuration: x=0.7" in shown
    assert "4 reports" in shown


def test_the_journal_of_reports_without_the_metric_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_journal(tmp_path)
    live = LiveProgress(panel=False)
    live.on_tuning_start(make_tuner(tmp_path))
    live.on_tuning_end()
    assert "no trial has reported a finite loss" in capsys.readouterr().out


def test_a_stored_view_looks_again_whether_there_is_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    stored, logger = dill.dumps(LiveProgress()), dill.dumps(QuietTunerLogger())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    live = dill.loads(stored)
    assert live.panel
    live.on_tuning_start(make_tuner(tmp_path))
    live.on_tuning_end()
    assert not live.panel
    assert capsys.readouterr().out.startswith("ended after")
    assert not dill.loads(logger).use_colors
    # What was asked for stays.
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    asked = dill.loads(dill.dumps(LiveProgress(panel=False)))
    asked.on_tuning_start(make_tuner(tmp_path))
    assert not asked.panel


def test_the_end_names_the_run_so_that_the_command_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def named(live: LiveProgress, folder: Path) -> str:
        live.on_tuning_start(make_tuner(folder))
        live.on_tuning_end()
        return capsys.readouterr().out.splitlines()[-1]

    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    live, again = LiveProgress(panel=False), LiveProgress(panel=False)
    assert named(live, tmp_path / "run") == "all results: hypersched report run"
    # Whoever started it has experiments in another folder than this process writes to.
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "other"))
    assert named(again, tmp_path / "other" / "run") == f"all results: hypersched report {tmp_path}/other/run"
    assert named(dill.loads(dill.dumps(again)), tmp_path / "other" / "run").endswith("report run")


def test_a_report_without_the_level_is_left_out_as_the_scheduler_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = LiveProgress(panel=False)
    live.on_tuning_start(make_tuner(tmp_path))
    live.on_trial_result(Trial(0, {}, datetime.now()), "InProgress", {"step": 3, "loss": 0.25}, "CONTINUE")
    live.on_tuning_end()
    shown = capsys.readouterr().out
    assert "0 reports" in shown
    assert "no trial has reported a finite loss" in shown


def test_logs_of_failed_trials_are_printed_without_what_moves_the_cursor(capsys):
    logger = QuietTunerLogger()
    logger.print_failure_logs(3, "10 %\r20 %\r\n", "\x1b[31mred\x1b[0m \x1b[2J\x00\n")
    logger.print_no_metrics_observed(3, "out \x07\n", "")
    printed = capsys.readouterr().out
    assert "10 %\n20 %\n" in printed
    assert "red \\x00\n" in printed
    assert "out \\x07\n" in printed
    assert "\x1b" not in printed
    assert "\r" not in printed
