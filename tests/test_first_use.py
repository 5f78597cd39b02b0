"""A scheduler and a backend are for one tuning: a second one with them is refused, as a notebook's cell run again."""

from __future__ import annotations

import logging

import pytest
from syne_tune import StoppingCriterion, Tuner

from syne_hypersched import ElasticLocalBackend, ElasticSimulatorBackend, ResizeBest, WaitForReports, simulate
from tests.schedulers.families import FAMILIES, Curves

USED = "make a new scheduler, backend and stop criterion"


@pytest.fixture(autouse=True)
def experiments(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    yield tmp_path
    logging.getLogger("syne_tune").handlers.clear()


def make_backend():
    return ElasticSimulatorBackend(Curves(), "elapsed_s", 2)


def make_tuner(backend, scheduler, **arguments):
    return Tuner(
        backend, scheduler, StoppingCriterion(max_num_trials_finished=2), n_workers=2, sleep_time=0, save_tuner=False,
        **arguments,
    )  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_a_scheduler_is_simulated_once(name):
    scheduler = FAMILIES[name]()
    assert not scheduler.has_trials
    assert simulate(scheduler, Curves(), num_devices=2).num_trials == 4
    with pytest.raises(ValueError, match=f"this {type(scheduler).__name__} has been used.*{USED}"):
        simulate(scheduler, Curves(), num_devices=2)


def test_a_scheduler_in_another_is_simulated_once():
    scheduler = FAMILIES["stopping"]()
    simulate(ResizeBest(scheduler, num_devices=2), Curves(), num_devices=2)
    for used in (scheduler, ResizeBest(scheduler, num_devices=2)):
        with pytest.raises(ValueError, match=USED):
            simulate(used, Curves(), num_devices=2)


@pytest.mark.parametrize("name", ["adaptive", "promotion"])
def test_a_scheduler_is_for_one_tuner(name):
    scheduler = FAMILIES[name]()
    tuner = make_tuner(make_backend(), scheduler, callbacks=[WaitForReports()])
    tuner.run()
    tuner.run()  # the same goes on
    with pytest.raises(ValueError, match=f"has been used.*{USED}"):
        make_tuner(make_backend(), scheduler, callbacks=[WaitForReports()]).run()


def test_a_trial_is_added_once_whatever_the_callbacks_are():
    scheduler = FAMILIES["stopping"](searcher="random_search")
    make_tuner(make_backend(), scheduler, callbacks=[]).run()
    with pytest.raises(ValueError, match=f"has been used.*{USED}"):
        make_tuner(make_backend(), scheduler, callbacks=[]).run()


def test_a_backend_is_for_one_tuner(experiments):
    backend = make_backend()
    make_tuner(backend, FAMILIES["stopping"](), tuner_name="first", suffix_tuner_name=False, callbacks=[]).run()
    with pytest.raises(ValueError, match=f"trial_backend must have no trials yet, .* in {experiments}/first; {USED}"):
        make_tuner(backend, FAMILIES["stopping"](), tuner_name="second")


def test_a_backend_of_processes_is_for_one_tuner(tmp_path, no_process_left):
    (tmp_path / "train.sh").write_text("exit 0\n")
    backend = ElasticLocalBackend(tmp_path / "train.sh", 1, device_type="cpu", binary="sh")
    for name in ("first", "second"):  # it has no trials yet
        make_tuner(backend, FAMILIES["stopping"](), tuner_name=name, callbacks=[])
    backend.start_trial({"x": 1})
    backend.stop_all()
    with pytest.raises(ValueError, match=f"trial_backend must have no trials yet, but it has 1 .*{USED}"):
        make_tuner(backend, FAMILIES["stopping"](), tuner_name="third")
