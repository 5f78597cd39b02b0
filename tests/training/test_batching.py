"""Batch sizes on the available devices, and their entries in reports."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.contract import (  # noqa: E402
    ACCUMULATION_STEPS,
    BATCH_SIZE,
    EFFICIENCY,
    MAX_BATCH_SIZE,
    MIN_BATCH_SIZE,
    NOISE_SCALE,
    STEP_TIME_S,
    THROUGHPUT,
)
from syne_hypersched.training._batching import Batching, StepPlan  # noqa: E402


def test_a_fixed_batch_is_just_what_was_asked_for():
    assert Batching("fixed", 64, 3).next_plan(None) == StepPlan(64, 1)
    assert Batching("fixed", 64, 3, max_local_batch_size=8).next_plan(None) == StepPlan(64, 3)
    assert Batching("fixed", 64, 1, max_local_batch_size=64).next_plan(None) == StepPlan(64, 1)
    assert Batching("fixed", 64, 2, virtual_devices=8).next_plan(None) == StepPlan(64, 4)
    assert not Batching("fixed", 64, 2).needs_noise_scale
    assert Batching("fixed", 64, 2).learning_rate_factor(10.0) == 1.0


def test_goodput_plans_anew_when_the_devices_change_in_an_epoch():
    batching = Batching("goodput", 32, 1, max_batch_size=1024)
    for num_devices, step_time_s in ((1, 0.2), (2, 0.2)):
        batching.resize(num_devices)
        for _ in range(5):
            batching.adopt(batching.next_plan(1e9))
            batching.record(step_time_s)
    grown = batching.next_plan(1e9)
    assert grown.batch_size > 32
    batching.resize(3)
    assert batching.plan.batch_size % 3 == 0
    assert STEP_TIME_S not in batching.measurements(1e9), "step times on other devices do not count"
    assert batching.next_plan(1e9).batch_size % 3 == 0


@pytest.mark.parametrize(
    "rule, factor",
    # AdaScale's gain with a noise scale of 64: (64 / 32 + 1) / (64 / 128 + 1).
    [("linear", 4.0), ("square_root", 2.0), ("adascale", 2.0)],
)
def test_weak_scaling_grows_with_the_devices_and_the_learning_rate_follows(rule, factor):
    batching = Batching("weak", 32, 4, learning_rate_rule=rule)
    assert batching.next_plan(None) == StepPlan(128, 1)
    assert batching.learning_rate_factor(64.0) == pytest.approx(factor)
    assert batching.needs_noise_scale == (rule == "adascale")


def test_goodput_chooses_a_larger_batch_where_that_pays():
    batching = Batching("goodput", 32, 2, max_batch_size=1024)
    assert batching.next_plan(None) == StepPlan(32, 1)
    for _ in range(20):
        batching.record(0.1)  # most of it does not depend on the batch, as far as is known
    grown = batching.next_plan(noise_scale=5000.0)
    assert 32 < grown.batch_size <= 1024
    again = Batching("goodput", 32, 2, max_batch_size=1024)
    again.load_state_dict(batching.state_dict())
    assert again.next_plan(5000.0) == batching.next_plan(5000.0)


def test_reports_say_what_was_measured_since_the_last():
    batching = Batching("goodput", 32, 2, max_batch_size=64, max_local_batch_size=8)
    for step_time_s in (0.1, 0.2, 0.6):
        batching.record(step_time_s)
    assert batching.measurements(32.0) == {
        BATCH_SIZE: 32,
        ACCUMULATION_STEPS: 1,
        STEP_TIME_S: 0.2,
        THROUGHPUT: 160.0,
        MIN_BATCH_SIZE: 32,
        MAX_BATCH_SIZE: 64,
        NOISE_SCALE: 32.0,
        EFFICIENCY: 1.0,
    }
    assert set(batching.measurements(float("inf"))) == {BATCH_SIZE, ACCUMULATION_STEPS, MIN_BATCH_SIZE, MAX_BATCH_SIZE}
    assert set(Batching("fixed", 32, 2).measurements(None)) == {BATCH_SIZE, ACCUMULATION_STEPS}


def test_step_times_of_another_plan_are_not_mixed():
    batching = Batching("weak", 32, 2)
    batching.record(0.5)
    batching.adopt(StepPlan(128, 1))
    assert STEP_TIME_S not in batching.measurements(None)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("large", 32, 1), 'batch_mode must be "fixed", "weak" or "goodput", but got'),
        (("fixed", 0, 1), "batch_size must be at least 1, but got 0"),
        (("fixed", 32, 1, None, 0), "max_local_batch_size must be at least 1, but got 0"),
        (("fixed", 32, 1, None, None, "cubic"), "learning_rate_rule must be .* but got 'cubic'"),
        (("fixed", 32, 1, 64), "max_batch_size must be given if and only if batch_mode is 'goodput', but got 64"),
        (("goodput", 32, 1), "max_batch_size must be given if and only if batch_mode is 'goodput', but got None"),
        (("goodput", 32, 1, 16), "max_batch_size must be at least batch_size = 32, but got 16"),
        (("weak", 32, 1, None, None, "linear", 4), "batch_mode must be 'fixed' where there are virtual devices"),
        (("fixed", 32, 1, None, 4, "linear", 4), "share of one of 4 virtual devices in 32 samples, but got 4"),
    ],
)
def test_errors_name_the_parameter(arguments, message):
    with pytest.raises(ValueError, match=message):
        Batching(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fixed", "32", 1), "batch_size must be an integer, but got '32'"),
        (("fixed", 32, 1.0), r"num_devices must be an integer, but got 1\.0"),
        (("goodput", 32, 1, 64.5), r"max_batch_size must be an integer, but got 64\.5"),
        (("fixed", 32, 1, None, True), "max_local_batch_size must be an integer, but got True"),
        (("fixed", 32, 1, None, None, "linear", "4"), "virtual_devices must be an integer, but got '4'"),
    ],
)
def test_numbers_of_samples_and_devices_are_integers(arguments, message):
    with pytest.raises(TypeError, match=message):
        Batching(*arguments)


def test_a_step_takes_time():
    with pytest.raises(ValueError, match="step_time_s must be a positive number of seconds, but got nan"):
        Batching("fixed", 32, 1).record(float("nan"))
