"""The options of HyperSched's strategies, and the spelling of version 0.1.0."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import FrozenInstanceError, fields

import dill
import numpy as np
import pytest

from syne_hypersched import Adaptive, HyperSched, LaunchCost, PublishedRules, simulate
from syne_hypersched.schedulers.hypersched._options import FORMER_POSITIONAL, MOVED
from tests.schedulers.families import SPACE, Curves
from tests.schedulers.hypersched.test_adaptive import TABLE

ARGUMENTS = (SPACE, "loss", "epoch", 27, 4, 60.0)


def make(**arguments) -> HyperSched:
    return HyperSched(*ARGUMENTS, **{"random_seed": 0, **arguments})


@pytest.mark.parametrize(
    ("name", "options"), [("adaptive", Adaptive()), ("published", PublishedRules())], ids=["adaptive", "published"]
)
def test_a_name_is_a_shorthand_for_the_default_options(name, options):
    named, given = make(strategy=name), make(strategy=options)
    assert named.options == given.options == options
    assert named.strategy == given.strategy == name
    assert named.metadata() == given.metadata()
    assert named.metadata()["scheduler_kwargs"]["strategy"] == name
    for scheduler in (named, given):
        simulate(scheduler, Curves(range(1, 28)), num_devices=4, deadline_s=60.0)
    assert named.decisions == given.decisions


def test_the_metadata_has_options_that_are_no_defaults():
    scheduler = make(strategy=PublishedRules(allocation_grid=np.int64(2), fixed_exploration=np.float32(0.5)))
    metadata = json.loads(json.dumps(scheduler.metadata()))["scheduler_kwargs"]["strategy"]
    assert metadata == {
        "name": "published", "allocation_grid": 2, "recharge_period": 5, "use_pausing": True, "speculation": True,
        "job_limit": True, "ignore_overhead": False, "fixed_exploration": 0.5,
    }  # fmt: skip
    assert HyperSched(*ARGUMENTS, strategy=PublishedRules(**{k: v for k, v in metadata.items() if k != "name"}))


def test_options_are_kept_by_dill_and_cannot_be_changed():
    options = PublishedRules(speculation=False)
    assert dill.loads(dill.dumps(make(strategy=options))).options == options
    with pytest.raises(FrozenInstanceError):
        options.speculation = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (lambda: Adaptive(max_devices=0), ValueError, "max_devices must be at least 1, but got 0"),
        (lambda: Adaptive(max_devices=2.5), TypeError, "max_devices must be an integer, but got 2.5"),  # type: ignore[arg-type]
        (lambda: Adaptive(longest_stretch=0), ValueError, "longest_stretch must be a share of the deadline, above 0"),
        (lambda: Adaptive(longest_stretch=1.1), ValueError, "longest_stretch must be a share of the deadline"),
        (lambda: Adaptive(longest_stretch="half"), TypeError, "longest_stretch must be a share"),  # type: ignore[arg-type]
        (lambda: PublishedRules(allocation_grid=0), ValueError, "allocation_grid must be at least 1, but got 0"),
        (lambda: PublishedRules(recharge_period=-1), ValueError, "recharge_period must be at least 0, but got -1"),
        (lambda: PublishedRules(use_pausing=1), TypeError, "use_pausing must be True or False, but got 1"),  # type: ignore[arg-type]
        (lambda: PublishedRules(fixed_exploration=math.nan), ValueError, "fixed_exploration must be a share of the"),
        (lambda: PublishedRules(fixed_exploration=True), TypeError, "fixed_exploration must be a share of the"),
        (
            lambda: PublishedRules(fixed_exploration=0.5, job_limit=False),
            ValueError,
            "fixed_exploration must be None with job_limit=False, but got 0.5",
        ),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        options()


@pytest.mark.parametrize("strategy", [None, 3, PublishedRules])
def test_a_strategy_is_a_name_or_options(strategy):
    with pytest.raises(TypeError, match=r"strategy must be one of 'adaptive' or Adaptive\(\.\.\.\), 'published' or"):
        make(strategy=strategy)


def run_on_table(strategy, num_devices=16, deadline_s=60.0):
    scheduler = HyperSched(
        TABLE.configuration_space, "accuracy", "epoch", 27, num_devices, deadline_s, do_minimize=False,
        scaling={1: 1, 16: 14}, random_seed=0, strategy=strategy, searcher="random_search",
    )  # fmt: skip
    simulation = simulate(
        scheduler, TABLE, num_devices=num_devices, deadline_s=deadline_s, scaling={1: 1, 16: 14},
        launch_cost=LaunchCost(start_s=0.1),
    )  # fmt: skip
    (close_s,) = [decision.time_s for decision in scheduler.decisions if decision.what == "close"]
    return simulation.results.st_num_devices.max(), close_s


def test_the_largest_trial_and_the_longest_stretch_are_options_of_the_adaptive_strategy():
    assert run_on_table("adaptive")[0] == 8
    assert run_on_table(Adaptive(max_devices=16))[0] == 16
    assert run_on_table(Adaptive(max_devices=4))[0] == 4
    # Short deadlines make the share the bound.
    starts = {share: run_on_table(Adaptive(longest_stretch=share), deadline_s=8.0)[1] for share in (0.25, 0.5)}
    assert 4.0 <= starts[0.5] < 6.0 <= starts[0.25]


def same_decisions(old: HyperSched, new: HyperSched) -> bool:
    for scheduler in (old, new):
        simulate(scheduler, Curves(range(1, 28)), num_devices=4, deadline_s=60.0)
    return old.metadata() == new.metadata() and old.decisions == new.decisions


@pytest.mark.parametrize("name", [option.name for option in fields(PublishedRules)])
def test_former_arguments_still_work_and_their_warning_names_the_new_spelling(name):
    value = {"allocation_grid": 2, "recharge_period": 1, "fixed_exploration": 0.4, "ignore_overhead": True}.get(
        name, False
    )
    with pytest.warns(
        DeprecationWarning, match=rf"{name}= of HyperSched is deprecated .*PublishedRules\({name}="
    ) as caught:
        old = make(strategy="published", **{name: value})
    assert caught[0].filename == __file__
    assert old.options == PublishedRules(**{name: value})
    assert same_decisions(old, make(strategy=PublishedRules(**{name: value})))
    with pytest.warns(DeprecationWarning, match=rf"HyperSched\.{name} is deprecated .*HyperSched\.options\.{name}"):
        assert getattr(old, name) == value


def test_assume_linear_is_a_scaling():
    with pytest.warns(DeprecationWarning, match='assume_linear= of HyperSched .* use scaling="linear" instead'):
        old = make(strategy="published", assume_linear=True)
    assert same_decisions(old, make(strategy="published", scaling="linear"))
    with (
        pytest.warns(DeprecationWarning, match="assume_linear= of"),
        pytest.raises(ValueError, match="scaling must be"),
    ):
        make(assume_linear=True, scaling={1: 1})
    with pytest.warns(DeprecationWarning, match="assume_linear"):
        assert make(assume_linear=False).scaling is None
    for scaling, is_linear in ((None, False), ({1: 1, 8: 8}, True), ({1: 1, 8: 5.6}, False)):
        with pytest.warns(DeprecationWarning, match=r"HyperSched\.assume_linear is deprecated"):
            assert make(scaling=scaling).assume_linear is is_linear


def test_positional_arguments_after_the_deadline_still_work():
    with pytest.warns(
        DeprecationWarning, match=r"with more than 6 positional .* use do_minimize=\.\.\., scaling=\.\.\."
    ):
        old = HyperSched(*ARGUMENTS, False, {1: 1, 8: 5}, random_seed=0)  # type: ignore[misc]
    assert same_decisions(old, make(do_minimize=False, scaling={1: 1, 8: 5}))
    values = {
        "do_minimize": True, "scaling": {1: 1, 4: 3}, "clock": None, "policy": "top_job", "allocation_grid": 2,
        "recharge_period": 2, "use_pausing": True, "grace_period": 2, "reduction_factor": 3, "speculation": False,
        "job_limit": True, "ignore_overhead": True, "assume_linear": False, "fixed_exploration": None,
        "strategy": "published", "max_paused": 9, "searcher": "random_search", "searcher_kwargs": None,
        "points_to_evaluate": None, "random_seed": 7,
    }  # fmt: skip
    assert tuple(values) == FORMER_POSITIONAL
    with pytest.warns(DeprecationWarning, match="HyperSched"):
        old = HyperSched(*ARGUMENTS, *values.values())  # type: ignore[misc]
    rules = PublishedRules(**{option.name: values.pop(option.name) for option in fields(PublishedRules)})
    del values["assume_linear"]
    assert same_decisions(old, HyperSched(*ARGUMENTS, **(values | {"strategy": rules})))


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({}, r"must be left out with strategy='adaptive', or be given as strategy=PublishedRules\(recharge_period=3\)"),
        ({"strategy": "adaptive"}, "must be left out with strategy='adaptive', .*, but got 3"),
        ({"strategy": Adaptive()}, r"must be left out with strategy=Adaptive\(.*\), or be given as .*, but got 3"),
        ({"strategy": PublishedRules()}, r"must be .* give it as strategy=PublishedRules\(recharge_period=3\), beside"),
    ],
)
def test_former_arguments_are_for_the_published_rules_by_name(strategy, message):
    message = f"recharge_period {message}"
    with pytest.warns(DeprecationWarning, match="recharge_period"), pytest.raises(ValueError, match=message):
        make(recharge_period=3, **strategy)


def test_the_warning_of_positional_arguments_names_spellings_that_last():
    with pytest.warns(DeprecationWarning, match="positional arguments") as caught:
        HyperSched(*ARGUMENTS, True, None, None, "uniform", 4, 3, strategy="published")  # type: ignore[misc]
    (message,) = [str(warning.message) for warning in caught]
    assert message.endswith(
        "use do_minimize=..., scaling=..., clock=..., policy=..., "
        "strategy=PublishedRules(allocation_grid=..., recharge_period=...) instead"
    )


@pytest.mark.parametrize("name", MOVED)
@pytest.mark.parametrize("strategy", ["adaptive", "published"])
def test_what_was_an_attribute_cannot_be_set(name, strategy):
    scheduler = make(strategy=strategy)
    before = scheduler.options
    place = "scaling=" if name == "assume_linear" else rf"strategy=PublishedRules\({name}="
    with pytest.raises(AttributeError, match=rf"{name} of a HyperSched must be given when .* as {place}"):
        setattr(scheduler, name, True)
    assert scheduler.options == before


def test_a_default_of_the_published_rules_was_let_pass_by_the_adaptive_strategy():
    with pytest.warns(DeprecationWarning, match="speculation= of"):
        scheduler = make(speculation=True)
    assert scheduler.options == Adaptive()
    with pytest.warns(DeprecationWarning, match=r"HyperSched\.use_pausing"):
        assert scheduler.use_pausing is True


def test_the_present_spelling_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler = HyperSched(
            *ARGUMENTS, do_minimize=False, scaling="resnet50", strategy=PublishedRules(speculation=False)
        )
        dill.loads(dill.dumps(scheduler)).metadata()
    assert not set(MOVED) & set(vars(scheduler))
    with pytest.raises(AttributeError, match="'HyperSched' object has no attribute 'speculate'"):
        _ = scheduler.speculate
