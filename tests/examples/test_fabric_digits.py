"""The example for Fabric under a tuner that pauses, resizes and kills it."""

from __future__ import annotations

import importlib.util
import os

import pytest

from tests.examples._scripts import EXAMPLES
from tests.integrations import _elastic
from tests.integrations.conftest import PATH

#: The example itself, which waits where it is to be disturbed, in the middle of an epoch.
SCRIPT = """
import sys
import fabric_digits

load, save = fabric_digits.load, fabric_digits.save

def load_and_wait(fabric, data, epoch, seed):
    for batch in load(fabric, data, epoch, seed):
        wait_for_sigterm(epoch - 1, lambda: False)
        yield batch

def save_or_die(fabric, path, state):
    if state["epoch"] == 4 and once("died"):
        die_writing(path + ".aside")
    save(fabric, path, state)

fabric_digits.load, fabric_digits.save = load_and_wait, save_or_die
sys.argv[1:] = ["--epochs", str(args.epochs), "--st_checkpoint_dir", args.st_checkpoint_dir]
fabric_digits.main()
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("no_process_left")
def test_the_loss_is_that_of_an_undisturbed_run(tmp_path, monkeypatch):
    if importlib.util.find_spec("lightning") is None:
        pytest.skip("no lightning")
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (PATH, EXAMPLES / "training_scripts"))))
    preload = ("syne_tune", "torch", "torch._dynamo", "sklearn.datasets", "lightning")
    outcome = _elastic.tune(tmp_path, SCRIPT, metric="val_loss", preload=preload)
    assert len(outcome.failures()) == 1
    disturbed, undisturbed = (outcome.values(trial, "val_loss") for trial in range(2))
    assert disturbed == pytest.approx(undisturbed, abs=1e-3)
    assert set(outcome.rows.batch_size) == {64}
    assert (outcome.best / "state.ckpt").is_file()
