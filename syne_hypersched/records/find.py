"""Finds the folder of an experiment by its name or path."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable
from pathlib import Path

from syne_tune.constants import ST_METADATA_FILENAME
from syne_tune.util import experiment_path

from syne_hypersched import checks
from syne_hypersched._wording import enumerated

#: Maximum number of names of other experiments in a message.
_MOST_NAMES = 3


def find_run(name_or_path: str | Path, parameter: str = "path") -> Path:
    """The folder of an experiment, which contains a ``metadata.json``.

    Parameters
    ----------
    name_or_path
        The experiment's folder. If there is no such folder: its name (``tuner.name``) among all experiments of Syne
        Tune, which are in ``~/syne-tune`` or in the folder that ``SYNETUNE_FOLDER`` names.
    parameter
        Name of the argument, for messages.

    Raises
    ------
    TypeError
        The argument is neither a string nor a path.
    FileNotFoundError
        There is no such experiment.
    """

    def has_metadata(folder: Path) -> bool:
        return bool((folder / ST_METADATA_FILENAME).is_file())

    candidates = candidate_folders(name_or_path, parameter)
    for candidate in candidates:
        if has_metadata(candidate):
            return candidate
    nor_is = "" if candidates[0] == candidates[-1] else f", nor is {candidates[-1]}"
    raise FileNotFoundError(
        f"there is no file {candidates[0] / ST_METADATA_FILENAME}: {candidates[0]} is not the folder of an "
        f"experiment{nor_is}{similar_names(name_or_path, has_metadata)}"
    )


def candidate_folders(name_or_path: str | Path, parameter: str) -> tuple[Path, Path]:
    """The two possible folders of an experiment: by path and by name."""
    path = checks.path(parameter, name_or_path, "the name or the folder of an experiment")
    with contextlib.suppress(RuntimeError):  # "~name" without a user of this name
        path = path.expanduser()
    return path, Path(experiment_path(tuner_name=str(name_or_path)))


def name_for_commands(folder: Path, experiments: Path | None = None) -> str:
    """The text that identifies an experiment on a command line: its name, or its folder if the name is not enough.

    Parameters
    ----------
    folder
        Folder of the experiment.
    experiments
        The folder of all experiments, from the reader's point of view; by default that of this process.
    """
    of_name = Path(experiment_path(tuner_name=folder.name)) if experiments is None else experiments / folder.name
    return folder.name if of_name.absolute() == folder.absolute() else str(folder.absolute())


def similar_names(name_or_path: str | Path, is_one: Callable[[Path], bool]) -> str:
    """The end of a message: a list of existing experiments.

    Syne Tune appends a date to names. So the list has the latest experiments whose names begin in the same way. If
    there are none, it has experiments with similar names, or the latest ones.
    """
    path = Path(experiment_path(tuner_name=str(name_or_path)))
    if not path.name or not path.parent.is_dir():
        return ""
    names = sorted(folder.name for folder in path.parent.iterdir() if is_one(folder))
    alike = [name for name in names if name.startswith(path.name)][-_MOST_NAMES:]
    alike = alike or difflib.get_close_matches(path.name, names, n=_MOST_NAMES)
    if alike:
        return f". There {'is' if len(alike) == 1 else 'are'} {enumerated(alike)}"
    latest = sorted(names, key=lambda name: ((path.parent / name).stat().st_mtime, name))[-_MOST_NAMES:]
    if latest:
        is_ = "is" if len(latest) == 1 else "are"
        return f". The latest in {path.parent} {is_} {enumerated(latest)}"
    return f". There is none in {path.parent}"
