"""best/ is put in place at once, and what a user has made there stays."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from syne_hypersched.checkpoints._placing import ST_CHECKPOINT, new_folder, put_in_place, set_aside

OLD, NEW = ".best-1-1", ".best-1-2"


def place(folder, text, **options):
    """Makes a folder with a result, and puts it in place."""
    new = new_folder(folder)
    (new / "result.json").write_text(json.dumps({"text": text, ST_CHECKPOINT: None}))
    put_in_place(new, **options)
    return new


def text_of(folder):
    return json.loads((folder / "result.json").read_text())["text"]


@pytest.fixture(params=["links", "no links"])
def experiment(request, tmp_path, monkeypatch):
    """A folder on a file system with symbolic links, and on one without."""
    if request.param == "no links":
        monkeypatch.setattr(Path, "symlink_to", no_link)
    folder = tmp_path / "experiment"
    folder.mkdir()
    return folder


def no_link(path, target, target_is_directory=False):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), target)


def test_each_replaces_the_one_before(experiment):
    for text in ("1", "2", "3"):
        place(experiment, text)
        assert text_of(experiment / "best") == text
    assert len(os.listdir(experiment)) == (2 if (experiment / "best").is_symlink() else 1)


def test_what_was_published_before_can_be_kept(experiment):
    place(experiment, "1")
    place(experiment, "2", is_kept=True)
    assert (text_of(experiment / "best"), text_of(experiment / "best-before")) == ("2", "1")
    place(experiment, "3")
    assert (text_of(experiment / "best"), text_of(experiment / "best-before")) == ("3", "1")


@pytest.mark.parametrize("is_absolute", [True, False])
@pytest.mark.parametrize("name", ["best", "best-before"])
def test_what_a_link_of_a_user_leads_to_stays(experiment, name, is_absolute):
    outside = experiment.parent / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    os.symlink(outside if is_absolute else "../outside", experiment / name)
    place(experiment, "1")
    place(experiment, "2", is_kept=True)
    place(experiment, "3", is_kept=True)
    assert text_of(experiment / "best") == "3"
    assert (outside / "precious").read_text() == "mine"


def test_a_link_into_the_experiment_is_one_of_a_user(experiment):
    (experiment / "0" / "checkpoints").mkdir(parents=True)
    os.symlink("0/checkpoints", experiment / "best")
    place(experiment, "1")
    assert (experiment / "0" / "checkpoints").is_dir()
    assert os.readlink(experiment / "best-before") == "0/checkpoints"


def test_what_another_link_leads_to_stays(tmp_path):
    new = place(tmp_path, "1")
    (tmp_path / "keep").symlink_to(new.name)
    place(tmp_path, "2")
    assert text_of(tmp_path / "keep") == "1"


def test_a_folder_of_a_user_is_set_aside(experiment):
    place(experiment, "1")
    best = experiment / "best"
    if best.is_symlink():
        best.unlink()
    else:
        shutil.rmtree(best)
    best.mkdir()
    (best / "mine").touch()
    place(experiment, "2")
    assert (experiment / "best-before" / "mine").exists()
    assert text_of(best) == "2"


def test_what_a_tuner_that_died_has_left_is_removed(tmp_path):
    made = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], check=True, capture_output=True, text=True
    )
    left = tmp_path / f".best-{int(made.stdout)}-5"
    left.mkdir()
    (left / "half").touch()
    link = tmp_path / f"{left.name}.link"
    link.symlink_to(left.name)
    of_living = tmp_path / f".best-{os.getppid()}-5"
    of_living.mkdir()
    other = tmp_path / ".best-of-mine"
    other.mkdir()
    place(tmp_path, "1")
    place(tmp_path, "2")
    assert not left.exists()
    assert not os.path.lexists(link)
    assert of_living.exists()
    assert other.exists()


def test_what_cannot_be_put_in_place_changes_nothing(experiment, monkeypatch):
    place(experiment, "1")
    before = sorted(os.listdir(experiment))
    new = new_folder(experiment)

    def fail(source, target):
        if Path(target).name == "best" and Path(source).name.startswith(new.name) and ".old" not in str(source):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(source, target)

    rename = os.rename
    monkeypatch.setattr(os, "rename", fail)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        put_in_place(new)
    assert text_of(experiment / "best") == "1"
    shutil.rmtree(new)
    assert sorted(os.listdir(experiment)) == before


@pytest.mark.parametrize("is_link", [True, False])
@pytest.mark.parametrize("was_link", [True, False, None])
def test_what_an_earlier_experiment_has_published_is_set_aside(tmp_path, is_link, was_link):
    def put(name, text, is_link):
        place = tmp_path / (OLD if is_link and text == "old" else NEW if is_link else name)
        place.mkdir()
        (place / "result.json").write_text(text)
        if is_link:
            (tmp_path / name).symlink_to(place.name)

    put("best", "new", is_link)
    if was_link is not None:
        put("best-before", "old", was_link)
    set_aside(tmp_path)
    assert not os.path.lexists(tmp_path / "best")
    assert (tmp_path / "best-before" / "result.json").read_text() == "new"
    assert not (tmp_path / OLD).exists()
    set_aside(tmp_path)  # there is nothing more
    assert (tmp_path / "best-before" / "result.json").read_text() == "new"


def test_a_file_that_a_user_has_put_there_is_set_aside_each_time(tmp_path):
    for text in ("mine", "mine again"):
        (tmp_path / "best").write_text(text)
        set_aside(tmp_path)
        assert (tmp_path / "best-before").read_text() == text
