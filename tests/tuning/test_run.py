"""The tuner of a job, and how a job ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from syne_tune.util import experiment_path

from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched, Journal
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from syne_hypersched.tuning import TuneJob, make_tuner, parse_space, run_job, with_recorded_seed


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TuneJob]:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    monkeypatch.setenv("SYNE_HYPERSCHED_LIVE", "0")
    script = tmp_path / "train.py"
    script.write_text("import sys\nsys.exit('no such data set')\n")
    before = logging.getLogger().level
    yield TuneJob(
        script=script, space=parse_space(["lr=log(1e-4,1e-1)"]), metric="loss", do_minimize=True, time_attr="epoch",
        max_t=9, deadline_s=60.0, device_type="cpu", num_devices=2, max_failures=0, name="given",
    )  # fmt: skip
    logging.getLogger().setLevel(before)  # a job reduces it


def test_the_tuner_of_a_job_can_be_resumed_ends_by_the_deadline_and_shows_its_progress(job: TuneJob) -> None:
    tuner = make_tuner(job)
    assert type(tuner.trial_backend) is ElasticLocalBackend
    assert type(tuner.scheduler) is HyperSched
    assert isinstance(tuner.stop_criterion, Deadline)
    assert tuner.stop_criterion.deadline_s == 60.0
    assert tuner.n_workers == 2
    assert [type(callback) for callback in tuner.callbacks] == [Journal, LiveProgress]
    assert isinstance(tuner.output_logger, QuietTunerLogger)
    assert not Path(experiment_path(tuner_name="given")).exists()  # nothing has started


def test_a_name_in_use_is_refused_unless_its_experiment_is_continued(job: TuneJob) -> None:
    Path(experiment_path(tuner_name="given")).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"--name must be new, but there is an experiment 'given' in .*--resume given"):
        make_tuner(job)
    assert make_tuner(job, is_new=False).name == "given"
    assert make_tuner(replace(job, name="other")).name == "other"


@pytest.mark.slow
def test_a_job_whose_trials_all_fail_ends_early_and_says_why(job: TuneJob) -> None:
    tuner = make_tuner(job)
    path, why = run_job(tuner)
    assert path == tuner.tuner_path
    assert why == "1 trial has failed, more than --max-failures 0 allows"
    assert tuner.tuning_status.num_trials_failed == 1


def test_an_error_of_the_tuning_itself_is_raised(job: TuneJob) -> None:
    tuner = make_tuner(job)
    tuner.callbacks.append(Journal())
    with pytest.raises(ValueError, match="callbacks must have one Journal, but got several"):
        run_job(tuner)


def test_an_experiment_goes_on_with_the_seed_that_it_has_drawn(job: TuneJob) -> None:
    assert job.seed is None
    drawn = make_tuner(job).scheduler.metadata()["scheduler_kwargs"]["random_seed"]
    path = Path(experiment_path(tuner_name="given"))
    path.mkdir(parents=True)
    (path / "metadata.json").write_text(json.dumps({"scheduler_kwargs": {"random_seed": drawn}}))
    assert with_recorded_seed(job, "given").seed == drawn
    assert with_recorded_seed(job, str(path)) == replace(job, seed=drawn)
    assert with_recorded_seed(replace(job, seed=3), "given").seed == 3


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"scheduler_kwargs": null}', '{"scheduler_kwargs": {"random_seed": "x"}}']
)
def test_what_has_recorded_no_seed_changes_nothing(job: TuneJob, text: str) -> None:
    assert with_recorded_seed(job, "given") == job
    path = Path(experiment_path(tuner_name="given"))
    path.mkdir(parents=True)
    (path / "metadata.json").write_text(text)
    assert with_recorded_seed(job, "given") == job
