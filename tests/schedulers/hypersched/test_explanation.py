"""The reasons that HyperSched gives: in ``explain()``, in ``events.jsonl`` and in the live view."""

from __future__ import annotations

import json
import math
import time
from datetime import datetime

import dill
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune import Tuner
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import (
    Deadline,
    ElasticLocalBackend,
    ElasticSimulatorBackend,
    HyperSched,
    LaunchCost,
    PublishedRules,
    simulate,
)
from syne_hypersched.allocation.resize import MIN_GAIN
from syne_hypersched.allocation.stretch import planned_s
from syne_hypersched.blackboxes import TableBlackbox
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger, check_run, load_run
from syne_hypersched.experiments.verify import verdict
from syne_hypersched.schedulers.decisions import Decision
from syne_hypersched.schedulers.hypersched._explanation import last_explained
from tests.thoroughness import examples

STRATEGIES = ("published", "adaptive")
MAX_T = 27
SPACE = {"x": uniform(0, 1)}


def make_table(num_configs: int = 120) -> TableBlackbox:
    """Noisy curves that fall to a final loss, in epochs of 0.5 to 2 seconds."""
    random_state = np.random.RandomState(0)
    final, rate = random_state.uniform(0, 1, (2, num_configs, 1))
    levels = np.arange(1, MAX_T + 1)
    loss = final + np.exp(-rate * levels / 5) + 0.02 * random_state.standard_normal((num_configs, MAX_T))
    epoch_s = np.repeat(random_state.uniform(0.5, 2, (num_configs, 1)), MAX_T, axis=1)
    rows = [{"x": float(x)} for x in random_state.uniform(size=num_configs)]
    return TableBlackbox(rows, {"loss": loss}, epoch_s.cumsum(axis=1), configuration_space=SPACE)


TABLE = make_table()


def make_scheduler(strategy, num_devices=8, deadline_s=50.0, scaling="resnet50", seed=0, **kwargs) -> HyperSched:
    return HyperSched(
        SPACE, "loss", "epoch", MAX_T, num_devices, deadline_s, strategy=strategy, random_seed=seed,
        scaling=scaling, **{"searcher": "random_search", **kwargs},
    )  # fmt: skip


def run(scheduler, **kwargs):
    given = {"num_devices": scheduler.num_devices, "deadline_s": scheduler.deadline_s}
    return simulate(scheduler, TABLE, **{**given, "launch_cost": LaunchCost(start_s=0.1, drain_s=0.05), **kwargs})


def explained(scheduler, what):
    return [decision for decision in scheduler.explain(10_000).decisions if decision.what == what]


@settings(max_examples=examples(20), deadline=None)
@given(
    strategy=st.sampled_from(STRATEGIES),
    seed=st.integers(0, 1000),
    num_devices=st.integers(1, 12),
    deadline_s=st.floats(20, 100),
    scaling=st.sampled_from([None, "resnet50", "babi"]),
    policy=st.sampled_from(["uniform", "top_job", "goodput"]),
)
def test_the_numbers_given_are_those_by_which_the_rules_decide(
    strategy, seed, num_devices, deadline_s, scaling, policy
):
    policy = policy if strategy == "published" else "uniform"
    scheduler = make_scheduler(strategy, num_devices, deadline_s, scaling, seed, policy=policy)
    run(scheduler)
    reduction_factor = scheduler.reduction_factor
    held: dict[int, int] = {}
    for decision in scheduler.decisions:
        numbers = decision.numbers
        if decision.what == "resize":
            assert (numbers["from_devices"], numbers["to_devices"]) == (held[decision.trial_id], decision.num_devices)
            assert 1 <= numbers["rank"] <= numbers["num_live"]
            gain = numbers["speed_up"] * (1 - numbers["launch_cost_s"] / numbers["time_left_s"])
            assert numbers["gain"] == pytest.approx(gain if numbers["time_left_s"] > numbers["launch_cost_s"] else 0)
            assert numbers["gain"] > MIN_GAIN or decision.num_devices < held[decision.trial_id]
            assert numbers["time_left_s"] == pytest.approx(deadline_s - decision.time_s)
        elif decision.what == "pause" and "least_recorded" in numbers:
            assert strategy == "adaptive"
            assert numbers["num_recorded"] < numbers["least_recorded"]
        elif decision.what == "pause" and "rung" in numbers:
            # A value strictly above the quantile has at least as many better ones as the quantile leaves below it.
            assert numbers["rank"] - 1 > (numbers["num_recorded"] - 1) / reduction_factor - 1e-9
            assert numbers["rank"] <= numbers["num_recorded"]
        elif decision.what == "pause":
            assert numbers["rank"] > numbers["num_survivors"]
        elif decision.what == "close" and strategy == "adaptive":
            assert numbers["time_left_s"] <= numbers["stretch_s"]
            assert numbers["full_run_s"] == pytest.approx(MAX_T * numbers["epoch_time_s"])
            assert numbers["stretch_s"] == planned_s(deadline_s, numbers["full_run_s"], numbers["speed_up"])
        elif decision.what == "close":
            assert numbers["time_left_s"] < numbers["time_needed_s"] or numbers["time_left_s"] == 0
            needs = max(numbers["longest_trial_s"] - numbers["launch_cost_s"], 0) * reduction_factor
            assert numbers["time_needed_s"] == pytest.approx(min(needs, MAX_T * numbers.get("epoch_time_s", math.inf)))
        elif decision.what == "stop" and decision.reason == "trained to the end":
            assert numbers["resource"] >= MAX_T
        if decision.what != "start":
            assert decision.reason
        if decision.trial_id is not None:
            held[decision.trial_id] = decision.num_devices


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_text_and_the_record_say_why(strategy):
    scheduler = make_scheduler(strategy)
    run(scheduler)
    explanation = scheduler.explain()
    record = explanation.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert len(record["decisions"]) == 20
    assert [decision["what"] for decision in record["decisions"]].count("resize") >= 1
    (closing,) = [decision for decision in scheduler.decisions if decision.what == "close"]
    assert record["admission"] == {
        "open": False, "closed_s": closing.time_s, "reason": closing.reason, "numbers": closing.numbers,
    }  # fmt: skip
    lines = str(explanation).splitlines()
    assert lines[0].startswith(f"HyperSched ({strategy}) at ")
    assert lines[1] == f"admission closed at {closing.time_s:.4g} s: {closing.reason}"
    assert len(lines) == 3 + 20
    last = explanation.decisions[-1]
    assert lines[-1].strip() == f"{last.time_s:.4g} s  {last.what} trial {last.trial_id}: {last.reason}"


def test_one_trial_is_explained_alone():
    scheduler = make_scheduler("adaptive")
    run(scheduler)
    grown = explained(scheduler, "resize")[-1].trial_id
    story = scheduler.explain(trial_id=grown).decisions
    assert {decision.trial_id for decision in story} == {grown}
    assert "resize" in [decision.what for decision in story]


class UnrecordedTrial(Trial):
    """A trial of another package's backend, which can resize it and keeps no record."""

    num_devices = 1

    def resize(self, num_devices):
        self.num_devices = num_devices

    def follow(self, time_attr):
        pass

    def publish(self, result):
        pass


class ByHand:
    """Sends reports at chosen times."""

    def __init__(self, **changes):
        arguments = {"max_t": 100, "num_devices": 4, "deadline_s": 1000, "scaling": {1: 1, 8: 8}, "random_seed": 0}
        arguments["strategy"] = "published"
        self.now_s = 0.0
        self.scheduler = HyperSched(SPACE, "loss", "epoch", clock=lambda: self.now_s, **{**arguments, **changes})

    def start(self, count):
        for trial_id in range(count):
            trial = UnrecordedTrial(trial_id, self.scheduler.suggest().config, datetime(2024, 1, 1))
            self.scheduler.on_trial_add(trial=trial)

    def report(self, trial_id, epoch, loss, now_s=0.0):
        self.now_s = now_s
        trial = UnrecordedTrial(trial_id, {"x": 0.5}, datetime(2024, 1, 1))
        decision = self.scheduler.on_trial_result(trial=trial, result={"loss": loss, "epoch": epoch})
        if decision != "CONTINUE":
            self.scheduler.on_trial_remove(trial=trial)
        return decision


def test_a_pause_by_the_published_rule_counted_by_hand():
    tuning = ByHand()
    tuning.start(4)
    for trial_id, loss in enumerate([0.3, 0.2, 0.1]):
        tuning.report(trial_id, 1, loss)
    assert tuning.report(3, 1, 0.25, now_s=7.0) == "PAUSE"
    (decision,) = tuning.scheduler.explain(trial_id=3).decisions
    assert decision == Decision(
        7.0, "pause", 3, 0, "rank 3 of 4 at the rung of level 1, where one in 4 goes on",
        {"rung": 1, "rank": 3, "num_recorded": 4, "reduction_factor": 4.0},
    )  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_trial_that_diverges_is_said_so_and_never_goes_on(strategy):
    tuning = ByHand(strategy=strategy)
    tuning.start(2)
    tuning.report(0, 1, 0.1, now_s=1.0)
    assert tuning.report(0, 2, math.nan, now_s=2.0) == "PAUSE"
    (decision,) = tuning.scheduler.explain(trial_id=0).decisions
    assert (decision.reason, decision.numbers) == ("its metric is not a finite number", {})
    for epoch in range(1, 30):
        if tuning.report(1, epoch, 1.0, now_s=10.0 * epoch) == "PAUSE":
            break
    # In the last stretch the best of all paused trials are resumed.
    tuning.now_s = 995.0
    while (suggestion := tuning.scheduler.suggest()) is not None:
        assert suggestion.checkpoint_trial_id == 1
    assert not tuning.scheduler.admission_open


def test_explanation_names_the_rule_before_and_while_admission_is_open():
    tuning = ByHand(strategy="adaptive", deadline_s=1000)
    before = tuning.scheduler.explain()
    assert before.admission_open
    assert before.admission.text == "no epoch time is known yet"
    tuning.start(1)
    tuning.report(0, 1, 0.5, now_s=10.0)
    tuning.report(0, 2, 0.4, now_s=20.0)
    while_open = tuning.scheduler.explain()
    assert while_open.time_s == 20.0
    assert while_open.allocation == {0: 1}
    assert while_open.admission.numbers["epoch_time_s"] == 10.0
    assert while_open.admission.numbers["stretch_s"] < 980 == while_open.admission.numbers["time_left_s"]
    assert "the last stretch begins with" in while_open.admission.text
    published = ByHand(deadline_s=1000)
    published.start(1)
    published.report(0, 1, 0.5, now_s=10.0)
    # One first epoch may have been a cold start.
    assert published.scheduler.explain().admission.text == "990 s are left and a new trial needs 0 s to win"
    published.report(0, 2, 0.4, now_s=20.0)
    assert published.scheduler.explain().admission.text == "980 s are left and a new trial needs 80 s to win"


def test_explaining_changes_nothing_and_starts_no_clock():
    scheduler = HyperSched(
        SPACE, "loss", "epoch", MAX_T, num_devices=2, deadline_s=100.0, random_seed=0, strategy="published"
    )
    for _ in range(2):
        assert scheduler.explain().time_s == 0.0
    time.sleep(0.05)
    scheduler.suggest()
    assert scheduler.explain().time_s < 0.04


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_explaining_at_every_report_changes_no_decision(strategy):
    silent, asked = make_scheduler(strategy), make_scheduler(strategy)
    results = run(silent).results, run(asked, on_result=lambda *_: asked.explain(3)).results
    assert results[0].equals(results[1])
    assert silent.decisions == asked.decisions


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_survives_dill_and_metadata_stays_json(strategy):
    scheduler = make_scheduler(strategy)
    run(scheduler)
    copy = dill.loads(dill.dumps(scheduler))
    assert copy.explain(500) == scheduler.explain(500)
    assert json.loads(json.dumps(scheduler.metadata())) == json.loads(json.dumps(make_scheduler(strategy).metadata()))


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        (-1, ValueError, "num_decisions must be at least 0, but got -1"),
        (2.5, TypeError, "num_decisions must be an integer, but got 2.5"),
    ],
)
def test_bad_arguments(argument, error, message):
    with pytest.raises(error, match=message):
        make_scheduler("adaptive").explain(argument)


def test_decisions_without_a_reason_are_left_out():
    reason = ("it is weak", {})
    pause, stop = Decision(1.0, "pause", 0, 0, *reason), Decision(2.0, "stop", 1, 0, *reason)
    decisions = [Decision(0.0, "start", 0, 1), pause, stop]
    assert last_explained(decisions, 5) == (pause, stop)
    assert last_explained(decisions, 1) == (stop,)
    assert last_explained(decisions, 0) == ()
    assert last_explained(decisions, 5, trial_id=0) == (pause,)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_gives_the_same_events_to_the_byte(tmp_path, strategy):
    written = []
    for name in ("first", "second"):
        run(make_scheduler(strategy), events_path=tmp_path / name / "events.jsonl")
        written.append((tmp_path / name / "events.jsonl").read_bytes())
    assert written[0] == written[1]
    assert b'"decision"' in written[0]


@pytest.mark.parametrize("start_jobs_without_delay", [True, False])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_reason_is_an_event_under_the_stock_tuner(tmp_path, monkeypatch, strategy, start_jobs_without_delay):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    backend = ElasticSimulatorBackend(TABLE, "elapsed_s", num_devices=8, launch_cost=LaunchCost(start_s=0.1))
    scheduler = make_scheduler(strategy)
    Tuner(
        backend,
        scheduler,
        Deadline(50, trial_backend=backend),
        n_workers=8,
        sleep_time=0,
        start_jobs_without_delay=start_jobs_without_delay,
        suffix_tuner_name=False,
        tuner_name="explained",
        callbacks=[StoreResultsCallback()],
        output_logger=QuietTunerLogger(),
    ).run()
    read = load_run(tmp_path / "explained")
    assert check_run(read, step=1) == ()
    told = [
        (decision.what, decision.reason, dict(decision.numbers), decision.trial_id)
        for decision in scheduler.decisions
        if decision.reason and decision.what != "resume"
    ]
    written = [
        (event.details["what"], event.reason, event.details["numbers"], event.trial_id) for event in read.decisions
    ]
    assert len(written) > 20
    # That admission is closed is recorded at the report of some trial.
    assert [entry[:3] for entry in written] == [entry[:3] for entry in told]
    assert all(there[3] in (None, here[3]) for here, there in zip(written, told, strict=True))
    (closing,) = [entry for entry in told if entry[0] == "close"]
    assert f"s: {closing[1]}" in verdict(read, ())


SCRIPT = """
import argparse, time
from tests.reporter import Reporter
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir")
args = parser.parse_args()
report = Reporter()
for epoch in range(1, 200):
    time.sleep(0.05)
    report(epoch=epoch, loss=args.x + 1 / epoch)
"""


def test_with_real_processes_reasons_are_events_and_in_the_live_view(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    entry_point = tmp_path / "train.py"
    entry_point.write_text(SCRIPT)

    def tune(deadline_s):
        backend = ElasticLocalBackend(entry_point, num_devices=2, device_type="cpu", preload=())
        rules = PublishedRules(fixed_exploration=0.3)
        scheduler = HyperSched(
            SPACE, "loss", "epoch", 200, num_devices=2, deadline_s=deadline_s, random_seed=0, strategy=rules
        )
        Tuner(
            backend,
            scheduler,
            Deadline(deadline_s, trial_backend=backend, drain_s=0.2),
            n_workers=2,
            sleep_time=0.05,
            suffix_tuner_name=False,
            tuner_name=f"explained-{deadline_s}",
            callbacks=[StoreResultsCallback(), LiveProgress(interval_s=0.2, panel=False)],
            output_logger=QuietTunerLogger(),
        ).run()
        return scheduler, load_run(tmp_path / f"explained-{deadline_s}").decisions

    for deadline_s in (5, 20, 80):  # on a busy machine no trial may report before the first is over
        scheduler, decisions = tune(deadline_s)
        if decisions:
            break
    written = [(event.details["what"], event.reason) for event in decisions]
    told = [(d.what, d.reason) for d in scheduler.decisions if d.reason and d.what != "resume"]
    assert written == told
    (closing,) = [event for event in decisions if event.details["what"] == "close"]
    assert f"admission closes after the share 0.3 of {deadline_s} s" in closing.reason
    assert closing.time_s >= 0.3 * deadline_s
    shown = [line for line in capsys.readouterr().out.splitlines() if f"s of {deadline_s} s left" in line]
    last = decisions[-1]
    whom = "admission" if last.details["what"] == "close" else f"trial {last.trial_id}"
    assert shown[-1].endswith(f"{last.details['what']} {whom}: {last.reason}")
