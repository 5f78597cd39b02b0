from __future__ import annotations

import json
import math

from syne_hypersched.experiments.page._data import PageData, encode
from syne_hypersched.experiments.page._reader import RunReader
from tests.experiments.page.runs import WrittenRun, write_example


def collect(path):
    reader = RunReader(path)
    reader.update()
    return PageData(reader).collect()


def test_the_run_in_numbers(tmp_path):
    run = write_example(tmp_path / "run")
    page = collect(tmp_path / "run")
    assert page["run"]["name"] == "run"
    assert (page["run"]["metric"], page["run"]["minimize"], page["run"]["level"]) == ("accuracy", False, "epoch")
    assert page["totals"] == {
        "reports": 5, "launches": 5, "resizes": 1, "retries": 0, "decisions": 2, "failures": 1,
    }  # fmt: skip
    assert page["devices"] == run.devices
    assert page["deadline"] == 200.0
    assert page["incumbent"]["trial"] == 0
    (failure,) = page["failures"]
    assert (failure["trial"], failure["launch"], failure["code"], failure["final"]) == (2, 0, 1, True)
    assert len(page["rungs"]) == 1, "the rung that a decision has named"


def test_the_latest_failures_come_first(tmp_path):
    run = WrittenRun(tmp_path)
    for trial_id in range(3):
        run.start(trial_id)
        run.now_s += 1.0
        run.fail(trial_id, f"error of trial {trial_id}\n")
    failures = collect(tmp_path)["failures"]
    assert [(failure["trial"], failure["time"], failure["lines"]) for failure in failures] == [
        (2, 3.0, ["error of trial 2"]), (1, 2.0, ["error of trial 1"]), (0, 1.0, ["error of trial 0"]),
    ]  # fmt: skip


def test_of_many_trials_only_the_best_and_the_live_ones_keep_their_curves(tmp_path, monkeypatch):
    monkeypatch.setattr("syne_hypersched.experiments.page._data._MOST_IN_FULL", 1)
    monkeypatch.setattr("syne_hypersched.experiments.page._data._MOST_POINTS_IN_ALL", 15)
    run = WrittenRun(tmp_path)
    for trial_id, accuracy in ((0, 0.5), (1, 0.9), (2, 0.1)):
        run.start(trial_id)
        for epoch in range(1, 9):
            run.report(trial_id, epoch, accuracy + epoch / 100)
        if trial_id < 2:
            run.exit(trial_id, "drained", "stop")
    run.event("launch", 2, run.held[2], 0, pids=[1], host="here", boot_id="now")
    points = {trial["id"]: len(trial["points"]) for trial in collect(tmp_path)["trials"]}
    # A third of 15 points each, but for the best trial and the one that runs.
    assert points == {0: 5, 1: 8, 2: 8}


def test_what_is_not_json_is_a_text():
    assert json.loads(encode({"a": math.pi.hex, "b": "</script>&"}))["b"] == "</script>&"
    assert encode({"b": "</script>&"}) == '{"b":"\\u003c/script\\u003e\\u0026"}'


def test_what_is_sent_is_json_that_cannot_end_its_element(tmp_path):
    write_example(tmp_path)
    reader = RunReader(tmp_path)
    reader.update()
    text = encode(PageData(reader).collect())
    assert "<" not in text
    assert json.loads(text)["trials"][0]["config"][2].startswith("<img")


def test_what_is_new_added_to_what_was_known_is_everything(tmp_path, wait_for):
    """A page that follows a run has the same as one that is opened at its end."""
    run = write_example(tmp_path)
    reader = RunReader(tmp_path)
    reader.update()
    data = PageData(reader)
    page = data.collect()
    trials = {trial["id"]: trial for trial in page["trials"]}
    launches = {(*one[:2], one[-1]): one for one in page["launches"]}
    decisions = page["decisions"]
    run.report(3, 1, 0.3, is_first=True)
    run.report(3, 2, 0.35)
    run.decide("stop", 3, "not among the best")
    run.exit(3, "drained", "stop")
    run.event("stop", 3)
    anew = RunReader(tmp_path)
    anew.update()
    everything = PageData(anew).collect()

    def has_everything() -> bool:
        reader.update()  # the costs of the launches are computed anew only now and then
        page.update(data.collect(page["seq"]))
        assert 1 not in [trial["id"] for trial in page["trials"]], "trial 1 has not changed"
        trials.update({trial["id"]: trial for trial in page["trials"]})
        launches.update({(*one[:2], one[-1]): one for one in page["launches"]})
        decisions.extend(page["decisions"])
        # Sums over all trials are made anew only now and then, too.
        return trials == {trial["id"]: trial for trial in everything["trials"]} and all(
            page[name] == everything[name] for name in ("best", "rungs", "counts")
        )

    wait_for(has_everything)
    assert launches == {(*one[:2], one[-1]): one for one in everything["launches"]}
    assert decisions == everything["decisions"]
    for name in ("failures", "totals", "waiting", "history", "devices", "incumbent"):
        assert page[name] == everything[name]
