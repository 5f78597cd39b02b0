"""``best/``: the incumbent's checkpoint, configuration and metric, kept current while the tuning goes on."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_tune.util import dump_json_with_numpy

logger = logging.getLogger(__name__)

BEST_DIRNAME = "best"
"""Name of the folder in the experiment's folder. A symbolic link, so that it can be replaced atomically."""

_SETTLE_TRIES = 20
_SETTLE_PAUSE_S = 0.05


def copy_checkpoint(source: Path, target: Path) -> bool:
    """Copies a checkpoint folder that its trial may be writing to at the same time.

    The copy is taken again while the folder changes under it, for at most about a second; after that a script is
    writing all the time, and its files are as whole as it writes them (files that are written aside and renamed are).

    Returns
    -------
    bool
        Whether there was anything to copy.
    """
    for _ in range(_SETTLE_TRIES):
        before = _listing(source)
        if not before:
            return False
        shutil.rmtree(target, ignore_errors=True)
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copytree(source, target)
        except (shutil.Error, FileNotFoundError):
            pass  # a file was replaced while it was copied
        else:
            if _listing(source) == before:
                return True
        time.sleep(_SETTLE_PAUSE_S)
    return target.exists()


def _listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    files = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            files[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return files


@dataclass(frozen=True)
class Incumbent:
    """What is to be published."""

    trial_id: int
    config: dict[str, Any]
    result: dict[str, Any]
    checkpoint: Path


class BestPublisher:
    """Publishes incumbents in a thread of its own, since copying a checkpoint may take long; the latest one wins.

    Parameters
    ----------
    on_published
        Called with the incumbent and whether it had a checkpoint, in the publisher's thread.
    """

    def __init__(self, on_published: Callable[[Incumbent, bool], None]) -> None:
        self._on_published = on_published
        self._condition = threading.Condition()
        self._folder: Path | None = None
        self._next: Incumbent | None = None
        self._busy = False
        self._thread: threading.Thread | None = None
        self._trial_id: int | None = None

    def incumbent(self, folder: Path) -> int | None:
        """The trial that ``folder/best`` shows or is about to show; None if there is none."""
        if self._trial_id is None:
            self._trial_id = published_trial(folder)
        return self._trial_id

    def publish(self, folder: Path, incumbent: Incumbent) -> None:
        """Has ``incumbent`` published as ``folder/best`` and returns at once."""
        with self._condition:
            self._folder, self._next, self._trial_id = folder, incumbent, incumbent.trial_id
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="syne-hypersched-best", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def flush(self) -> None:
        """Waits until everything is published."""
        with self._condition:
            self._condition.wait_for(lambda: self._next is None and not self._busy)

    def __getstate__(self) -> dict[str, Any]:
        return {"_on_published": self._on_published}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_on_published"])  # type: ignore[misc]

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._next is not None)
                folder, incumbent, self._next, self._busy = self._folder, self._next, None, True
            try:
                if folder is not None and incumbent is not None:
                    self._on_published(incumbent, publish(folder, incumbent))
            except Exception as error:  # whatever it is, the next incumbent is to be published
                logger.warning("Cannot publish %s: %s. What was published before is untouched.", folder, error)
            finally:
                with self._condition:
                    self._busy = False
                    self._condition.notify_all()


def published_trial(folder: Path) -> int | None:
    """The trial that ``folder/best`` shows, None if there is no such folder or it does not say."""
    try:
        trial_id = json.loads((folder / BEST_DIRNAME / "result.json").read_text(encoding="utf-8"))["trial_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return trial_id if isinstance(trial_id, int) else None


def publish(folder: Path, incumbent: Incumbent) -> bool:
    """Makes ``folder/best`` show ``incumbent``: ``checkpoint/``, ``config.json`` and ``result.json``.

    The folder is written aside and put in place by one rename, so that a reader sees the old or the new incumbent.

    Returns
    -------
    bool
        Whether the trial had a checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / BEST_DIRNAME
    old = folder / os.readlink(link) if link.is_symlink() else None
    new = folder / f".{BEST_DIRNAME}-{os.getpid()}-{time.monotonic_ns()}"
    new.mkdir(mode=0o700)
    try:
        has_checkpoint = copy_checkpoint(incumbent.checkpoint, new / "checkpoint")
        dump_json_with_numpy(incumbent.config, new / "config.json")
        result = {"trial_id": incumbent.trial_id, **incumbent.result}
        with open(new / "result.json", "w", encoding="utf-8") as file:
            json.dump(result, file, default=str)
        temporary = folder / f"{new.name}.link"
        temporary.symlink_to(new.name)
        os.replace(temporary, link)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)  # half of it would fill a full disk further at every incumbent
        raise
    if old is not None and old != new:
        shutil.rmtree(old, ignore_errors=True)
    return has_checkpoint
