"""``best/``: the incumbent's checkpoint, configuration and metric, kept current while the tuning goes on.

A report and the generation of the checkpoint folder that belongs to it are published as a pair. If the checkpoint is
not whole yet, the report waits. If it never becomes whole, the previously published pair stays in place.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from syne_hypersched._json_files import write_config
from syne_hypersched._log_tail import LogTail
from syne_hypersched.checkpoints._generation import Generation, Match
from syne_hypersched.checkpoints._levels import num_steps
from syne_hypersched.checkpoints._placing import ST_CHECKPOINT as ST_CHECKPOINT
from syne_hypersched.checkpoints._placing import new_folder, put_in_place
from syne_hypersched.checkpoints._placing import set_aside as set_aside
from syne_hypersched.checkpoints._published import describe_checkpoint as describe_checkpoint
from syne_hypersched.checkpoints._published import is_made_of, is_replaced
from syne_hypersched.checkpoints._published import published_result as published_result
from syne_hypersched.checkpoints._published import published_trial as published_trial
from syne_hypersched.checkpoints._standing import Standing
from syne_hypersched.checkpoints._states import number_of
from syne_hypersched.checkpoints._store import GenerationStore
from syne_hypersched.contract import ST_LAUNCH
from syne_hypersched.filenames import CONFIG_FILENAME, RESULT_FILENAME, STDOUT_FILENAME

logger = logging.getLogger(__name__)

#: Number of earlier incumbents that still wait for a whole checkpoint and are kept beside the last one.
_MAX_WAITING = 1_000


@dataclass(frozen=True)
class Incumbent:
    """A report to publish, with its trial's configuration and checkpoints."""

    trial_id: int
    config: dict[str, Any]
    result: dict[str, Any]
    """The report, as the tuner received it."""
    checkpoints: Path
    """The trial's checkpoint folder."""
    time_attr: str | None = None
    """Name of the resource level in the report."""
    report: int | None = None
    """Number of the report in the trial's log, counted from 1; None if it is not known."""
    is_spare: bool = False
    """Whether it is not the incumbent, and is published only if the better reports have no checkpoint."""


@dataclass(frozen=True)
class Published:
    """The result of publishing an incumbent."""

    is_new: bool
    """Whether it is in ``best/`` now, and not an older result."""
    checkpoint: dict[str, Any] | None
    """Value of :const:`ST_CHECKPOINT`; None: it has no whole checkpoint."""
    reason: str = ""
    """Why it has no checkpoint, or is not in ``best/``."""


class _Attempt(Enum):
    """The result of one attempt to publish an incumbent."""

    DONE = "done"
    NOT_YET = "not yet"
    NEVER = "never"


class BestPublisher:
    """Publishes incumbents in its own thread, since copying a checkpoint may take long. The latest one wins.

    Parameters
    ----------
    on_published
        Called with the incumbent and the result, in the publisher's thread.
    is_live
        Returns whether a trial has processes that may still save.
    folder_of
        The checkpoint folder of a trial.
    """

    def __init__(
        self,
        on_published: Callable[[Incumbent, Published], None],
        is_live: Callable[[int], bool],
        folder_of: Callable[[int], Path],
    ) -> None:
        self._on_published = on_published
        self._is_live = is_live
        self._folder_of = folder_of
        #: Name of the metric in a report, and its direction; None until the scheduler names it.
        self.metric: str | None = None
        self.do_minimize = True
        #: Name of the resource level in a report; None: schedulers use reports without a level.
        self.time_attr: str | None = None
        self._begin()

    def _begin(self) -> None:
        self._condition = threading.Condition()
        self._folder: Path | None = None
        #: Incumbents to publish, the best one last. The others are used if the best one gets no checkpoint.
        self._waiting: list[Incumbent] = []
        #: Number of events so far, and number of events handled.
        self._news = self._seen = 0
        self._busy = False
        self._thread: threading.Thread | None = None
        self._trial_id: int | None = None
        self._standing = Standing(self._folder_of)
        #: Trial, launch and metric of the reports for which an event says that they are not published.
        self._told: set[tuple[int, Any, float | None]] = set()
        #: Numbers of file system errors for which a warning was logged.
        self._errors: set[int | None] = set()

    def incumbent(self, folder: Path) -> int | None:
        """The trial whose checkpoint is in ``folder/best`` or will be next; None if there is no such trial."""
        if self._trial_id is None:
            self._trial_id = published_trial(folder)
        return self._trial_id

    def awaits(self, trial_id: int) -> bool:
        """Whether a trial's checkpoint still has to be published."""
        return any(incumbent.trial_id == trial_id for incumbent in list(self._waiting))

    def publish(self, folder: Path, incumbent: Incumbent) -> None:
        """Publishes ``incumbent`` as ``folder/best`` as soon as it has a whole checkpoint; returns at once."""
        with self._condition:
            self._folder, self._trial_id = folder, incumbent.trial_id
            self._waiting = [*self._waiting[-_MAX_WAITING:], incumbent]
            self._wake()

    def offer(self, folder: Path, candidate: Incumbent) -> None:
        """Publishes a report with a checkpoint, unless a better report also has one; returns at once.

        The report is not the incumbent. But the incumbent may have no checkpoint, and may never get one. Does nothing
        if nothing was ever published or asked to be published.
        """
        value = self.value(candidate.result)
        with self._condition:
            if (
                value is None
                or (self._folder is None and published_result(folder) is None)
                or self._is_known(candidate)
            ):
                return
            values = [self.value(waiting.result) for waiting in self._waiting]
            position = sum(other is not None and other > value for other in values)
            self._folder = folder
            self._waiting.insert(position, replace(candidate, is_spare=True))
            self._wake()

    def _is_known(self, candidate: Incumbent) -> bool:
        return any((mine.trial_id, mine.report) == (candidate.trial_id, candidate.report) for mine in self._waiting)

    def _wake(self) -> None:
        self._news += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="syne-hypersched-best", daemon=True)
            self._thread.start()
        self._condition.notify_all()

    def value(self, result: Mapping[str, Any]) -> float | None:
        """The metric, to be minimised; None if it is not known or not finite. A value that is not finite is the worst.

        None also without a resource level, as in a last report with a test score, which schedulers ignore.
        """
        if self.time_attr is not None and number_of(result.get(self.time_attr)) is None:
            return None
        value = None if self.metric is None else number_of(result.get(self.metric))
        return value if value is None or self.do_minimize else -value

    def present(self, folder: Path) -> dict[str, Any] | None:
        """The result in ``folder/best``, as far as it is confirmed; None if there is no result."""
        return self._standing.result(folder, self.value, self.metric, self.time_attr)

    def notice(self, trial_id: int) -> None:
        """Looks again, because a trial may have a new checkpoint, or its processes have ended."""
        with self._condition:
            if self.awaits(trial_id):
                self._news += 1
                self._condition.notify_all()

    def rest(self) -> None:
        """Waits until no copy is in progress."""
        with self._condition:
            self._condition.wait_for(lambda: not self._busy)

    def flush(self) -> None:
        """Waits until each incumbent is published or will never have a whole checkpoint."""
        with self._condition:
            self._news += 1
            self._condition.notify_all()
            self._condition.wait_for(
                lambda: self._thread is None or (not self._busy and (not self._waiting or self._seen == self._news))
            )

    def finish(self) -> None:
        """Reports, at the end of a tuning, each better report that still waits for its checkpoint or for disk space."""
        self.flush()
        with self._condition:
            waiting, present = self._waiting[::-1], self.present(self._folder or Path()) or {}
        for incumbent in [one for one in waiting if not self._is_as_good(present, one)]:
            self._tell(incumbent, "the tuning ended before its checkpoint was here and could be read and copied")

    def _tell(self, incumbent: Incumbent, reason: str) -> None:
        """Tells once why a report is not published."""
        if self._is_news(incumbent):
            self._on_published(incumbent, Published(False, None, f"{reason}; best/ stays as it is"))

    def __getstate__(self) -> dict[str, Any]:
        names = ("_on_published", "_is_live", "_folder_of", "metric", "do_minimize", "time_attr")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting and self._seen < self._news)
                folder, waiting, self._seen, self._busy = self._folder, self._waiting[::-1], self._news, True
            for incumbent in waiting:
                try:
                    outcome = _Attempt.DONE if folder is None else self._try(folder, incumbent)
                except FileNotFoundError:  # the generation was removed during the reading; a new one may replace it
                    outcome = _Attempt.NOT_YET
                except OSError as error:  # for example a full disk, which may have room later
                    self._tell_of(error, folder)
                    outcome = _Attempt.NOT_YET
                except Exception as error:  # in any case, the next incumbent must be published
                    logger.warning("Cannot publish %s: %s. The previous content is unchanged.", folder, error)
                    outcome = _Attempt.NEVER
                with self._condition:
                    position = self._waiting.index(incumbent) if incumbent in self._waiting else -1
                    if outcome is _Attempt.DONE:
                        del self._waiting[: position + 1]
                        break
                    if outcome is _Attempt.NEVER and position >= 0:
                        del self._waiting[position]
            with self._condition:
                self._busy = False
                self._condition.notify_all()

    def _tell_of(self, error: OSError, folder: Path | None) -> None:
        """Warns of a file system error, once for each kind."""
        if error.errno not in self._errors:
            self._errors.add(error.errno)
            logger.warning(
                "Cannot publish %s now: %s. The previous content is unchanged. The next attempt comes when a trial has "
                "a new checkpoint, and at the end of the tuning.", folder, error,
            )  # fmt: skip

    def _try(self, folder: Path, incumbent: Incumbent) -> _Attempt:
        """Publishes an incumbent if it can be published now."""
        is_last = not self._is_live(incumbent.trial_id)  # ask this before the checkpoints are read
        present = self.present(folder)
        has_checkpoint = present is not None and present.get(ST_CHECKPOINT) is not None
        store = GenerationStore(incumbent.checkpoints)
        if present is not None and has_checkpoint and self._is_as_good(present, incumbent):
            has_better = self.value(present) != self.value(incumbent.result)
            if has_better or not is_replaced(present, incumbent.trial_id, store.notes().matched):
                return _Attempt.DONE
        found = find_generation(store, incumbent, is_last)
        if found is not None:
            generation, match = found
            checkpoint = publish(folder, incumbent, generation, match, not self._standing.is_confirmed)
            self._standing.trust(folder)
            self._on_published(incumbent, Published(True, checkpoint))
            return _Attempt.DONE
        reason = "none of its checkpoints is whole and belongs to that report"
        # A worse report with a checkpoint may replace a published one without a checkpoint.
        is_worse = incumbent.is_spare and (present is None or self._is_as_good(present, incumbent))
        if has_checkpoint or incumbent.is_spare:
            if is_last and present is not None:
                self._tell(incumbent, reason)
        elif is_last and (present is None or not self._is_as_good(present, incumbent)):
            publish(folder, incumbent, None, is_kept=not self._standing.is_confirmed)
            self._standing.trust(folder)
            self._on_published(incumbent, Published(True, None, reason))
        # A paused trial may continue, for example after a resume. Then a later checkpoint is better than none.
        is_over = is_worse or (is_last and (has_checkpoint or incumbent.is_spare))
        return _Attempt.NEVER if is_over else _Attempt.NOT_YET

    def _is_news(self, incumbent: Incumbent) -> bool:
        """Whether nothing has been told about this report yet; it then counts as told."""
        key = (incumbent.trial_id, incumbent.result.get(ST_LAUNCH), self.value(incumbent.result))
        is_news = key not in self._told
        self._told.add(key)
        return is_news

    def _is_as_good(self, present: dict[str, Any], incumbent: Incumbent) -> bool:
        """Whether the published report is already as good as an incumbent, which is possible after a resume."""
        names, result = (ST_LAUNCH, "st_worker_iter"), {"trial_id": incumbent.trial_id, **incumbent.result}
        if all(name in present and present[name] == result.get(name) for name in ("trial_id", *names)):
            return True
        there, new = self.value(present), self.value(incumbent.result)
        return there is not None and new is not None and there <= new


def find_generation(store: GenerationStore, incumbent: Incumbent, is_last: bool) -> tuple[Generation, Match] | None:
    """The generation that belongs to a report; None if there is no such generation (yet).

    Parameters
    ----------
    store
        The generations of the trial.
    incumbent
        The report.
    is_last
        Whether no more matches will come. Then the oldest generation that is newer than the report is returned.
    """
    for matched in reversed(store.notes().matched):
        if matched.launch == incumbent.result.get(ST_LAUNCH) and is_made_of(incumbent.result, matched.values):
            generation = store.read(matched.generation)
            if generation is not None and store.is_sound(generation):
                return generation, matched.match
    number = (incumbent.report or _number_in_log(incumbent)) if is_last else None
    if number is not None:
        step = (store.notes().evidence or {}).get("least_step")
        level = None if incumbent.time_attr is None else number_of(incumbent.result.get(incumbent.time_attr))
        for generation in store.generations():
            if level is not None and generation.level is not None and generation.level < level:
                continue
            if generation.after >= number and store.is_sound(generation):
                num_levels = num_steps(level, generation.level, step) + generation.before - generation.after
                launch = incumbent.result.get(ST_LAUNCH, generation.launch)
                num_lost = generation.launch - launch if generation.is_first else 0
                return generation, max(generation.newer_by(number), num_levels) + num_lost
    return None


def _number_in_log(incumbent: Incumbent) -> int | None:
    """Number of an incumbent's report in its trial's log, counted from 1; None if the log does not have it."""
    log = LogTail(incumbent.checkpoints.with_name(STDOUT_FILENAME))
    return log.number_of(lambda values: is_made_of(incumbent.result, values))


def publish(
    folder: Path, incumbent: Incumbent, generation: Generation | None, match: Match = "exact", is_kept: bool = False
) -> dict[str, Any] | None:
    """Makes ``folder/best`` show ``incumbent``: ``checkpoint/``, ``config.json`` and ``result.json``.

    The folder is written aside and put in place by one rename. So a reader sees the old or the new incumbent.

    Parameters
    ----------
    folder
        The experiment's folder.
    incumbent
        The report to publish.
    generation, match
        The generation of its checkpoint, if there is one, and how certain the match is.
    is_kept
        Whether the previous ``best`` is renamed to ``best-before``, and not removed.

    Returns
    -------
    dict or None
        The value published as :const:`ST_CHECKPOINT`.

    Raises
    ------
    OSError
        The disk has no room, or the generation is gone. The previous content is unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = new_folder(folder)
    checkpoint = None
    try:
        if generation is not None:
            GenerationStore(incumbent.checkpoints).publish(generation, new / "checkpoint")
            level = None if incumbent.time_attr is None else incumbent.result.get(incumbent.time_attr)
            checkpoint = {
                "level": level, "launch": incumbent.result.get(ST_LAUNCH), "generation": generation.number,
                "match": match, **describe_checkpoint(new / "checkpoint"),
            }  # fmt: skip
        write_config(new / CONFIG_FILENAME, incumbent.config)
        result = {"trial_id": incumbent.trial_id, **incumbent.result, ST_CHECKPOINT: checkpoint}
        with open(new / RESULT_FILENAME, "w", encoding="utf-8") as file:
            json.dump(result, file, default=str)
        put_in_place(new, is_kept)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)  # incomplete folders would fill a full disk at every incumbent
        raise
    return checkpoint
