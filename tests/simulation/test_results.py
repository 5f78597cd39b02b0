from __future__ import annotations

import math
import zipfile

import numpy as np
import pandas as pd
import pytest
from syne_tune.constants import ST_TUNER_TIME

from syne_hypersched.simulation._results import Simulation


def decided(trial_id, time_s, decision="CONTINUE", **report):
    return (trial_id, {"x": trial_id / 4}, "InProgress", {ST_TUNER_TIME: time_s, **report}, decision)


def make(*results, **facts) -> Simulation:
    facts = {
        "num_devices": 4, "num_trials": 2, "end_s": 10.0, "device_seconds_held": 30.0, "device_seconds_training": 20.0,
        "metadata": {"metric_names": ["loss"]}, **facts,
    }  # fmt: skip
    return Simulation(**facts, _results=list(results))


def test_the_utilisation_is_the_share_of_the_devices_time_spent_on_epochs():
    assert make().utilisation == 20 / (4 * 10)
    assert make(end_s=0.0).utilisation == 0


def test_a_row_for_each_report_in_the_order_of_time():
    simulation = make(decided(0, 1.0, loss=0.5), decided(1, 2.5, "STOP", loss=0.25))
    assert simulation.num_results == 2
    assert simulation.results.to_dict("records") == [
        {ST_TUNER_TIME: 1.0, "loss": 0.5, "st_decision": "CONTINUE", "st_status": "InProgress", "trial_id": 0,
         "config_x": 0.0},
        {ST_TUNER_TIME: 2.5, "loss": 0.25, "st_decision": "STOP", "st_status": "InProgress", "trial_id": 1,
         "config_x": 0.25},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("do_minimize", "best"),
    [
        (True, [math.nan, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]),
        (False, [math.nan, 0.5, 0.75, 0.75, 0.75, 0.75, 0.75]),
    ],
)
def test_the_best_so_far_passes_over_what_is_no_number(do_minimize, best):
    simulation = make(
        decided(0, 1.0, loss=math.nan),
        decided(0, 2.0, loss=0.5),
        decided(1, 3.0, loss=0.75),
        decided(0, 4.0, loss=0.25),
        decided(0, 5.0, other=-9.0, loss="no number"),
        decided(0, 6.0, loss=math.inf),
        decided(0, 7.0, loss=-math.inf),
    )
    times_s, values = simulation.trajectory("loss", do_minimize)
    np.testing.assert_array_equal(times_s, [1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(values, best)
    assert simulation.best("loss", do_minimize) == best[-1]
    assert simulation.best("other") == -9


def test_without_a_report_there_is_no_best_and_an_unknown_metric_is_named():
    assert math.isnan(make().best("loss"))
    assert [len(values) for values in make().trajectory("loss")] == [0, 0]
    with pytest.raises(ValueError, match=r"metric must be an entry of the reports, one of .*loss, but got 'acc'"):
        make(decided(0, 1.0, loss=0.5)).best("acc")


def test_what_is_saved_is_read_by_syne_tunes_means_and_is_the_same_to_the_byte(tmp_path):
    events = tmp_path / "elsewhere.jsonl"
    events.write_text("{}\n")
    simulation = make(decided(0, 1.0, loss=0.5), events_path=events)
    for name in ("a", "b"):
        simulation.save(tmp_path / "new" / name)
    for file in ("metadata.json", "results.csv.zip", "events.jsonl"):
        assert (tmp_path / "new/a" / file).read_bytes() == (tmp_path / "new/b" / file).read_bytes()
    assert pd.read_csv(tmp_path / "new/a/results.csv.zip").equals(simulation.results)
    with zipfile.ZipFile(tmp_path / "new/a/results.csv.zip") as archive:
        assert archive.namelist() == ["results.csv"]
    assert (tmp_path / "new/a/events.jsonl").read_text() == "{}\n"


def test_events_that_are_there_already_stay_and_none_are_made_up(tmp_path):
    events = tmp_path / "events.jsonl"
    events.write_text("{}\n")
    make(decided(0, 1.0, loss=0.5), events_path=events).save(tmp_path)
    assert events.read_text() == "{}\n"
    make(decided(0, 1.0, loss=0.5)).save(tmp_path / "none")
    assert not (tmp_path / "none/events.jsonl").exists()
