"""A tuner without a usual standard output, as a daemon has it, and without its working directory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TUNING = """
import sys
{text}
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_hypersched import ASHA, ElasticLocalBackend, Journal
from syne_hypersched.experiments import LiveProgress
from syne_hypersched.experiments.report import report_run
backend = ElasticLocalBackend("{folder}/train.py", num_devices=1, device_type="cpu", preload=())
tuner = Tuner(
    backend, ASHA({{"x": uniform(0, 1)}}, metric="loss", time_attr="epoch", max_t=1, random_seed=0),
    StoppingCriterion(max_num_trials_finished=1), n_workers=1, sleep_time=0.05,
    callbacks=[Journal(), LiveProgress()], tuner_name="odd", suffix_tuner_name=False,
)
tuner.run()
assert "train.py" not in report_run(tuner.tuner_path), "a report"
open("{folder}/done", "w").write(str(tuner.tuning_status.num_trials_failed))
"""
TEE = """
class Tee:
    def write(self, text):
        pass
    def flush(self):
        pass
sys.stdout = Tee()
"""
REMOVED = "import os; os.mkdir('{folder}/gone'); os.chdir('{folder}/gone'); os.rmdir('{folder}/gone')"


def tuning(folder, text):
    """A program that tunes after some text, and its environment."""
    (folder / "train.py").write_text("""print('[tune-metric]: {"epoch": 1, "loss": 0.5}')""")
    program = TUNING.format(folder=folder, text=text.replace("{folder}", str(folder)))
    return program, {**os.environ, "SYNETUNE_FOLDER": str(folder)}


@pytest.mark.parametrize(
    ("text", "redirection"),
    [
        pytest.param("", "<&- >&- 2>&-", id="no streams"),
        pytest.param("", ">&-", id="no output", marks=pytest.mark.slow),
        pytest.param(TEE, "", id="an object that writes", marks=pytest.mark.slow),
        pytest.param("sys.stdout = None", "", id="none", marks=pytest.mark.slow),
        pytest.param(REMOVED, "", id="no working directory", marks=pytest.mark.slow),
    ],
)
def test_a_tuning_does_not_depend_on_them(tmp_path, text, redirection):
    program, env = tuning(tmp_path, text)
    shell = ["bash", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, program]
    ended = subprocess.run(shell, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (tmp_path / "done").exists(), ended.stderr
    assert (tmp_path / "done").read_text() == "0"


@pytest.mark.parametrize(
    "text", [pytest.param(TEE, id="an object that writes"), pytest.param(REMOVED, id="no working directory")]
)
def test_nor_does_one_that_has_imported_its_libraries_before(tmp_path, forked, text):
    program, env = tuning(tmp_path, text)
    ended = forked.run(["-c", program], tmp_path, env)
    assert (tmp_path / "done").exists(), ended.stderr
    assert (tmp_path / "done").read_text() == "0"
