from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.comparison.settings import Duration, Scenario, Study, TableFile


def scenario(**changes):
    return Scenario(**({"benchmark": "digits", "num_devices": 8, "schedulers": ("asha", "random")} | changes))


def study(**changes):
    base = {"scenarios": (scenario(),), "deadlines": (Duration(1, "x"),), "seeds": (0, 1), "reference": "asha"}
    return Study(**(base | changes))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("0.5x", 50),
        ("2x", 200),
        ("1%", 1),
        ("0%", 0),
        ("1e2", 100),
    ],
)
def test_durations_in_all_units(text, seconds):
    assert Duration.parse(text).in_seconds(full_run_s=100.0) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "1 day", "1xx", "nan", "inf", "1e999", "0x1", "1,5"])
def test_texts_that_are_no_duration(text):
    with pytest.raises(ValueError, match="a duration must be"):
        Duration.parse(text)


@given(st.sampled_from(["s", "x", "%"]), st.integers(0, 10_000_000))
def test_a_duration_is_read_back_from_its_text(unit, thousandths):
    duration = Duration(thousandths / 1000, unit)
    assert Duration.parse(str(duration)) == duration


def test_a_relative_duration_needs_the_length_of_a_full_run():
    assert Duration.parse("60").in_seconds(None) == 60
    with pytest.raises(ValueError, match=r"0\.5x must be given in seconds"):
        Duration.parse("0.5x").in_seconds(None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": ()}, "seeds must not be empty"),
        ({"seeds": (1, 1)}, "1 is given twice"),
        ({"seeds": (-1,)}, "seeds must not be negative"),
        ({"deadlines": (Duration(0),)}, "deadlines must be positive"),
        ({"reference": "ahsa"}, "did you mean 'asha'"),
        ({"backend": "simulater"}, "did you mean 'simulator'"),
        ({"max_num_trials": 0}, "max_num_trials must be at least 1, but got 0"),
        ({"max_t": 3}, "max_t is for the backend 'local'"),
        ({"script_options": (("model", "resnet18"),)}, "script_options is for the backend 'local'"),
        ({"backend": "local", "table": TableFile("a.csv", "loss", True)}, "table is for the backend 'simulator'"),
        ({"scenarios": (scenario(), scenario())}, "scenarios must differ"),
    ],
)
def test_studies_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        study(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_devices": 0}, "num_devices must be at least 1, but got 0"),
        ({"schedulers": ()}, "schedulers must have at least one name"),
        ({"schedulers": ("asha", "asha")}, "asha is given twice"),
        ({"launch_cost": None, "join_cost": Duration(1)}, "join_cost must be None if launch_cost is None, but got 1s"),
        ({"launch_cost": None, "relaunch_cost": Duration(1)}, "relaunch_cost must be None if launch_cost is None, but"),
    ],
)
def test_scenarios_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        scenario(**changes)


def test_what_launches_and_resizes_cost():
    dear = Duration(5, "%")
    in_place = scenario(launch_cost=dear, join_cost=Duration(0.1, "%"))
    assert (scenario(launch_cost=dear).launches, in_place.launches) == ("5%", "5%/0.1%")
    assert (
        scenario(launch_cost=dear, relaunch_cost=Duration(2, "%"), join_cost=Duration(0.1, "%")).launches
        == "5%+2%/0.1%"
    )
    assert "launch cost 5%/0.1%" in in_place.name
    assert in_place.name_beside(scenario(launch_cost=dear)) == "launch cost 5%/0.1%"
    assert in_place.folder != scenario(launch_cost=dear).folder
    assert json.loads(json.dumps(study(scenarios=(in_place,)).as_json()))["scenarios"][0]["join_cost"] == "0.1%"


def test_a_study_as_json_has_everything_that_decides_the_results():
    table = TableFile("curves.csv", "loss", True, sha256="abc")
    stored = json.loads(json.dumps(study(table=table).as_json()))
    assert stored["scenarios"][0] == {
        "benchmark": "digits",
        "num_devices": 8,
        "schedulers": ["asha", "random"],
        "scaling": "resnet50",
        "launch_cost": "1%",
    }
    assert stored["deadlines"] == ["1x"]
    assert stored["table"]["sha256"] == "abc"


def test_folders_of_scenarios_need_no_quoting():
    folders = [scenario(scaling=s, launch_cost=Duration.parse("0.5%")).folder for s in ("resnet50", "1:1,2:1.8")]
    assert folders == ["digits-8dev-resnet50-0_5pct", "digits-8dev-1,1,2,1_8-0_5pct"]


def test_a_pool_is_in_shares_of_the_deadline_and_of_the_devices():
    scenario = Scenario("digits", 8, ("asha",), pool="0.25:0.5,0.5:1")
    assert scenario.devices_over_time(200.0) == [(50.0, 4), (100.0, 8)]
    assert scenario.name.endswith("pool 0.25:0.5,0.5:1")
    whole = Scenario("digits", 8, ("asha",))
    assert whole.devices_over_time(200.0) == []
    assert (scenario.name_beside(whole), whole.name_beside(scenario)) == (
        "pool 0.25:0.5,0.5:1",
        "all devices always there",
    )


@pytest.mark.parametrize("pool", ["", "0.5", "a:1", "0.5:2", "-1:1"])
def test_a_pool_must_make_sense(pool):
    with pytest.raises(ValueError, match="pool must"):
        Scenario("digits", 8, ("asha",), pool=pool)
