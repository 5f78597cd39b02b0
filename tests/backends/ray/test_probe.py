"""Whether nodes see what trials need."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.ray._probe import Probe, answer


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text("print()")
    return path


def asked(probe, **answers):
    """A probe that nodes have answered, each after its order was changed as if it had another disk."""
    for node, change in answers.items():
        assert probe.hear(node, {"probe": probe.order["probe"], **answer({**probe.order, **change})})
    return probe


def test_a_folder_that_is_shared(tmp_path, script):
    probe = asked(Probe(tmp_path / "shared", script), a={}, b={})
    assert probe.problems(["a", "b"]) == probe.not_sharing(["a", "b"]) == {}


def test_a_folder_that_is_not_there_or_another_one(tmp_path, script):
    probe = Probe(tmp_path / "shared", script)
    (tmp_path / "shared" / "x").mkdir()
    (tmp_path / "shared" / "x" / "token").write_text("another")
    asked(probe, a={}, b={"folder": "/nowhere/x"}, c={"folder": str(tmp_path / "shared" / "x")})
    assert "b" in probe.not_sharing(["a", "b"])
    assert "not there or not writable" in probe.problems(["a", "b"])["b"]
    assert "another folder" in probe.not_sharing(["c"])["c"]


def test_a_script_that_is_missing_or_another_one_is_no_matter_of_sharing(tmp_path, script):
    probe = asked(Probe(tmp_path / "shared", script), a={"script": "/nowhere.py"}, b={"sha256": "0"})
    assert probe.not_sharing(["a", "b"]) == {}
    problems = probe.problems(["a", "b", "silent"])
    assert "it has no /nowhere.py" in problems["a"]
    assert "is another one than the tuner's" in problems["b"]
    assert problems["silent"] == "it does not answer"
    assert not probe.is_answered("silent")


def test_nothing_is_left_in_the_folder(tmp_path, script):
    probe = asked(Probe(tmp_path / "shared", script), a={})
    assert probe.not_sharing(["a"]) == {}
    assert list((tmp_path / "shared").glob(".probe-*/answer-*"))
    del probe
    assert list((tmp_path / "shared").iterdir()) == []


def test_the_script_alone(script):
    probe = asked(Probe(None, script), a={})
    assert probe.problems(["a"]) == {}


def test_an_answer_to_another_probe(script):
    assert not Probe(None, script).hear("a", {"probe": "another"})
