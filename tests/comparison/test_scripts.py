from __future__ import annotations

import sys

import pytest

from syne_hypersched.comparison import scripts
from syne_hypersched.comparison.scripts import Option, TrainingScript, find_script, script_names


def test_every_script_is_there_and_has_a_problem():
    for name in script_names():
        script = find_script(name)
        assert script.path.is_file()
        problem = script.problem(())
        assert problem.config_space[script.max_t_argument] == problem.max_t == script.max_t
        assert script.problem((), max_t=3).config_space[script.max_t_argument] == 3


def test_without_a_repository_there_are_no_scripts(monkeypatch):
    monkeypatch.setattr(scripts, "repository", lambda: None)
    assert script_names() == {}
    with pytest.raises(FileNotFoundError, match=r"examples/training_scripts/digits_cnn\.py in the repository"):
        find_script("digits-cnn")
    with pytest.raises(ValueError, match="did you mean 'digits-cnn'"):
        find_script("digit-cnn")


def test_an_unknown_script_is_named_with_the_nearest_one():
    with pytest.raises(ValueError, match="did you mean 'digits-cnn'"):
        find_script("digit-cnn")


def test_options_reach_the_script(tmp_path):
    options = (
        Option("model", "model", "a model", default="small", choices=("small", "large")),
        Option("width", "net_width", "an integer", convert=int),
    )
    script = TrainingScript("s", "", tmp_path / "s.py", {}, "loss", True, 5, options=options)
    assert script.problem(()).config_space == {"epochs": 5, "model": "small"}
    problem = script.problem((("model", "large"), ("width", "3")))
    assert problem.config_space == {"epochs": 5, "model": "large", "net_width": 3}
    for given, message in (
        (("modle", "small"), "did you mean 'model'"),
        (("model", "larg"), "did you mean 'large'"),
        (("width", "wide"), "must be an integer, but got 'wide'"),
    ):
        with pytest.raises(ValueError, match=message):
            script.problem((given,))


def test_the_script_of_the_table_has_the_search_space_of_the_table(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))  # the program puts the folder of the scripts there
    from benchmarking.studies.measure_digits import SPACE, VAL_SHARE

    space = find_script("digits-cnn-table").config_space
    for name, domain in SPACE.items():
        if isinstance(domain, list):
            assert space[name].categories == domain
        else:
            assert (space[name].lower, space[name].upper) == domain[:2]
            assert (space[name].value_type, type(space[name].get_sampler()).__name__) == (
                float,
                "_LogUniform" if domain[2] else "_Uniform",
            )
    assert space["val_share"] == VAL_SHARE
