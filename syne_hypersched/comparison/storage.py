"""The folder of a study: writes its files atomically, and checks whether a folder belongs to a study."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from syne_hypersched.comparison.names import folder_name
from syne_hypersched.comparison.runs import RunOutcome, StudyRun
from syne_hypersched.comparison.settings import Study

FORMAT = 1
"""Number of the format; increased when finished runs of an older version can no longer be read."""

RESULTS_FILENAME = "results.csv"
"""A row for each run and deadline."""

MEANS_FILENAME = "comparison.csv"
"""Means of the results over the seeds."""

MEANS_TEXT_FILENAME = "comparison.txt"
"""The same as text."""

SUMMARY_FILENAME = "summary.csv"
"""Summary of the trials of each run."""

SUMMARY_TEXT_FILENAME = "summary.txt"
"""The same as text."""

_SETTINGS = "settings.json"
_OUTCOME = "outcome.json"

SOURCES: Mapping[str, Path] = MappingProxyType(
    {
        "syne_hypersched": Path(__file__).resolve().parents[1],
    }
)
"""Folders and files, by name, whose content determines the results of a run with given settings."""


@functools.cache
def source_digest() -> str:
    """Digest of this project's source at the first call. Runs with the same digest can be compared."""
    return digest_of(SOURCES)


def digest_of(sources: Mapping[str, Path]) -> str:
    """SHA-256 of files, and of all files in folders: of their names and contents, not of their location.

    Parameters
    ----------
    sources
        Files and folders, each with a name that replaces its location. Compiled Python files are ignored.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    """
    digest = hashlib.sha256()
    for name, source in sorted(sources.items()):
        files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        for path in files:
            if "__pycache__" in path.parts:
                continue
            content = path.read_bytes()
            digest.update(f"{name}/{path.relative_to(source).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def write_whole(path: Path, content: str | bytes) -> Path:
    """Writes a file aside and renames it. A reader finds either the whole old file or the whole new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    os.replace(aside, path)
    return path


@dataclass(frozen=True)
class StudyFolder:
    """The folder of a study."""

    path: Path

    def claim(self, study: Study) -> None:
        """Uses the folder for a study, or continues in it if it already belongs to that study.

        Raises
        ------
        ValueError
            The folder contains results of other settings, of other source code, or of a version whose results cannot
            be read; the message names the difference.
        """
        objection = self.objection(study)
        if objection is not None:
            reason, advice = objection
            raise ValueError(f"{self.path} {reason}: {advice}")
        if not self._settings_path.exists():
            settings = {
                "format": FORMAT,
                "study": _as_stored(study),
                "source": source_digest(),
                "versions": _versions(),
            }
            write_whole(self._settings_path, json.dumps(settings, indent=2) + "\n")

    def objection(self, study: Study) -> tuple[str, str] | None:
        """The reason why a study cannot store its results here.

        Returns
        -------
        tuple of str, or None
            The other content of the folder, and what to do about it; None: the study can use the folder.
        """
        if not self._settings_path.exists():
            return None
        stored = json.loads(self._settings_path.read_text(encoding="utf-8"))
        if stored.get("format") != FORMAT:
            return "was written by another version of this program", "choose another --output"
        if stored["study"] != _as_stored(study):
            differences = "; ".join(differing(stored["study"], _as_stored(study)))
            return (
                f"has results of other settings ({differences})",
                "choose another --output, or give the same settings to continue the study",
            )
        if stored.get("source") != source_digest():
            return (
                "has results of other source code, which must not be mixed with results of the present code",
                "choose another --output, or remove the folder to run everything again",
            )
        return None

    @property
    def _settings_path(self) -> Path:
        return self.path / _SETTINGS

    def of_run(self, run: StudyRun) -> Path:
        """The folder of a run."""
        return self.path / "runs" / run.scenario.folder / run.name

    def load(self, run: StudyRun) -> RunOutcome | None:
        """The outcome of a run; None if it has not finished."""
        try:
            text = (self.of_run(run) / _OUTCOME).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return RunOutcome.from_json(json.loads(text))

    def begin(self, run: StudyRun) -> Path:
        """An empty folder for a run; files of an interrupted run are removed."""
        path = self.of_run(run)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def finish(self, run: StudyRun, outcome: RunOutcome) -> None:
        """Stores the outcome of a run, which marks it as finished."""
        write_whole(self.of_run(run) / _OUTCOME, json.dumps(outcome.as_json()) + "\n")


def default_output(study: Study) -> Path:
    """The default folder for these settings. The same settings always give the same folder."""
    digest = hashlib.sha256(json.dumps(study.as_json(), sort_keys=True).encode()).hexdigest()[:8]
    name = "-".join(dict.fromkeys(folder_name(scenario.benchmark) for scenario in study.scenarios))
    return Path("comparison-results") / f"{study.preset}-{name}-{digest}"


def usable_output(study: Study, folder: Path) -> tuple[Path, str | None]:
    """The folder; or the first free folder with a number, if results must not be added to the folder.

    Returns
    -------
    tuple
        The folder, and the reason if it is not the given one (otherwise None).
    """
    objection = StudyFolder(folder).objection(study)
    if objection is None:
        return folder, None
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(path for path in numbered if StudyFolder(path).objection(study) is None), f"{folder} {objection[0]}"


def _as_stored(study: Study) -> Any:
    return json.loads(json.dumps(study.as_json()))


def differing(stored: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """The differences between two settings, in words."""
    found = []
    for name in dict.fromkeys([*stored, *wanted]):
        old, new = stored.get(name), wanted.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += differing(old, new, f"{prefix}{name}.")
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and _are_dicts(old + new):
            for index, (old_item, new_item) in enumerate(zip(old, new, strict=True)):
                found += differing(old_item, new_item, f"{prefix}{name}[{index}].")
        else:
            found.append(f"{prefix}{name} was {_short(old)} and is {_short(new)}")
    return found


def _are_dicts(items: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in items)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _versions() -> dict[str, str]:
    found = {}
    for package in ("syne-hypersched", "syne-tune", "numpy", "pandas", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
