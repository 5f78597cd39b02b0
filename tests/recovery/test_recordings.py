"""Journals recorded by this and earlier versions, which every later version must be able to continue."""

from __future__ import annotations

import json
import shutil

import pytest

from syne_hypersched import resume_experiment
from tests.recovery.recordings import DATA, NAMES, VALUES, make_tuner, recorded

pytestmark = pytest.mark.usefixtures("no_process_left")

#: Recordings whose decisions a later version has changed, as ``VERSION/NAME``: it must refuse them and say why.
REFUSED: frozenset[str] = frozenset()


def name_of(folder):
    return f"{folder.parent.name}/{folder.name}"


@pytest.fixture
def resume(tmp_path, monkeypatch):
    """Resumes a copy of a recorded experiment, after a change of its journal."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))

    def run(folder, change=lambda lines: None, **options):
        path = tmp_path / folder.name
        (path / "journal").mkdir(parents=True)
        shutil.copy(folder / "000000.jsonl", path / "journal")
        journal = path / "journal" / "000000.jsonl"
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        change(lines)
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
        tuner = resume_experiment(path, make_tuner(folder.name, tmp_path), **options)
        return tuner, lines

    return run


def test_every_family_is_recorded():
    assert {folder.name for folder in recorded()} == set(NAMES)
    assert {name_of(folder) for folder in recorded()} >= REFUSED
    assert sum(folder.stat().st_size for folder in DATA.glob("*/*/*")) < 1_000_000


@pytest.mark.parametrize("folder", [folder for folder in recorded() if name_of(folder) not in REFUSED], ids=name_of)
def test_a_recorded_experiment_is_gone_on_with(resume, folder):
    """Its time is over, so that it ends at once; its scheduler has decided as it did then."""
    tuner, lines = resume(folder)
    results = [line for line in lines if line.get("call") == "result"]
    stored = tuner.callbacks[0].dataframe()
    assert list(stored.loss[: len(results)]) == [line["report"]["loss"] for line in results]
    assert list(stored.st_decision[: len(results)]) == [line["decision"] for line in results]


@pytest.mark.parametrize("folder", [folder for folder in recorded() if folder.name.endswith("exhausted")], ids=name_of)
def test_an_exhausted_experiment_has_a_failure_and_completions_and_asks_for_no_more(resume, folder):
    tuner, lines = resume(folder)
    calls = [line.get("call") for line in lines]
    assert [line["what"] for line in lines if line.get("call") == "suggest"][-1] == "nothing"
    assert calls.count("error") == 1
    assert calls.count("complete") >= 1
    assert tuner.tuning_status.num_trials_started == len(VALUES)
    assert tuner.tuning_status.num_trials_failed == 1


@pytest.mark.parametrize("folder", [folder for folder in recorded() if name_of(folder) in REFUSED])
def test_a_recorded_experiment_whose_decisions_have_changed_is_refused(resume, folder):
    with pytest.raises(ValueError, match=f"Version {folder.parent.name} of syne_hypersched has written this journal"):
        resume(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_decision_that_differs_is_refused_with_the_version_that_made_it(resume, name):
    def change(lines):
        lines[0]["version"] = "0.0.1"
        result = next(line for line in lines if line.get("decision") == "CONTINUE")
        result["decision"] = "STOP"

    folder = next(folder for folder in recorded() if folder.name == name)
    with pytest.raises(ValueError, match=r"the journal has \('STOP'.*Version 0\.0\.1 of syne_hypersched has written"):
        resume(folder, change)


def test_another_format_is_refused_with_what_to_do(resume):
    with pytest.raises(ValueError, match="resume it with the version of this package that wrote it"):
        resume(recorded()[0], lambda lines: lines[0].update(format=0))
