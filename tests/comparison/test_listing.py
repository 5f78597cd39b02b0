from __future__ import annotations

from syne_hypersched.comparison import scripts
from syne_hypersched.comparison.benchmarks import benchmark_names
from syne_hypersched.comparison.listing import describe_names
from syne_hypersched.comparison.presets import PRESETS
from syne_hypersched.comparison.schedulers import scheduler_names, searcher_names


def test_every_name_is_listed():
    text = describe_names()
    for name in (*scheduler_names(), *searcher_names(), *benchmark_names(), *scripts.script_names(), *PRESETS):
        assert name in text
    assert "with +noise at the end of a name" in text
    assert "scaling: linear, none, measured, resnet18" in text


def test_without_a_repository_it_is_said_where_the_scripts_are(monkeypatch):
    monkeypatch.setattr(scripts, "repository", lambda: None)
    assert "\ntraining scripts\n  none: they are in the repository of syne-hypersched" in describe_names()
