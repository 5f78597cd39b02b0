"""The folder of a study: what is written where, whole or not at all, and whether a folder belongs to a study."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarking.comparison.runs import Outcome, Run
from benchmarking.comparison.settings import Study

FORMAT = 1
"""Raised whenever a finished run of an older version can no longer be read."""


def write_whole(path: Path, content: str | bytes) -> Path:
    """Writes a file aside and renames it, so that a reader finds the old file or the new one."""
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
        """Takes the folder for a study, or goes on in it if it is that study's already.

        Raises
        ------
        ValueError
            It has the results of other settings, or of a version whose results cannot be read; the message says what
            differs.
        """
        settings_path = self.path / "settings.json"
        study_json = json.loads(json.dumps(study.as_json()))
        if settings_path.exists():
            stored = json.loads(settings_path.read_text(encoding="utf-8"))
            if stored.get("format") != FORMAT:
                raise ValueError(f"{self.path} was written by another version of this program: choose another --output")
            if stored["study"] != study_json:
                differences = "; ".join(differing(stored["study"], study_json))
                raise ValueError(
                    f"{self.path} has results of other settings ({differences}): choose another --output, or give the "
                    "same settings to go on with them"
                )
            return
        settings = {"format": FORMAT, "study": study_json, "versions": _versions()}
        write_whole(settings_path, json.dumps(settings, indent=2) + "\n")

    def of_run(self, run: Run) -> Path:
        """The folder of a run."""
        return self.path / "runs" / run.scenario.folder / run.name

    def load(self, run: Run) -> Outcome | None:
        """The outcome of a run, None if it has not finished."""
        try:
            text = (self.of_run(run) / "outcome.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Outcome.from_json(json.loads(text))

    def begin(self, run: Run) -> Path:
        """An empty folder for a run: what an interrupted one has left is removed."""
        path = self.of_run(run)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def finish(self, run: Run, outcome: Outcome) -> None:
        """Stores the outcome of a run, which is finished thereby."""
        write_whole(self.of_run(run) / "outcome.json", json.dumps(outcome.as_json()) + "\n")


def differing(stored: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """Where two settings differ, in words."""
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
