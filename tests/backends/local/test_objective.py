"""What a tuner notes of its scheduler, for a backend that the scheduler tells nothing."""

from __future__ import annotations

import json
from functools import partial

import pytest
from syne_tune.config_space import uniform
from syne_tune.optimizer import baselines

from syne_hypersched import ASHA
from syne_hypersched.backends.local import _objective
from syne_hypersched.backends.local._objective import ObjectiveNote, objective_of

SPACE = {"x": uniform(0, 1)}


def note(folder, metadata):
    (folder / "metadata.json").write_text(json.dumps(metadata, default=str))
    return folder


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (partial(baselines.RandomSearch, metrics=["loss"]), ("loss", True, None)),
        (partial(baselines.TPE, metric="accuracy", do_minimize=False), ("accuracy", False, None)),
        (partial(baselines.ASHA, metric="loss", time_attr="step", max_t=9), ("loss", True, "step")),
        (partial(ASHA, metric="accuracy", time_attr="epoch", max_t=9, do_minimize=False), ("accuracy", False, "epoch")),
    ],
    ids=["RandomSearch", "TPE", "Syne Tune's ASHA", "ASHA"],
)
def test_what_schedulers_say_of_themselves(tmp_path, scheduler, expected):
    assert objective_of(note(tmp_path, scheduler(SPACE).metadata())) == expected


@pytest.mark.parametrize(
    "metadata",
    [
        {"metric_names": ["loss", "latency"], "metric_mode": ["min", "min"]},  # no report is the best of them
        {"metric_names": [], "metric_mode": "min"},
        {"metric_names": ["loss"], "metric_mode": "least"},
        {"metric_names": ["loss"]},
        {},
        [],
    ],
)
def test_what_is_not_known(tmp_path, metadata):
    assert objective_of(note(tmp_path, metadata)) is None


def test_without_a_tuner_nothing_is_noted(tmp_path):
    assert objective_of(tmp_path) is None
    (tmp_path / "metadata.json").write_text('{"metric_names": ["lo')
    assert objective_of(tmp_path) is None


def test_a_note_is_read_when_it_is_there_and_again_when_it_is_another_one(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(_objective, "objective_of", lambda experiment: read.append(experiment) or len(read))
    noted = ObjectiveNote()
    assert noted.look(tmp_path) is None
    assert read == []
    note(tmp_path, {"metric_names": ["loss"]})
    assert [noted.look(tmp_path), noted.look(tmp_path)] == [1, 1]
    note(tmp_path, {"metric_names": ["accuracy"]})
    assert noted.look(tmp_path) == 2
