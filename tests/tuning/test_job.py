from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syne_hypersched.tuning import (
    TuneJob,
    parse_cluster_devices,
    parse_devices,
    parse_duration,
    parse_resource,
    parse_space,
)

SCRIPT = Path(__file__).with_name("training_script.py")


@pytest.fixture
def job() -> TuneJob:
    return TuneJob(
        script=SCRIPT,
        space=parse_space(["lr=log(1e-4,1e-1)", "width=[8,16]"]),
        metric="val_loss",
        do_minimize=True,
        time_attr="epoch",
        max_t=27,
        deadline_s=60.0,
    )


@pytest.mark.parametrize(
    "text, seconds",
    [
        *[("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), (" 2 H ", 7200)],
        *[("1d2h3m4s", 93784), ("0.5", 0.5), ("1e3", 1000)],
    ],
)
def test_a_duration_is_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "-2h", "2 hours", "h", "1x", "nan", "inf", "1h-30m", "2h30"])
def test_a_bad_duration_is_refused(text):
    with pytest.raises(ValueError, match="--deadline must be a positive time"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text, expected",
    [
        *[("all", ("auto", None)), ("8", ("auto", 8)), ("cpu", ("cpu", None)), ("gpu", ("gpu", None))],
        *[("cpu:4", ("cpu", 4)), ("GPU:2", ("gpu", 2))],
    ],
)
def test_devices_are_read(text, expected):
    assert parse_devices(text) == expected


@pytest.mark.parametrize("text", ["", "0", "cpu:0", "-1", "tpu", "cpu:", "2.5", "all:2", "gpu:a", "cpu:1,2"])
def test_bad_devices_are_refused(text):
    with pytest.raises(ValueError, match="--devices must be"):
        parse_devices(text)


@pytest.mark.parametrize(
    "text, expected",
    [
        *[("all", ("GPU", None)), ("8", ("GPU", 8)), ("gpu", ("GPU", None)), ("gpu:8", ("GPU", 8))],
        *[("slot", ("slot", None)), ("my_slot:4", ("my_slot", 4))],
    ],
)
def test_devices_of_a_cluster_are_read(text, expected):
    assert parse_cluster_devices(text) == expected


@pytest.mark.parametrize("text", ["", "0", "slot:0", "slot:", "-1", "a b", "slot:x", "2.5"])
def test_bad_devices_of_a_cluster_are_refused(text):
    with pytest.raises(ValueError, match="--devices with --cluster must be"):
        parse_cluster_devices(text)


def test_a_resource_is_read():
    assert parse_resource("epoch:81") == ("epoch", 81)
    assert parse_resource("hours:0.5") == ("hours", 0.5)
    assert parse_resource("a:b:3") == ("a:b", 3)
    assert isinstance(parse_resource("epoch:8.0")[1], int)


@pytest.mark.parametrize("text", ["", "epoch", "epoch:", ":81", "epoch:0", "epoch:-1", "epoch:nan", "epoch:inf", "e:x"])
def test_a_bad_resource_is_refused(text):
    with pytest.raises(ValueError, match="--resource must be"):
        parse_resource(text)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"script": Path("nowhere.py")}, "does not exist"),
        ({"script": SCRIPT.parent}, "is a folder"),
        ({"metric": ""}, "--metric"),
        ({"metric": "epoch"}, "different entries"),
        ({"scheduler": "hyper"}, "did you mean 'hypersched'"),
        ({"searcher": "randon_search"}, "did you mean 'random_search'"),
        ({"seed": -1}, "--seed"),
        ({"max_failures": -1}, "--max-failures"),
        ({"grace_period": 0.0}, "--grace-period"),
        ({"grace_period": 28.0}, "at most the 27 of --resource"),
        ({"reduction_factor": 1.0}, "--reduction-factor"),
        ({"name": "with space"}, "--name"),
        ({"name": "a" * 64}, "--name"),
        ({"name": "../up"}, "--name"),
        ({"name": ""}, "--name"),
        ({"checkpoints": Path("/shared")}, "--checkpoints is for --cluster"),
        ({"cluster": ""}, "--cluster"),
        ({"insecure": True}, "--insecure"),
    ],
)
def test_a_bad_member_is_refused_by_its_option(job, change, message):
    with pytest.raises(ValueError, match=r"--|script") as caught:
        replace(job, **change)
    assert message in str(caught.value)


def test_only_what_was_given_is_passed_on(job):
    basic = {"metric": "val_loss", "time_attr": "epoch", "max_t": 27, "do_minimize": True}
    assert job.scheduler_call() == ("HyperSched", basic)
    assert job.backend_call() == ("ElasticLocalBackend", {})
    other = replace(job, scheduler="asha", searcher="kde", seed=3, grace_period=2.0, num_devices=2, device_type="cpu")
    assert other.scheduler_call() == (
        "ASHA",
        basic | {"type": "stopping", "searcher": "kde", "grace_period": 2.0, "random_seed": 3},
    )
    assert other.backend_call() == ("ElasticLocalBackend", {"num_devices": 2, "device_type": "cpu"})
    far = replace(job, cluster="10.0.0.1:6379", devices_of="slot", num_devices=4, checkpoints=Path("/shared"))
    assert far.backend_call() == (
        "ElasticRayBackend",
        {"num_devices": 4, "address": "10.0.0.1:6379", "devices_of": "slot", "checkpoint_path": "/shared"},
    )
    assert replace(job, cluster="auto").backend_call() == ("ElasticRayBackend", {})


def test_a_name_is_derived_from_the_script(job):
    assert job.base_name == "training-script"
    assert replace(job, name="mine").base_name == "mine"
    assert replace(job, name="mine").tuner_arguments()["suffix_tuner_name"] is False
