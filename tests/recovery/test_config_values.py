"""A resumed experiment has the configurations that it had, whatever types their values are of."""

from __future__ import annotations

import copy
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import Categorical, choice, loguniform, ordinal, randint, uniform
from syne_tune.optimizer.baselines import RandomSearch

from syne_hypersched import ASHA, ElasticLocalBackend, HyperSched, Journal, ResizeBest
from syne_hypersched.records.segments import as_json
from syne_hypersched.recovery import resume_experiment
from syne_hypersched.recovery._config_values import ConfigValues, check_config_space, config_space_of
from syne_hypersched.recovery._replay import replay
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.recovery._ticks import Ticks
from tests.recovery.test_replay import ElasticLoop, journal

SPACE = {
    "x": uniform(0, 1),
    "number": randint(1, 9),
    "layers": choice([(64,), (64, 32), ()]),
    "table": ordinal([{1: 2}, {3: 4}]),
    "rate": choice([np.float32(0.1), np.float32(0.2)]),
    "flag": choice([True, False]),
    "pair": (1, (2, 3)),
    "folder": Path("/data"),
    "nothing": None,
    "nan": float("nan"),
}


def sampled(space, seed=0):
    state = np.random.RandomState(seed)
    return {
        name: domain.sample(random_state=state) if hasattr(domain, "sample") else domain
        for name, domain in space.items()
    }


@pytest.mark.parametrize("seed", range(8))
def test_a_configuration_comes_back_from_a_journal_as_it_was(seed):
    config = sampled(SPACE, seed)
    back = ConfigValues(SPACE).restored(as_json(config))
    assert repr(back) == repr(config)
    assert [type(value) for value in back.values()] == [type(value) for value in config.values()]


def test_what_the_space_does_not_have_stays_as_it_is():
    values = ConfigValues({"layers": choice([(1, 2), (3, 4)]), "odd": choice([1j, 2j])})
    assert values.restored({"layers": [5, 6], "other": [1, 2]}) == {"layers": [5, 6], "other": [1, 2]}
    assert values.restored(None) is None
    assert ConfigValues().restored({"layers": [1, 2]}) == {"layers": [1, 2]}


@pytest.mark.parametrize("searcher", ["random_search", "joint"])
def test_a_scheduler_is_replayed_that_searches_tuples_and_paths(searcher):
    """The model of ``joint`` knows the categories of the space; others than these would be unknown to it."""
    space = {  # the first line is what the loop expects
        "x": uniform(0, 1), "n": randint(0, 9), "kind": choice(["a", "b"]), "rate": loguniform(1e-4, 1),
        "layers": SPACE["layers"], "table": SPACE["table"], "folder": Path("/data"),
    }  # fmt: skip

    def scheduler():
        return HyperSched(
            space, "loss", "epoch", max_t=27, num_devices=4, deadline_s=100.0, searcher=searcher, random_seed=3
        )

    first, loop = scheduler(), ElasticLoop("loss", "epoch", 4, 27)
    entries, _ = journal(first, loop, 60)
    ticks, progress, again = Ticks(), ReplayState(values=ConfigValues(space)), scheduler()
    ticks.drive(again)
    replay(entries, again, ticks, progress)
    assert {type(trial.config["layers"]) for trial in progress.trials.values()} == {tuple}
    assert {type(trial.config["folder"]) for trial in progress.trials.values()} == {type(Path("/data"))}
    ticks.drive(first)
    assert copy.deepcopy(loop).run(again, 20) == copy.deepcopy(loop).run(first, 20)


@pytest.mark.parametrize(
    "value", [Decimal("0.5"), {1, 2}, b"raw", 1j, len, object, object()], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("is_category", [False, True])
def test_a_value_that_no_journal_keeps_is_refused_by_the_name_of_its_entry(value, is_category):
    space = {"x": uniform(0, 1), "odd": Categorical([value, value]) if is_category else value}
    with pytest.raises(TypeError, match=r"config_space must have numbers.*but 'odd' has .* of type") as caught:
        check_config_space(space)
    assert repr(value) in str(caught.value)


def test_a_text_that_no_file_holds_is_refused():
    with pytest.raises(ValueError, match="UTF-8, but 'name' has"):
        check_config_space({"name": choice(["a", "\udc80"])})
    check_config_space({**SPACE, "name": choice(["\N{GRINNING FACE}", "ü"])})


def test_the_space_of_a_scheduler_is_found():
    assert config_space_of(ASHA(SPACE, "loss", "epoch", max_t=3)) == SPACE
    inner = RandomSearch({"x": uniform(0, 1)}, metrics=["loss"], random_seed=1)
    assert set(config_space_of(inner)) == {"x"}
    assert set(config_space_of(ResizeBest(inner, num_devices=2, time_attr="epoch", max_t=3))) == {"x"}
    assert config_space_of(object()) == {}


SCRIPT = """
import json, os, signal, sys
print(json.dumps(sys.argv[1:-2]), file=sys.stderr, flush=True)
for epoch in range(1, 10):
    print('[tune-metric]: {"epoch": %d, "loss": 0.5}' % epoch, flush=True)
if not os.path.exists(FLAG):
    signal.pause()
"""


class Interrupted(Journal):
    """Ends the tuner, as a signal does, once both trials have reported."""

    def on_trial_result(self, trial, status, result, decision):
        super().on_trial_result(trial, status, result, decision)
        self.reported = {*getattr(self, "reported", ()), trial.trial_id}
        if self.reported == {0, 1}:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("no_process_left")
def test_a_relaunched_script_gets_the_arguments_that_it_had(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    script, flag = tmp_path / "train.py", tmp_path / "flag"
    script.write_text(SCRIPT.replace("FLAG", repr(str(flag))))
    space = {"x": uniform(0, 1), "layers": choice([(64,), (64, 32)]), "folder": Path("/data"), "pair": (1, (2, 3))}

    def tuner(journal):
        backend = ElasticLocalBackend(script, 2, device_type="cpu", grace_s=0.2, preload=(), share_devices=True)
        scheduler = ASHA(space, "loss", "epoch", max_t=99, grace_period=99, random_seed=0)
        return Tuner(
            backend, scheduler, StoppingCriterion(max_num_trials_finished=2), n_workers=2, sleep_time=0.01,
            callbacks=[journal], tuner_name="arguments", suffix_tuner_name=False, save_tuner=False,
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        tuner(Interrupted()).run()
    flag.touch()
    resumed = resume_experiment("arguments", tuner(Journal()))
    for trial_id in (0, 1):
        lines = (resumed.tuner_path / str(trial_id) / "std.err").read_text().splitlines()
        arguments = [line for line in lines if line.startswith("[")]
        assert len(arguments) == 2
        assert len(set(arguments)) == 1
        assert "(64" in arguments[0]
        assert os.fspath(Path("/data")) in arguments[0]
        assert "(1, (2, 3))" in arguments[0]
    assert "(64" in str(resumed.tuning_status.trial_rows[0]["layers"])
