from __future__ import annotations

import json
import shutil

import pytest

from syne_hypersched.comparison.runs import plan
from syne_hypersched.comparison.simulated import simulate_run
from syne_hypersched.comparison.storage import SOURCES, StudyFolder, differing, digest_of, write_whole


def test_a_file_is_replaced_whole(tmp_path):
    path = write_whole(tmp_path / "new" / "file.txt", "first")
    write_whole(path, b"second")
    assert path.read_text() == "second"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_a_folder_belongs_to_one_study(tmp_path, small_study):
    folder = StudyFolder(tmp_path / "results")
    folder.claim(small_study())
    folder.claim(small_study())
    for changes, message in (
        ({"seeds": (0, 1, 2)}, r"seeds was \[0, 1\] and is \[0, 1, 2\]"),
        ({"num_devices": (8,)}, r"scenarios\[0\]\.num_devices was 4 and is 8"),
        ({"reference": "random"}, 'reference was "asha" and is "random"'),
    ):
        with pytest.raises(ValueError, match=message):
            folder.claim(small_study(**changes))
    settings = json.loads((tmp_path / "results" / "settings.json").read_text())
    assert settings["study"]["deadlines"] == ["0.5x", "1x"]
    assert "syne-tune" in settings["versions"]


def test_a_folder_of_another_format_is_left_alone(tmp_path, small_study):
    write_whole(tmp_path / "settings.json", json.dumps({"format": 0, "study": {}}))
    with pytest.raises(ValueError, match="written by another version"):
        StudyFolder(tmp_path).claim(small_study())


def test_an_outcome_is_read_as_it_was_written(tmp_path, small_study):
    study, folder = small_study(), StudyFolder(tmp_path)
    run = plan(study)[0]
    assert folder.load(run) is None
    outcome = simulate_run(study, run, folder.begin(run))
    assert folder.load(run) is None
    folder.finish(run, outcome)
    assert folder.load(run) == outcome


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, small_study):
    folder, run = StudyFolder(tmp_path), plan(small_study())[0]
    (folder.begin(run) / "half.csv").write_text("half")
    assert list(folder.begin(run).iterdir()) == []


def test_every_run_has_a_folder_of_its_own(tmp_path, small_study):
    study = small_study(num_devices=(2, 4), schedulers=("hypersched", "asha", "hypersched:policy=top_job"))
    folders = [StudyFolder(tmp_path).of_run(run) for run in plan(study)]
    assert len(set(folders)) == len(folders)
    assert not any("." in folder.name for folder in folders)


def test_differences_are_found_at_any_depth():
    old, new = {"a": [{"b": 1}], "c": {"d": 2}}, {"a": [{"b": 3}], "c": {"d": 2}, "e": 1}
    assert differing(old, new) == ["a[0].b was 1 and is 3", "e was null and is 1"]


def test_results_of_other_source_code_are_not_mixed_in(tmp_path, small_study):
    StudyFolder(tmp_path).claim(small_study())
    settings_path = tmp_path / "settings.json"
    settings = json.loads(settings_path.read_text())
    assert settings["source"] == digest_of(SOURCES)
    for source in ("0" * 64, None):
        write_whole(settings_path, json.dumps(settings | {"source": source}))
        with pytest.raises(ValueError, match="has results of other source code"):
            StudyFolder(tmp_path).claim(small_study())
        with pytest.raises(ValueError, match="has results of other settings"):
            StudyFolder(tmp_path).claim(small_study(seeds=(7,)))


def test_the_digest_is_of_names_and_contents(tmp_path):
    package, single = tmp_path / "package", tmp_path / "single.py"
    write_whole(package / "a.py", "x = 1")
    write_whole(package / "deeper" / "b.json", "{}")
    write_whole(single, "y = 2")
    sources = {"package": package, "single.py": single}
    before = digest_of(sources)
    assert before == digest_of(sources)

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(package, elsewhere)
    write_whole(elsewhere / "__pycache__" / "a.pyc", b"\0")
    assert digest_of({"package": elsewhere, "single.py": single}) == before

    seen = {before}
    for change in (
        lambda: write_whole(package / "a.py", "x = 2"),
        lambda: write_whole(package / "deeper" / "b.json", "[]"),
        lambda: (package / "a.py").rename(package / "c.py"),
        lambda: (package / "c.py").rename(package / "deeper" / "c.py"),
        lambda: write_whole(package / "empty.py", ""),
        lambda: write_whole(single, "y = 3"),
    ):
        change()
        after = digest_of(sources)
        assert after not in seen
        seen.add(after)


def test_what_is_not_there_has_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError):
        digest_of({"package": tmp_path / "missing"})
