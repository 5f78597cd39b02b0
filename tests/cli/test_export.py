from __future__ import annotations

import sys

import pytest

from syne_hypersched.cli import main


def test_tables_by_name_and_by_path(make_run, tmp_path, capsys):
    path = make_run("digits")
    for name, folder in (("digits", tmp_path / "one"), (str(path), tmp_path / "two")):
        assert main(["export", name, "--csv", str(folder)]) == 0
        assert str(folder / "trials.csv") in capsys.readouterr().out
    assert (tmp_path / "one" / "trials.csv").read_text() == (tmp_path / "two" / "trials.csv").read_text()


def test_something_must_be_wanted(make_run, capsys):
    make_run("digits")
    assert main(["export", "digits"]) == 2
    assert "--csv FOLDER" in capsys.readouterr().err


def test_what_cannot_be_exported_is_an_error(make_run, tmp_path, capsys, monkeypatch):
    make_run("digits")
    assert main(["export", "missing", "--csv", str(tmp_path)]) == 2
    (tmp_path / "file").write_text("")
    assert main(["export", "digits", "--csv", str(tmp_path / "file")]) == 2
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["export", "digits", "--optuna", "sqlite:///x.db"]) == 2
    assert 'pip install "syne-hypersched[export]"' in capsys.readouterr().err


@pytest.mark.parametrize("storage", ["nonsense://x", ""])
def test_a_storage_that_is_none_is_an_error(make_run, storage, capsys):
    pytest.importorskip("optuna")
    make_run("digits")
    assert main(["export", "digits", "--optuna", storage]) == 2
    assert "cannot export digits" in capsys.readouterr().err
