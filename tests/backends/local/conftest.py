"""What several tests of the local backend use."""

from __future__ import annotations

import pytest

from tests.backends.local.saving import SAVING_SCRIPT
from tests.backends.local.trials import Trials
from tests.backends.local.tunings import SCRIPT


@pytest.fixture
def make_trials(tmp_path, wait_for, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = []

    def make(**options):
        trials = Trials(tmp_path, SAVING_SCRIPT, wait_for, **{"grace_s": 20.0, "retry_backoff_s": 0.01, **options})
        trials.backend.measure("loss", do_minimize=True)
        made.append(trials)
        return trials

    yield make
    for trials in made:
        trials.backend.stop_all()


@pytest.fixture
def trials(make_trials):
    return make_trials()


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path
