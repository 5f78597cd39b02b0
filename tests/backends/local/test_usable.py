"""One bad report of one trial does not end a tuning, also under Syne Tune's own schedulers."""

from __future__ import annotations

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import choice
from syne_tune.optimizer.baselines import ASHA, RandomSearch
from syne_tune.optimizer.schedulers.median_stopping_rule import MedianStoppingRule
from syne_tune.optimizer.schedulers.pbt import PopulationBasedTraining

from syne_hypersched import ElasticLocalBackend, WaitForReports
from syne_hypersched.backends.local._usable import UsableReports
from syne_hypersched.experiments import QuietTunerLogger, check_run, load_run

GOOD = {"epoch": 1, "loss": 0.5}
BAD = [{"epoch": 1}, {"epoch": 1, "loss": None}, {"epoch": 1, "loss": "0.5"}, {"loss": 0.5}, {"epoch": True, "loss": 1}]


@pytest.mark.parametrize("report", BAD)
def test_a_report_without_a_number_is_left_out_with_one_warning(report, caplog):
    usable = UsableReports()
    usable.require("loss", "epoch")
    assert usable.of(0, [report, GOOD, report]) == [GOOD]
    assert usable.of(1, [report]) == []
    assert caplog.text.count("the report is left out") == 1


def test_numbers_that_are_not_finite_are_the_affair_of_the_scheduler():
    usable = UsableReports()
    usable.require("loss", None)
    reports = [{"loss": float("nan")}, {"loss": float("inf")}, {"loss": 10**30}]
    assert usable.of(0, reports) == reports


def test_everything_is_for_a_scheduler_that_reads_reports_itself():
    usable = UsableReports()
    usable.require("loss", "epoch")
    usable.require()
    assert usable.of(0, BAD) == BAD
    assert not usable.is_silent(0)


def test_a_trial_is_silent_until_it_has_reported_something_usable():
    usable = UsableReports()
    usable.require("loss")
    usable.of(0, [{}])
    assert usable.is_silent(0)
    usable.of(0, [GOOD])
    usable.of(0, [{}])
    assert not usable.is_silent(0)
    assert not usable.is_silent(1)


SCRIPT = """
import argparse, json, time
parser = argparse.ArgumentParser()
parser.add_argument("--kind")
parser.add_argument("--st_checkpoint_dir")
args = parser.parse_args()

def report(**values):
    print("[tune-metric]: " + json.dumps(values), flush=True)

for epoch in range(1, 4):
    time.sleep(0.05)
    bad = {"null": {"epoch": epoch, "loss": None}, "text": {"epoch": "e", "loss": "l"}, "none": {"note": 1}}
    report(**bad[args.kind])
    report(epoch=epoch, loss=1 / epoch)
report(test_score=0.9)
"""
SCHEDULERS = {
    "random search": lambda space: RandomSearch(space, metrics=["loss"]),
    "ASHA": lambda space: ASHA(space, metric="loss", time_attr="epoch", max_t=9),
    "PBT": lambda space: PopulationBasedTraining(space, "loss", "epoch", max_t=9, perturbation_interval=9),
    "median": lambda space: MedianStoppingRule(RandomSearch(space, metrics=["loss"]), "epoch", metric="loss"),
}


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "ASHA" else pytest.mark.slow) for name in SCHEDULERS]
)
def test_syne_tunes_schedulers_go_on(name, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    (tmp_path / "train.py").write_text(SCRIPT)
    backend = ElasticLocalBackend(tmp_path / "train.py", num_devices=2, device_type="cpu", share_devices=True)
    tuner = Tuner(
        backend, SCHEDULERS[name]({"kind": choice(["null", "text", "none"])}),
        StoppingCriterion(max_num_evaluations=20), n_workers=2, callbacks=[WaitForReports()],
        output_logger=QuietTunerLogger(), save_tuner=False, max_failures=0,
    )  # fmt: skip
    tuner.run()
    assert tuner.tuning_status.num_trials_failed == 0
    run = load_run(tuner.tuner_path, time_attr="epoch")
    assert {report.resource for report in run.reports} == {1, 2, 3}
    assert check_run(run) == ()
    assert caplog.text.count("the report is left out") == 1


@pytest.mark.usefixtures("no_process_left")
def test_a_script_that_never_reports_the_metric_fails_its_trials(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    (tmp_path / "train.py").write_text(SCRIPT.replace("loss=1 / epoch", "accuracy=1 / epoch"))
    backend = ElasticLocalBackend(tmp_path / "train.py", num_devices=1, device_type="cpu", share_devices=True)
    tuner = Tuner(
        backend, SCHEDULERS["random search"]({"kind": "none"}), StoppingCriterion(max_wallclock_time=300),
        n_workers=1, callbacks=[WaitForReports()], output_logger=QuietTunerLogger(), save_tuner=False, max_failures=0,
    )  # fmt: skip
    with pytest.raises(ValueError, match="Trial - 0 failed"):
        tuner.run()
