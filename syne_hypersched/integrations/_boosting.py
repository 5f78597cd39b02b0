"""The callbacks of boosting libraries: after each round they save the model, and then report.

SIGTERM keeps its default action and ends the process at once. The last whole model is then at most some rounds old.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from syne_hypersched import checks, variables
from syne_hypersched._wording import counted
from syne_hypersched.integrations._saved import Saved

RESOURCE = "round"

_BEFORE = "before"
"""Name in the notes of a checkpoint: number of rounds of the model that the first launch began with."""


class Rounds:
    """Saves models after rounds of boosting, each in one step, and reports.

    Parameters
    ----------
    checkpoint_dir
        Folder for the models.
    metrics
        Names of the metrics to report, as ``DATA-METRIC``; None: all evaluated metrics.
    every
        Number of rounds from one report to the next.
    reporter
        Called with the metrics as keyword arguments; by default :class:`syne_tune.Reporter`.
    file_name
        Name of the file with a model.
    argument
        Name of the library's argument for the model to continue from.

    Raises
    ------
    TypeError, ValueError
        A parameter has a wrong type or value, or there are several processes, which would all train the same model.
    """

    def __init__(
        self,
        checkpoint_dir: str | os.PathLike[str],
        metrics: tuple[str, ...] | None,
        every: int,
        reporter: Callable[..., None] | None,
        file_name: str,
        argument: str,
    ) -> None:
        num_processes = variables.number(variables.WORLD_SIZE, 1, os.environ)
        if num_processes > 1:
            raise ValueError(
                'processes of the backend must be "single", so that one process uses all devices of its trial, but '
                f"this is one of {num_processes} processes"
            )
        self._names = None if metrics is None else checks.names("metrics", metrics)
        self.every = checks.positive_integer("every", every)
        self._file_name, self._argument = file_name, argument
        self._saved = Saved(str(checks.path("checkpoint_dir", checkpoint_dir)), 1, reporter)
        #: Number of rounds of an existing model that the first launch began with.
        self._before = int(self._saved.notes.get(_BEFORE, 0))
        self._num_saved = int(self._saved.notes.get(RESOURCE, 0))
        #: Number of rounds that earlier launches have trained.
        self.num_done = self._num_saved - self._before
        #: Number of rounds of the whole run; None: the script has not given it.
        self._num_wanted: int | None = None

    @property
    def model_path(self) -> str | None:
        """Path of the model from which this launch continues; None if there is no model."""
        newest = self._saved.newest
        return None if newest is None else os.path.join(newest, self._file_name)

    def left(self, num_rounds: int) -> int:
        """Number of rounds left, given the total number.

        Raises
        ------
        ValueError
            The number is below 1.
        """
        self._num_wanted = checks.positive_integer("num_rounds", num_rounds)
        return max(0, self._num_wanted - self.num_done)

    def begin(self, num_rounds: int) -> None:
        """Begins the training. If the last launch's report was not delivered, delivers it.

        Parameters
        ----------
        num_rounds
            Number of rounds of the model with which training begins.

        Raises
        ------
        ValueError
            Training does not continue from the saved model, or the number of rounds is not the number that is left.
        """
        if self._saved.newest is None:
            self._before = num_rounds
        elif num_rounds != self._num_saved:
            raise ValueError(
                f"{self._argument} must be model of the callback, with {counted(self._num_saved, 'round')}, but "
                f"training begins with {num_rounds}"
            )
        if self._num_wanted is None:
            raise ValueError(
                "the number of rounds must be rounds_left(N) of the callback for a run of N rounds, since a launch "
                "that goes on trains only the rest, but rounds_left was not called"
            )
        self._saved.begin()

    def is_complete(self, num_rounds: int) -> bool:
        """Whether a model with a number of rounds has all rounds that the script wants."""
        return self._num_wanted is not None and num_rounds - self._before >= self._num_wanted

    def end(self, num_rounds: int, found: Mapping[str, float], save: Callable[[str], object], is_last: bool) -> None:
        """Handles the end of a round.

        Parameters
        ----------
        num_rounds
            Number of rounds of the model.
        found
            Evaluated metrics, by name.
        save
            Writes the model to a file.
        is_last
            Whether this is the last round.

        Raises
        ------
        ValueError
            A metric was not evaluated.
        """
        level = num_rounds - self._before
        is_due = level % self.every == 0
        if is_due or is_last:
            self._save(num_rounds, {RESOURCE: level, **self._chosen(found)} if is_due else None, save)

    def finish(self, num_rounds: int, save: Callable[[str], object]) -> None:
        """Handles the end of training: saves rounds after the last report."""
        if num_rounds > self._num_saved:
            self._save(num_rounds, None, save)

    def _save(self, num_rounds: int, report: dict[str, Any] | None, save: Callable[[str], object]) -> None:
        aside = self._saved.folder.begin()
        save(os.path.join(aside, self._file_name))
        self._saved.commit(aside, report, **{RESOURCE: num_rounds, _BEFORE: self._before})
        self._num_saved = num_rounds

    def _chosen(self, found: Mapping[str, float]) -> dict[str, float]:
        names = tuple(found) if self._names is None else self._names
        missing = [name for name in names if name not in found]
        if missing or not names:
            raise ValueError(
                f"metrics must be names of evaluation results ({', '.join(found) or 'nothing: there is no data for it'}"
                f"), but got {', '.join(map(repr, missing)) or 'none'}"
            )
        return {name: float(found[name]) for name in names}


def num_threads() -> int:
    """Number of threads for the devices of this launch: its share of the cores."""
    return variables.number("OMP_NUM_THREADS", 0, os.environ) or len(os.sched_getaffinity(0))
