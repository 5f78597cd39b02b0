from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from syne_hypersched import resume_experiment
from syne_hypersched.experiments import load_run
from syne_hypersched.experiments.report import main as report
from syne_hypersched.experiments.verify import main as verify
from syne_hypersched.records.find import find_run


@pytest.fixture
def named(simulate: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An experiment among those of Syne Tune."""
    path = simulate().rename(tmp_path / "my-run-2")
    monkeypatch.setenv("SYNETUNE_FOLDER", str(path.parent))
    return path


def test_an_experiment_is_found_by_name_and_by_path(
    named: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", str(named.parent))
    for name in (named.name, str(named), named, f"~/{named.name}"):
        assert find_run(name) == named
        assert load_run(name).path == named
    assert report([named.name]) == verify([named.name]) == 0
    assert str(named / "run.png") in capsys.readouterr().out


def test_a_folder_with_the_name_that_is_no_experiment_is_ignored(
    named: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "here" / named.name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert find_run(named.name) == named


def test_where_it_was_looked_for_is_said_and_what_begins_alike(named: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        load_run(named.name[:-1])
    assert f"nor is {named.parent / named.name[:-1]}. There is {named.name}" in str(raised.value)
    with pytest.raises(FileNotFoundError, match=rf"nor is .*/ny-run-2\. There is {named.name}$"):
        load_run("ny-run-2")
    with pytest.raises(FileNotFoundError, match=rf"nor is .*/other\. The latest in {named.parent} is {named.name}$"):
        load_run("other")
    with pytest.raises(FileNotFoundError) as missing:
        load_run(named.parent / "other")
    assert "nor is" not in str(missing.value), "a path is looked for once"
    (named / "metadata.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"nor is .*/other\. There is none in {named.parent}$"):
        load_run("other")
    (named / "journal").mkdir()
    with pytest.raises(FileNotFoundError, match=rf"has a folder 'journal'\. There is {named.name}"):
        resume_experiment(named.name[:-1])


@pytest.mark.parametrize("wrong", [None, 3, b"run"])
def test_what_is_neither_a_name_nor_a_path(wrong: object) -> None:
    with pytest.raises(TypeError, match="path must be the name or the folder of an experiment, but got "):
        load_run(wrong)  # type: ignore[arg-type]


def test_a_tilde_before_a_name_that_no_user_has_belongs_to_the_name(
    named: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named.rename(tmp_path / "~no-such-user")
    assert find_run("~no-such-user") == tmp_path / "~no-such-user"
    assert report(["~no-such-users"]) == 2
