"""The content of ``best/``, and how it is recognised."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from syne_hypersched._json_files import read_object
from syne_hypersched.checkpoints._files import Tree, is_of_reader, num_bytes, read_tree
from syne_hypersched.checkpoints._generation import Matched
from syne_hypersched.checkpoints._placing import ST_CHECKPOINT
from syne_hypersched.contract import ST_LAUNCH
from syne_hypersched.filenames import BEST_DIRNAME, RESULT_FILENAME

#: The content of at most so many files is read, the largest ones: in full up to so many blocks, else so many blocks.
_MOST_FILES, _NUM_BLOCKS, _BLOCK_BYTES = 256, 16, 1 << 14
#: Entries of a report that the backend adds or replaces, so they differ from the log.
_REWRITTEN = frozenset({"st_worker_time", "st_worker_iter", "st_num_devices", "st_launch", "st_signal_to_report_s"})


def published_result(folder: Path) -> dict[str, Any] | None:
    """The content of ``folder/best/result.json``; None if it does not exist or cannot be read."""
    return read_object(folder / BEST_DIRNAME / RESULT_FILENAME)


def _read_checkpoint(folder: Path) -> Tree:
    """The entries of a checkpoint, without files that readers of a database have left there."""
    tree = read_tree(folder)
    return {path: state for path, state in tree.items() if not is_of_reader(path, state, tree)}


def measure_checkpoint(folder: Path) -> tuple[int, int]:
    """The number of files of a checkpoint, and their total size in bytes."""
    tree = _read_checkpoint(folder)
    return sum(state.kind == "file" for state in tree.values()), num_bytes(tree)


def describe_checkpoint(folder: Path) -> dict[str, Any]:
    """The entries of ``result.json`` that describe the files of a checkpoint and help to recognise it."""
    num_files, size = measure_checkpoint(folder)
    return {"num_files": num_files, "num_bytes": size, "fingerprint": fingerprint(folder)}


def fingerprint(folder: Path) -> str | None:
    """A text that changes with the names and sizes of a checkpoint's entries and with the content of its files.

    It is the same for a copy. Checkpoints of one script often have the same sizes but other content. At most 64 MB are
    read: blocks from the beginning to the end of a large file, and only the largest of many files.

    Returns
    -------
    str or None
        None if a file cannot be read.
    """
    import hashlib  # only the tuner needs it, not the processes that launch trials

    tree = _read_checkpoint(folder)
    digest = hashlib.blake2b(digest_size=16)
    files = sorted((-state.size, path) for path, state in tree.items() if state.kind == "file")
    try:
        for path, state in tree.items():
            target = os.readlink(os.path.join(folder, path)) if state.kind == "link" else ""
            size = state.size if state.kind == "file" else 0
            digest.update(os.fsencode(f"{path}\0{state.kind}\0{size}\0{target}\0"))
        for less_size, path in files[:_MOST_FILES]:
            with open(os.path.join(folder, path), "rb", buffering=0) as file:
                for begin in _blocks(-less_size):
                    digest.update(os.pread(file.fileno(), _BLOCK_BYTES, begin))
    except OSError:
        return None
    return digest.hexdigest()


def _blocks(size: int) -> list[int]:
    """Where the blocks that are read begin in a file."""
    last = size - _BLOCK_BYTES
    if last < _NUM_BLOCKS * _BLOCK_BYTES:
        return list(range(0, size, _BLOCK_BYTES))
    return [last * number // (_NUM_BLOCKS - 1) for number in range(_NUM_BLOCKS)]


def published_trial(folder: Path) -> int | None:
    """The trial whose checkpoint is in ``folder/best``; None if there is no checkpoint or no trial is named."""
    trial_id = (published_result(folder) or {}).get("trial_id")
    return trial_id if isinstance(trial_id, int) else None


def is_made_of(result: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether a result, as the tuner received it, is the report with these values in the log of its trial."""
    return all(
        name in result and (result[name] == value or (value != value and result[name] != result[name]))
        for name, value in values.items()
        if name not in _REWRITTEN
    )


def is_replaced(present: Mapping[str, Any], trial_id: int, matched: Sequence[Matched]) -> bool:
    """Whether a published report has another generation now, because the published one has turned out to lack files.

    Parameters
    ----------
    present
        The published result, with a checkpoint.
    trial_id, matched
        A trial, and the generations of its reports.
    """
    if present.get("trial_id") != trial_id:
        return False
    launch, generation = present.get(ST_LAUNCH), present[ST_CHECKPOINT].get("generation")
    found = [known.generation for known in matched if known.launch == launch and is_made_of(present, known.values)]
    return bool(found) and generation is not None and found[-1] != generation
