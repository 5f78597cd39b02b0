"""The view that a tuning has on a terminal without being asked for, in a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from syne_hypersched._view import is_wanted, show_by_default
from syne_hypersched.experiments import LiveProgress
from tests.epochs_script import EPOCHS_SCRIPT

TUNING = """
import sys
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_hypersched import ASHA, ElasticLocalBackend, Journal
backend = ElasticLocalBackend(sys.argv[1], num_devices=2, device_type="cpu")
scheduler = ASHA({"x": uniform(0, 1)}, metric="loss", time_attr="epoch", max_t=81, random_seed=0)
Tuner(
    backend, scheduler, StoppingCriterion(max_num_evaluations=20), n_workers=2, sleep_time=0.05,
    callbacks=[Journal()], tuner_name="viewed", suffix_tuner_name=False,
).run()
"""


@pytest.mark.parametrize(
    "is_terminal, setting, terminal, answer",
    [
        (True, None, "xterm", True),
        (True, "", "xterm", True),
        (True, "1", None, True),
        (False, "1", "xterm", False),
        (True, "0", "xterm", False),
        (True, " Off ", "xterm", False),
        (True, None, "dumb", False),
    ],
)
def test_when_it_is_wanted(is_terminal: bool, setting: str | None, terminal: str | None, answer: bool) -> None:
    assert is_wanted(is_terminal, setting, terminal) is answer


def in_terminal(folder: Path, **environment: str) -> str:
    """What a tuning writes to a terminal."""
    (folder / "tune.py").write_text(TUNING)
    (folder / "train.py").write_text(EPOCHS_SCRIPT)
    outer, inner = pty.openpty()
    command = [sys.executable, str(folder / "tune.py"), str(folder / "train.py")]
    variables = {**os.environ, "SYNETUNE_FOLDER": str(folder), "TERM": "xterm", "COLUMNS": "100", "LINES": "24"}
    with subprocess.Popen(command, stdout=inner, stderr=inner, env={**variables, **environment}) as process:
        os.close(inner)
        shown = b""
        while True:
            try:
                part = os.read(outer, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(outer)
    assert process.returncode == 0, shown.decode(errors="replace")
    return shown.decode(errors="replace")


@pytest.mark.slow
def test_a_journal_brings_the_view(tmp_path: Path) -> None:
    shown = in_terminal(tmp_path)
    assert "syne-hypersched" in shown
    assert "Trial 0 started" not in shown
    end = shown[shown.rindex("ended after") :]
    assert "best loss" in end
    assert "hypersched report viewed" in end
    assert "s left" not in end


@pytest.mark.slow
def test_it_can_be_turned_off(tmp_path: Path) -> None:
    shown = in_terminal(tmp_path, SYNE_HYPERSCHED_LIVE="0")
    assert "ended after" not in shown
    assert "Trial 0 started" in shown


def test_the_root_of_the_package_sets_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """No module below knows ``LiveProgress``, so a tuning on a terminal shows it only if the root has set it."""
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("SYNE_HYPERSCHED_LIVE", raising=False)
    tuner = SimpleNamespace(callbacks=[LiveProgress(panel=False)], output_logger=object())
    shown = list(tuner.callbacks)
    show_by_default(tuner)
    assert tuner.callbacks == shown  # it has one
    tuner.callbacks = []
    with pytest.raises(AttributeError, match="scheduler"):  # the view asks for what this tuner has not
        show_by_default(tuner)
    assert [type(callback) for callback in tuner.callbacks] == [LiveProgress]
